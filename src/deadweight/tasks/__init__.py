"""Collect the invoke tasks. A project's ``tasks.py`` imports ``namespace`` from here.

Nothing here imports more than invoke itself until a task runs, so that ``invoke --list`` stays as fast as invoke.
"""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module

# invoke forbids it, for the sake of tasks.py; a checkout installed with `pip install -e` would be compiled anew by every command.
# The flag is the user's own word (-B, PYTHONDONTWRITEBYTECODE).
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

from invoke.collection import Collection  # noqa: E402 - what is imported from here on is kept
from invoke.tasks import Task  # noqa: E402

from deadweight._packages import TABLE  # noqa: E402
from deadweight.tasks import build, layers, report, review, run, scan, setup, twin, verify  # noqa: E402
from deadweight.tasks._task import end_quietly_without_reader  # noqa: E402
from deadweight.tasks._words import read_words  # noqa: E402

# A start makes many objects that all stay: looking for garbage among them was a twentieth of a build of nothing.
gc.set_threshold(200_000)
atexit.register(gc.freeze)  # and all that is left goes with the process
end_quietly_without_reader()
read_words()

namespace = Collection()
for _module in (build, import_module(f"{TABLE['init']}.task"), layers, report, review, run, scan, setup, twin, verify):
    for _task in [value for value in vars(_module).values() if isinstance(value, Task)]:
        namespace.add_task(_task)

__all__ = ["namespace"]
