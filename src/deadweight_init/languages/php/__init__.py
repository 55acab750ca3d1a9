"""Find PHP programs and make image recipes."""
