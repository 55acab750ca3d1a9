"""Provide base images, packages and databases from public registries, your mirror, or local stand-ins. One code path."""
