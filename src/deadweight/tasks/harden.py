"""``harden``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._progress import print_json, say
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight_attacks.harden.result import Found
    from deadweight_attacks.harden.write.model import Request


@task(
    help={
        "variant": "the variant (needed where the suite has several)",
        "format": "run (docker flags, the default), compose, kubernetes, podman, quadlet (systemd) or ecs",
        "to": "a folder to write it to, with the seccomp profile beside it (default: print it)",
        "image": "the reference that the platform pulls, with its digest (default: the image in this engine)",
        "seccomp": "--no-seccomp does not search for a seccomp profile; the engine's own is used",
        "budget": "kubernetes: two replicas, apart, and a PodDisruptionBudget",
        "force": "search again, even if this image was already searched in this engine with the same settings",
        "json": "print one JSON document on stdout: the posture that was found, and what was tried",
    }
)
def harden(
    c: Context,
    variant: str | None = None,
    format: str = "run",
    to: str | None = None,
    image: str | None = None,
    seccomp: bool = True,
    budget: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Find, by trying, the tightest way to run a variant under which its checks still pass, and print it.

    What was found is kept: another format needs no new search.

    Example: invoke harden --variant apko --format kubernetes
    Example: invoke harden --variant apko --format compose --to deploy
    """
    from deadweight._errors import UsageError
    from deadweight._packages import attacks
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.suite.select import select_one

    if format not in attacks.HARDEN_FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(attacks.HARDEN_FORMATS)}, found {format!r}")
    with Workspace.open(say) as workspace:
        chosen = select_one(workspace.suite, variant)
        with locked(workspace.state, say), pulse("harden"):
            found = attacks.find_posture(workspace.subject(chosen), say, again=force, seccomp=seccomp)
        named = chosen.run.seccomp if found.seccomp is None else None
        root = workspace.suite.root
        profile = root / named if named else workspace.state.seccomp(chosen.name)
    for line in attacks.seccomp_lines(found.seccomp) if found.seccomp else ():
        say(f"{chosen.name}: {line}")
    if json:
        print_json(found.document())
        return
    names = (os.path.relpath(profile), os.path.relpath(root))  # as the text is to name them
    names = names if to is None else (f"./{found.suite}.seccomp.json", _way(to, root))
    _give(found, format, profile, attacks.HardenRequest(image or "", names[0], budget, names[1]), to)


def _way(folder: str, root: Path) -> str:
    """From one folder to another as the kernel goes: a folder may be a link, from which ``..`` leads elsewhere."""
    return os.path.relpath(os.path.realpath(root), os.path.realpath(folder))


def _give(found: Found, format: str, profile: Path, given: Request, to: str | None) -> None:
    """Print the text, or write it and its profile to a folder."""
    from deadweight._packages import attacks
    from deadweight.engine.seccomp.profile import write
    from deadweight.records.store import write_atomically

    for line in attacks.harden_notes(found, format, given):
        say(f"{found.variant.name}: {line}")
    if to is None:
        print(attacks.harden_text(found, format, given), end="")
        return
    folder = Path(to)
    for name, text in attacks.harden_files(found, format, given).items():
        write_atomically(folder / name, text)
        say(f"written: {folder / name}")
    if not found.profiled or format == "ecs":
        return
    beside_it = folder / Path(given.profile).name
    if found.seccomp:
        write(beside_it, found.seccomp.profile())
    else:
        write_atomically(beside_it, profile.read_bytes())
    say(f"written: {beside_it}")
