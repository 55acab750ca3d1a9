"""Landlock (landlock(7)) put on a service before it starts, by a small program of ours in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.options import Mount, RunOptions
from deadweight_attacks.helper import TARGET

if TYPE_CHECKING:
    from deadweight.engine.container import Container

HALVES, TRY_SECONDS = ("land", "locked"), 10.0


def putting_on(container: Container, hard: RunOptions, port: int | None, handed_in: Sequence[Mount]) -> tuple[str, ...]:
    """The program and the words that put it on, before those that it starts.

    Nothing but what ``hard`` grants may be written to, nothing that is ``handed_in`` from the host read, no port taken but the
    service's own. Tried once in ``container``, which has the program. Raises DeadweightError where this machine cannot do it.
    """
    words = [f"write={each.path}" for each in hard.tmpfs] + [f"deny={each.target}" for each in handed_in]
    words += [*([] if port is None else [f"port={port}"]), *(["connect"] if hard.hosts else [])]
    start = (TARGET, "landlock", *words, "--")
    try:
        tried = container.exec([*start, TARGET, "hello", *HALVES], seconds=TRY_SECONDS)
        said = tried.output.decode(errors="replace").strip()
    except (DeadweightError, OSError) as error:
        said = str(error)
    if said != "".join(HALVES):
        raise DeadweightError(
            f"this machine cannot put Landlock on a container's service (Linux 5.13 and later): {said}"
        )
    return start
