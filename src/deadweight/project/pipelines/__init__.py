"""Whole pipelines for CI systems: shards, caches, one joined report, one verdict."""
