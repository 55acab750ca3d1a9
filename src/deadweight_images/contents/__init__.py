"""Find packages, Go build information, jars, duplicates and attackers' tools in an image's files."""
