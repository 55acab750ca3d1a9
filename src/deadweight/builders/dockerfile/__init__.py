"""Build Dockerfile variants with BuildKit, with bases from the source and secrets that leave no trace."""
