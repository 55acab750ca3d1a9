"""Build one service as many container images, then check, scan and compare them."""
