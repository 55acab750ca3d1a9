"""Static sites: how their pages are found and built."""
