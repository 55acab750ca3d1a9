"""What several builders use: archives, listening to a tool, compile caches, names."""
