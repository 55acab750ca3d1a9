"""Deadweight: one service, every container image worth comparing, with evidence."""
