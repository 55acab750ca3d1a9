"""The container engine: find or start it, load, save, run hardened, inspect."""
