"""Rust: how its programs are found and built."""
