"""Vulnerability scans: the scanner's runs, its database, exceptions, gates, SBOMs, and what the running service reaches."""
