"""Parse a repository's Compose files, Kubernetes manifests, environment files and build commands."""
