"""Write the suite (``deadweight.yaml``), its Dockerfiles and helper files."""
