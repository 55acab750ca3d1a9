"""What has to be done: steps, their graph, fingerprints of inputs, the scheduler."""
