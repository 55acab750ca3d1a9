"""Send the same requests to two images, and tell in what they behave differently, and probably why."""
