"""Manage a pool of BuildKit endpoints and engines: list them, assign work, and recover when one is lost.

Public names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_pool.dockerfile import build as build_dockerfile
    from deadweight_pool.engine_pool import EnginePool
    from deadweight_pool.pool import Pool
    from deadweight_pool.settings import chosen as chosen_pool, engines as check_engines

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
