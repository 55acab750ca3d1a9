"""Everything that leaves the machine: pushed images, attached SBOMs, published reports."""
