"""``clean``."""

from __future__ import annotations

from invoke.context import Context

from deadweight.tasks._options import parse_days
from deadweight.tasks._show import say
from deadweight.tasks._task import task


@task(
    help={
        "all": "remove this project's images and whole state folder, and end an engine, a registry and a Maven of our own",
        "older-than": "spare what is newer, for example 7d or 36h",
    }
)
def clean(c: Context, all: bool = False, older_than: str | None = None) -> None:
    """Remove what dead processes left, logs, and spare archives; with --all everything of this project.

    Example: invoke clean --all
    """
    from deadweight._errors import MissingError
    from deadweight.project.clean import clean as clean_up
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.suite.sizes import format_bytes

    days = parse_days(older_than)
    with Workspace.open(say) as workspace, locked(workspace.state, say):
        done = clean_up(workspace, everything=all, older_than_days=days)
    freed = format_bytes(done.size_bytes)
    say(f"removed {done.containers} containers and networks, {done.images} images, {done.files} files ({freed})")
    if done.left is not None:
        raise MissingError(f"what is in the engine stays: {done.left.message}", hint=done.left.hint)
