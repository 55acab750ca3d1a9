"""Publish results: push images, attach SBOMs, post comments, upload reports."""
