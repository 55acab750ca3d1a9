"""Secrets in files and image configs: rules, a multi-pattern matcher, decoding, allow list."""
