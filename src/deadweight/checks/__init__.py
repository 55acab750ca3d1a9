"""Check images, one module per check (protocol: ``protocol.Check``)."""
