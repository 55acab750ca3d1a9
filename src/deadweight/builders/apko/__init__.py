"""Variants that melange and apko build: signed APK packages, assembled into an image."""
