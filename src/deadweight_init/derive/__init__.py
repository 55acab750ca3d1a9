"""Derive Dockerfile variants from a repository's own Dockerfile: on another base, or with only its run-time files."""
