"""An engine of our own: starting and ending it, its bridge, mounts, control groups and processes."""
