"""Seccomp profiles: system calls by name, what a runtime needs to start a container, and which call a profile refuses it."""
