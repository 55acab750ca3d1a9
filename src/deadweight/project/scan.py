"""Scan several variants side by side and keep the evidence; one that fails keeps none of the others from being scanned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, UsageError
from deadweight.checks.parallel import result_of, side_by_side
from deadweight.checks.runner import keep
from deadweight.checks.scan.database import current
from deadweight.checks.vulnerabilities import scanned
from deadweight.records.evidence import Evidence
from deadweight.records.lock import locked

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.project.workspace import Workspace
    from deadweight.suite.model import Variant


def scan_variants(
    workspace: Workspace, variants: Sequence[Variant], *, strict: bool = False, jobs: int = 2
) -> tuple[list[Evidence], dict[str, DeadweightError]]:
    """The evidence of each variant in the order given, and why those failed that could not be scanned.

    Images of the heaviest base come first, so that no long scan is left for the end. No service is started.
    Raises UsageError for a wrong suite, MissingError with ``strict`` where there is no database, Interrupted.
    """
    if strict:
        current()
    with locked(workspace.state, workspace.say):
        return scan_subjects([workspace.subject(each) for each in variants], strict=strict, jobs=jobs)


def scan_subjects(
    subjects: Sequence[Subject], *, strict: bool = False, jobs: int = 2
) -> tuple[list[Evidence], dict[str, DeadweightError]]:
    """The same, for whoever holds the project's lock already."""
    order = sorted(subjects, key=lambda subject: -_weight(subject))
    done: dict[str, Evidence] = {}
    failed: dict[str, DeadweightError] = {}
    work = partial(scanned, may_run=False, strict=strict)
    with side_by_side(work, order, jobs=max(1, jobs)) as running:
        for subject, future in running:
            try:
                done[subject.variant.name] = keep(subject, result_of(future))
            except (Interrupted, UsageError):
                raise
            except DeadweightError as error:
                failed[subject.variant.name] = error
    names = [subject.variant.name for subject in subjects]
    return [done[name] for name in names if name in done], failed


def _weight(subject: Subject) -> int:
    """Bytes of the archive where it is there already; one that must be saved from the engine first is the heaviest."""
    archive = subject.state.image(subject.variant.name) / "image.tar"
    return archive.stat().st_size if archive.is_file() else 1 << 40
