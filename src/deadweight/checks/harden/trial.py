"""One trial: does the variant come up, answer all its requests as expected, and end in time, with these options?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.checks.api import run_item
from deadweight.checks.service import Service, ServiceDown, with_last_lines
from deadweight.engine.faults import CannotStart, translated
from deadweight.engine.options import RunOptions
from deadweight.engine.sidecar import user_of

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container

PURPOSE = "harden"
UNPROBED = ("/proc", "/sys", "/dev")


@dataclass(frozen=True)
class Trial:
    """``problem`` empty: everything passed. ``user`` is the uid:gid that it really ran as, ``written`` the folders it wrote to."""

    problem: str
    user: str = ""
    written: tuple[str, ...] = ()


class _Given(Service):
    """The service that a trial started; there is no second one."""

    def __init__(self, subject: Subject, container: Container) -> None:
        super().__init__(subject.variant, subject.engine, subject.engine_image)
        self._shared = container

    def get(self) -> Container:
        if (
            self._shared is not None and self._shared.state().running
        ):  # an obituary waits; this is asked for each request
            return self._shared
        raise ServiceDown(self.obituary() or "the service is gone")


def attempt(subject: Subject, options: RunOptions) -> Trial:
    """Start, ask everything that the suite asks, stop. What goes wrong is the trial's problem; nothing is left behind."""
    variant = subject.variant
    try:
        container = subject.engine().start(subject.engine_image(), options, purpose=PURPOSE, variant=variant.name)
    except CannotStart as refusal:
        return Trial(refusal.message)
    with container:
        readiness = container.wait_healthy(variant.health, variant.port)
        if not readiness.healthy:
            return Trial(with_last_lines(readiness.reason, container), written=_written(container))
        user = user_of(container)
        problem = _requests(subject, container)
        if not problem:
            stopped = container.stop(variant.checks.runs.stops_within_seconds)
            problem = "" if stopped.in_time else "does not end in time on SIGTERM"
        return Trial(problem, user or "", _written(container))


def _requests(subject: Subject, container: Container) -> str:
    asked = replace(subject)
    object.__setattr__(
        asked, "service", _Given(subject, container)
    )  # what __post_init__ makes would be another container
    for item in subject.variant.checks.api:
        try:
            result = run_item(asked, item)
        except ServiceDown as down:
            return f"{item.name}: {down.message}"
        if result.status != "pass":
            return f"{item.name}: {result.reason}"
    return ""


def _written(container: Container) -> tuple[str, ...]:
    """Folders in which files were made or changed (the engine's own comparison with the image)."""
    try:
        with translated(f"changes of container {container.name}"):
            changes: Sequence[Mapping[str, Any]] = container.engine.api.diff(container.id) or []
    except DeadweightError:
        return ()
    paths = {str(change["Path"]) for change in changes if change.get("Kind") in (0, 1)}
    leaves = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    folders = {str(PurePosixPath(path).parent) for path in leaves}
    return tuple(sorted(folder for folder in folders if folder != "/" and not folder.startswith(UNPROBED)))
