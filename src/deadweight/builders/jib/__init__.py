"""Build Jib variants from Maven and Gradle projects, without an engine."""
