"""Read and write seccomp profiles, and find the system calls that a runtime needs or a profile refuses."""
