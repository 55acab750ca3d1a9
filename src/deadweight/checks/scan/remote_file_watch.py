"""Watch which files a service opens and executes from beside it, where this process cannot: it is not root, or not of the engine's
machine.

The service runs under our recorder, whose filter tells of the calls that open or execute a file before they go on
(``engine/recorders.py``). Another container of ours, among the service's processes, reads the name that is asked for and looks
which file it leads to. So a file also counts that is there and that the service was then refused; what goes through io_uring does
not, nor what a health check starts in the container.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.scan.file_watch import CannotWatch
from deadweight.checks.service import with_last_lines
from deadweight.engine.recorders import FILES, UNTOLD, WATCH, argv, recording, roomier, running_on

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container


def watched(subject: Subject, ask: Callable[[Container], None]) -> tuple[frozenset[str], frozenset[str]]:
    """What was opened, and what of it was executed, while the service came up and ``ask`` sent it everything.

    Raises CannotWatch where that is not told, DeadweightError where the service does not come up."""
    engine, service, image = subject.engine(), subject.service, subject.engine_image()
    options = service.options()
    options, name = recording(roomier(options), argv(engine.images.need(image), options), FILES)
    packed = engine.recorders.packed(image)
    with engine.start(packed, options, variant=subject.variant.name) as container:
        try:
            with engine.recorders.listening(container, name, WATCH) as heard:
                readiness = container.wait_healthy(subject.variant.health, subject.variant.port)
                if not readiness.healthy:
                    _files(heard.line())
                    raise DeadweightError(readiness.reason)
                ask(container)
                return _files(heard.line())
        except Interrupted:
            raise
        except DeadweightError as error:
            raise _better(error, container) from error


def _better(error: DeadweightError, container: Container) -> Exception:
    """What the recorder or the service said, where it has ended."""
    if running_on(container, error):
        return error
    said = " ".join(container.logs(3))
    if UNTOLD in said:
        return CannotWatch(_untold(said))
    return DeadweightError(with_last_lines(f"the service {container.state().told()}", container))


def _untold(said: str) -> str:
    return (
        "the engine's kernel does not tell which files a service opens (seccomp_unotify(2), Linux 5.5 and later): "
        + said.rpartition(": ")[2]
    )


def _files(line: bytes) -> tuple[frozenset[str], frozenset[str]]:
    said = json.loads(line)
    trouble = said["trouble"] or ("" if said["executed"] else "no program was seen")
    if trouble.startswith(UNTOLD.partition(": ")[2]):
        raise CannotWatch(_untold(trouble))
    if trouble:
        raise CannotWatch(f"which files the service opens cannot be read from beside it: {trouble}")
    return frozenset(said["opened"]), frozenset(said["executed"])
