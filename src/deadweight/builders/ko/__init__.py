"""Variants that ko builds: Go modules, without a Dockerfile and without an engine."""
