"""One module for each language: what its projects look like, and the ladder that they can have."""
