"""The pinned external programs: what is there, what is missing, how to get it."""
