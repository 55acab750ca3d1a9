"""Find, check and install the pinned external programs that Deadweight runs."""
