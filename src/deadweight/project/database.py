"""See that there is a vulnerability database, for ``demo``: the one in use, else a download, else one made here."""

from __future__ import annotations

from datetime import UTC, datetime

from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError
from deadweight.checks.scan import database as databases
from deadweight.checks.scan.database import Database
from deadweight.project.workspace import Workspace
from deadweight.records.reference import parse
from deadweight.sources import network, settings
from deadweight.sources.remote import front_door

PROBE_SECONDS = 2.5
DUE_DAYS = 7.0
"""One that was made here is made anew when it is older; whoever asks for another by name is never overruled."""


def wanted(workspace: Workspace) -> bool:
    """Whether the suite asks for scans at all."""
    return any(variant.checks.vulnerabilities is not None for variant in workspace.suite.variants)


def provide(workspace: Workspace) -> None:
    """Have a database in use, and say which. What keeps it from being had is said, not raised: scans are not measured then."""
    try:
        for line in _provided(workspace).told():
            workspace.say(line)
    except Interrupted:
        raise
    except DeadweightError as error:
        workspace.say(f"no vulnerability database: {' '.join(error.message.split())}")


def _provided(workspace: Workspace) -> Database:
    kept = _kept()
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
    return databases.use_local(workspace.say) if kept is None or _due(kept) else kept


def _kept() -> Database | None:
    try:
        return databases.current()
    except MissingError:
        return None


def _due(kept: Database) -> bool:
    if kept.contents is None:
        return True
    made = datetime.fromisoformat(kept.contents.made_at)
    return (datetime.now(UTC) - made).total_seconds() > DUE_DAYS * 86400


def _answers(workspace: Workspace, repository: str | None) -> bool:
    """Whether a registry that has a database for download says anything within three seconds."""
    references = [repository.removeprefix("oci://")] if repository else list(databases.PUBLIC)
    urls = [front_door(parse(reference).host) for reference in references]
    recorded = settings.load(workspace.state, workspace.suite)
    answers = network.ask_all(urls, ca=recorded.private_ca, variables=recorded.variables, seconds=PROBE_SECONDS)
    return any(answer.status is not None for answer in answers.values())
