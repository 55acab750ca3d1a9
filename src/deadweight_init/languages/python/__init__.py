"""Find Python programs and make image recipes."""
