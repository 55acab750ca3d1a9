"""What init writes: the suite, its Dockerfiles, and what a suite is worked with."""
