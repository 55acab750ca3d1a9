"""Inspect an image from an archive, a stream, a registry or an engine's own store."""
