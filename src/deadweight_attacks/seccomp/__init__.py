"""Find a service's own seccomp profile: record its system calls, add the runtime's, remove unneeded ones, prove it."""
