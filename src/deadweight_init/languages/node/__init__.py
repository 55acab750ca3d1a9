"""Find Node programs and make image recipes."""
