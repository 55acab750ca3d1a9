"""Find the tightest container settings under which a variant still passes its checks, and write them for deployment."""
