"""Build, watch, verify, and say what is unproven."""
