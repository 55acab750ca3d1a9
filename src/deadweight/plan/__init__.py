"""Plan and run build steps: graph of steps, input fingerprints, scheduler."""
