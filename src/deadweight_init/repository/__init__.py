"""What a repository says of its services, read once: Compose files, manifests of Kubernetes, environments, build commands."""
