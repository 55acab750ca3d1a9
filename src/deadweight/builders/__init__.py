"""Build images: one module per build tool, each with ``protocol.Builder``'s three methods."""
