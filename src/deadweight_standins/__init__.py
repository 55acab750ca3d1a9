"""Make stand-ins for public base images from OS packages, and serve them from a registry on loopback.

Public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_standins.advisories import make as make_database
    from deadweight_standins.machine import this_machine
    from deadweight_standins.source import LocalSource, stop_local_registry

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
