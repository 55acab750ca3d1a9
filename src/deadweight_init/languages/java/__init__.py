"""Find Java programs and make image recipes."""
