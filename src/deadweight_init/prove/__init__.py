"""Build, run and verify a drafted suite."""
