"""Running a builder's tool on this machine: its output goes to the log and to a listener, within the time that a build has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deadweight import _run
from deadweight.builders.shared import common
from deadweight.builders.shared.listen import Listener


def listened(
    argv: Sequence[str | Path],
    listener: Listener,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    told: Sequence[str | Path] | None = None,
) -> None:
    """Run a tool to its end; what is secret in ``environment`` stays out of the log. Raises CommandError.

    ``told`` is the call that the log and an error show, where ``argv`` is only our way of making it.
    """
    _run.run(
        argv,
        told=told,
        cwd=cwd,
        env=environment,
        timeout=common.BUILD_TIMEOUT_SECONDS,
        log=log,
        on_line=listener,
        redact=common.secret_values(environment),
    )
