"""Scan files and image configs for secrets: rules, pattern matcher, decoding, checks."""
