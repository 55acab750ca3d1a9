"""Share code between builders: archives, tool output, compile caches, names."""
