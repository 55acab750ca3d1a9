"""The invoke collection: thin."""
