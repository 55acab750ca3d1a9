"""Define the frozen records passed between stages, and their paths on disk."""
