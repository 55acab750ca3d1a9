"""``clean``."""

from __future__ import annotations

from invoke.context import Context

from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._options import parse_days
from deadweight.tasks._progress import say
from deadweight.tasks._task import task


@task(
    help={
        "project": "also remove this project's images from the engine and its whole state folder, but nothing that projects share",
        "all": "also stop the engine, the registry and the Maven that Deadweight started, which all your projects share",
        "older-than": "keep what is newer, for example 7d or 36h",
    }
)
def clean(c: Context, project: bool = False, all: bool = False, older_than: str | None = None) -> None:
    """Remove what dead processes left, logs, and spare archives; with --project everything of this project.

    Example: invoke clean --project
    """
    from deadweight._errors import MissingError
    from deadweight.project.clean import clean as clean_up
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.report.figures import plural
    from deadweight.suite.values import format_bytes

    days = parse_days(older_than)
    with Workspace.open(say) as workspace, locked(workspace.state, say), pulse("clean"):
        done = clean_up(workspace, project=project or all, end_shared=all, older_than_days=days)
    freed = format_bytes(done.size_bytes)
    first = "1 container or network" if done.containers == 1 else f"{done.containers} containers and networks"
    say(f"removed {first}, {plural(done.images, 'image')}, {plural(done.files, 'file')} ({freed})")
    if done.left is not None:
        raise MissingError(f"the engine was not cleaned: {done.left.message}", hint=done.left.hint)
