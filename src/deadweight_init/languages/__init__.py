"""Detect projects of each language and list their variants; one package per language."""
