"""The five packages beside this one. They are found by name when something of them is asked for: nothing here imports them.

Each lists what others may use in its ``__init__`` and imports that when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

TABLE = {
    "attacks": "deadweight_attacks",
    "images": "deadweight_images",
    "init": "deadweight_init",
    "pool": "deadweight_pool",
    "standins": "deadweight_standins",
}


def public(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``: ``homes`` has the module of each name, with the name there where it is another
    (``command:init``)."""

    def found(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, _, own = homes[name].partition(":")
        return getattr(import_module(f"{package}.{home}"), own or name)

    return found


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


__all__ = ["TABLE", "attacks", "images", "init", "pool", "public", "standins"]
