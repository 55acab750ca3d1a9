"""Scan several variants in parallel and save the evidence; one failure does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError
from deadweight.checks.runner import keep, result_of, side_by_side
from deadweight.checks.scan import database as databases
from deadweight.checks.scan.database import Database, current
from deadweight.checks.vulnerabilities import scanned
from deadweight.records.evidence import Evidence
from deadweight.records.reference import parse
from deadweight.records.runs import locked
from deadweight.sources import network, settings
from deadweight.sources.remote import front_door

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
        return scan_subjects([workspace.subject(variant) for variant in variants], strict=strict, jobs=jobs)


def scan_subjects(
    subjects: Sequence[Subject], *, strict: bool = False, jobs: int = 2
) -> tuple[list[Evidence], dict[str, DeadweightError]]:
    """The same, for whoever holds the project's lock already."""
    done: dict[str, Evidence] = {}
    failed: dict[str, DeadweightError] = {}
    work = partial(scanned, may_run=False, strict=strict)
    with side_by_side(work, sorted(subjects, key=_weight, reverse=True), jobs=max(1, jobs)) as running:
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


# See that there is a vulnerability database, for ``demo``: the one in use, else a download, else one made here.
PROBE_SECONDS = 2.5
DUE_DAYS = 7.0
"""One that was made here is made anew when it is older; whoever asks for another by name is never overruled."""


def provide_database(workspace: Workspace) -> None:
    """Have a database in use, and say which. What keeps it from being had is said, not raised: scans are not measured then."""
    try:
        workspace.say(_provided(workspace).describe()[0])
    except Interrupted:
        raise
    except DeadweightError as error:
        workspace.say(f"no vulnerability database: {' '.join(error.message.split())}")


def _provided(workspace: Workspace) -> Database:
    try:
        kept = current()
    except MissingError:
        kept = None
    if kept is not None and not kept.made_here:
        return kept
    repository = workspace.suite.scan.database_repository
    if _answers(workspace, repository):
        try:
            return databases.use("download", repository)
        except (Interrupted, UsageError):
            raise
        except DeadweightError as error:
            workspace.say(f"the vulnerability database cannot be downloaded: {error.message}")
    return databases.use(databases.LOCAL, say=workspace.say) if kept is None or kept.age_days() > DUE_DAYS else kept


def _answers(workspace: Workspace, repository: str | None) -> bool:
    """Whether a registry that has a database for download says anything within three seconds."""
    references = [repository.removeprefix("oci://")] if repository else list(databases.PUBLIC)
    urls = [front_door(parse(reference).host) for reference in references]
    recorded = settings.load(workspace.state, workspace.suite)
    answers = network.ask_all(urls, ca=recorded.private_ca, variables=recorded.variables, seconds=PROBE_SECONDS)
    return any(answer.status is not None for answer in answers.values())
