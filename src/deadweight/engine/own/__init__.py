"""Run an engine of our own: start and end it, with its bridge, mounts, cgroups and processes."""
