"""A pool of BuildKit endpoints and engines: which there are, which of them does what, and what becomes of it when one is lost.

What is listed here is for others; each is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight_images import public

if TYPE_CHECKING:
    from deadweight_pool.dockerfile import build as build_dockerfile
    from deadweight_pool.dockerfile import platform
    from deadweight_pool.pool import Pool
    from deadweight_pool.settings import chosen as chosen_pool
    from deadweight_pool.settings import engines as check_engines
    from deadweight_pool.spread import Spread

if not TYPE_CHECKING:
    __getattr__ = public(
        __name__,
        {
            "dockerfile": "build as build_dockerfile, platform",
            "pool": "Pool",
            "settings": "chosen as chosen_pool, engines as check_engines",
            "spread": "Spread",
        },
    )
