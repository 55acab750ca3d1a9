"""Python: how its programs are found and built."""
