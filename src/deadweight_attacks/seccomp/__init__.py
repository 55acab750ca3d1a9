"""A seccomp profile of a service's own, found by trying: recorded, completed by what the runtime needs, made smaller, proven."""
