"""Import Deadweight's six companion packages by name, on first use. Nothing here imports them eagerly.

Each companion lists its public names in ``__init__`` and imports them on demand.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

TABLE = {name: f"deadweight_{name}" for name in ("attacks", "images", "init", "pool", "standins", "workload")}

if TYPE_CHECKING:  # so that types stay exact; import-linter leaves these out
    import deadweight_attacks as attacks
    import deadweight_images as images
    import deadweight_init as init
    import deadweight_pool as pool
    import deadweight_standins as standins
    import deadweight_workload as workload
else:

    def __getattr__(name: str) -> Any:
        """For ``from deadweight._packages import images``."""
        if name not in TABLE:
            raise AttributeError(name)
        return import_module(TABLE[name])


__all__ = ["TABLE", "attacks", "images", "init", "pool", "standins", "workload"]
