"""Work on one project: load its suite, find what it needs, build, scan, clean up."""
