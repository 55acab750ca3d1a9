"""Where bases, packages and databases come from: public registries, a mirror of yours, or local stand-ins. One code path."""
