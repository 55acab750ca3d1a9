"""Read an image archive: open it, parse its JSON, decompress layers, walk their tars, check digests."""
