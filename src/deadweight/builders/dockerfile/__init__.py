"""Dockerfile variants: BuildKit builds them, with bases from the source and secrets that leave no trace."""
