"""The invoke collection: thin. A project's ``tasks.py`` imports ``namespace`` from here.

Nothing below imports more than invoke itself until a task runs, so that ``invoke --list`` stays as fast as invoke.
"""

from __future__ import annotations

from invoke.collection import Collection

from deadweight.tasks import build

namespace = Collection()
for _task in (build.variants, build.build):
    namespace.add_task(_task)

__all__ = ["namespace"]
