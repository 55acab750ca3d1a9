"""A pool of BuildKit endpoints: which there are, which of them builds what, and what becomes of a build whose endpoint is lost."""
