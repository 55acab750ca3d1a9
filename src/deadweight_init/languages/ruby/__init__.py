"""Find Ruby programs and make image recipes."""
