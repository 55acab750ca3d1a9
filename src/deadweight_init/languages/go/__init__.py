"""Find Go programs and make image recipes."""
