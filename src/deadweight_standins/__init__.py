"""The local source: stand-ins made from this machine's OS packages, served by a registry on loopback."""
