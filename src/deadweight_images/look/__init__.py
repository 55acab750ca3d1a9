"""One look at an image: from an archive, from a stream, or from the engine's own store."""
