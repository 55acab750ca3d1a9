"""Control the container engine: start it, load images and run containers."""
