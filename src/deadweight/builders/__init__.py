"""One module per way of building an image; one three-method protocol (``protocol.Builder``)."""
