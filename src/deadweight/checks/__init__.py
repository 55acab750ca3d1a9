"""One module per kind of evidence; one protocol (``protocol.Check``)."""
