"""Find static sites and make their image recipes."""
