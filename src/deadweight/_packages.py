"""The five packages beside this one. They are found by name when something of them is asked for: nothing here imports them.

Each lists what others may use in its ``__init__`` and imports that when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

TABLE = {
    "attacks": "deadweight_attacks",
    "images": "deadweight_images",
    "init": "deadweight_init",
    "pool": "deadweight_pool",
    "standins": "deadweight_standins",
}

if TYPE_CHECKING:  # so that types stay exact; import-linter leaves these out
    import deadweight_attacks as attacks
    import deadweight_images as images
    import deadweight_init as init
    import deadweight_pool as pool
    import deadweight_standins as standins
else:

    def __getattr__(name: str) -> Any:
        """For ``from deadweight._packages import images``."""
        if name not in TABLE:
            raise AttributeError(name)
        return import_module(TABLE[name])


__all__ = ["TABLE", "attacks", "images", "init", "pool", "standins"]
