"""Variants that Jib builds from Maven and Gradle projects, without an engine."""
