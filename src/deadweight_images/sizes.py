"""Sizes as people read them."""

from __future__ import annotations


def format_bytes(size: int) -> str:
    """A size in decimal units with three figures, as engines show it: ``12.7 MB``."""
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
    amount /= 1000
    return f"{amount:.3g} GB" if amount < 999.5 else f"{amount:.0f} GB"
