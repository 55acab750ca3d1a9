"""Do a task again whenever a file that its variants read is saved (``--watch``), until Ctrl-C."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from watchfiles import DefaultFilter, watch

from deadweight._errors import DeadweightError, UsageError
from deadweight.tasks import lazy
from deadweight.tasks._progress import say
from deadweight.tasks._words import Names, Value, meant, names

STEP_MS = 25
"""So long nothing more may change before a burst of changes (a branch that is checked out) is over."""
endings: list[Callable[[], object]] = []
"""What a change ends, while the task waits for it: a container that runs in the foreground."""


def watched(variant: Names | Value, once: Callable[[], int], guard: Callable[[Callable[[], None]], int]) -> int:
    """Do it ``once``, and again after each burst; what came of it is told, and ends nothing but a wrong call. Gives the exit code.

    A thread looks for changes all the time: of those that come while the task works, it is done once more.
    """
    changed = threading.Event()
    try:
        workspace = lazy.Workspace.open(say)
        words = names([variant] if isinstance(variant, str) else variant)
        chosen = meant(workspace, [word.partition("/")[0] for word in words], note=False)
    except DeadweightError:
        return once()
    threading.Thread(target=_look, args=(workspace, chosen, changed), daemon=True).start()
    if (code := once()) == UsageError.exit_code:
        return code
    while code < 128:  # no signal ended it
        say("waiting for a change (Ctrl-C ends)")
        code = guard(lambda: _until(changed)) or once()
    return code


def _until(changed: threading.Event) -> None:
    while not changed.wait(0.2):
        pass  # in pieces, since a signal wakes the main thread alone
    changed.clear()


def _look(workspace: lazy.Workspace, chosen: tuple[lazy.Variant, ...], changed: threading.Event) -> None:
    suite, root = workspace.suite, workspace.suite.root
    read = {place for variant in chosen for place in variant.reads() or ("",)}
    places = {Path(os.path.realpath(root / os.path.expanduser(place))) for place in read} | {suite.file}  # noqa: PTH111
    outside = [place for place in places if not place.is_relative_to(root) and place.exists()]
    sees = DefaultFilter(ignore_paths=(workspace.state.folder,))
    for burst in watch(root, *outside, watch_filter=sees, step=STEP_MS, debounce=400):
        paths = [Path(path) for _, path in burst]
        if any(path.is_relative_to(place) for path in paths for place in places):
            changed.set()
            for end in tuple(endings):
                end()
