"""Variants derived from a repository's own Dockerfile: another base below its last stage, or its run-time files alone."""
