"""Index the entries of layers, merge layers into one view, and read the bytes between files."""
