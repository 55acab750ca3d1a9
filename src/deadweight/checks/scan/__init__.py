"""Scan images for vulnerabilities: run Trivy, manage its database, apply gates, write SBOMs, find reached packages."""
