"""Label containers and networks with their owner; find and remove leftovers of dead processes."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from docker.api.client import APIClient


PROJECT = "deadweight.project"
OWNER = "deadweight.owner"
HOST = "deadweight.host"
CREATED = "deadweight.created"
PURPOSE = "deadweight.purpose"
VARIANT = "deadweight.variant"
ROOT = "deadweight.root"
"""The project's folder: checkouts of one suite have the same name, and may share an engine."""

FOREIGN_LIFETIME_SECONDS = 24 * 3600


def labels(project: str, purpose: str, variant: str = "") -> dict[str, str]:
    """The labels of everything that this process makes in the engine."""
    return {
        PROJECT: project,
        OWNER: f"{os.getpid()}:{_started(os.getpid()) or '?'}",
        HOST: host_id(),
        CREATED: str(int(time.time())),
        PURPOSE: purpose,
        VARIANT: variant,
    }


@functools.cache
def host_id() -> str:
    """This machine and, on Linux, its boot and our process-id namespace: process ids mean nothing beyond these."""
    boot, namespace = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = Path("/proc/self/ns/pid").readlink().name
    return "/".join((socket.gethostname(), boot, namespace))


def is_stale(marks: Mapping[str, str]) -> bool:
    """Whether the process that made a thing with these labels is dead.

    Process ids of another machine or namespace cannot be judged: such a thing is stale a day after it was made.
    """
    if OWNER not in marks:
        return False
    ours, theirs = host_id().split("/"), marks.get(HOST, "").split("/")
    if theirs[0] == ours[0] and theirs[1:2] != ours[1:2]:
        return True
    if theirs != ours:
        created = marks.get(CREATED, "")
        return not created.isdigit() or time.time() - int(created) > FOREIGN_LIFETIME_SECONDS
    pid, _, started = marks[OWNER].partition(":")
    return not pid.isdigit() or _started(int(pid)) != started


def _started(pid: int) -> str | None:
    """When a process started, in the system's own unit; None where there is no such process (or only its zombie)."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold blanks and parentheses; fields are counted after the last one (proc(5)).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else fields[19]
    with contextlib.suppress(DeadweightError):
        shown = run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, timeout=10)
        return "-".join(shown.output.split()) or None
    return None


# What we made in the engine and is still there: found by its labels, removed one by one.
GONE_SECONDS = 10.0
MAKING_SECONDS = 1.0
_OURS = re.compile(r"(?:localhost/|docker\.io/)?deadweight/\w+:[0-9a-f]{12}")
"""Names of images that a process makes for itself. An image that somebody commits from a container of ours has our labels too."""


@dataclass(frozen=True)
class Leftover:
    """A container, network or image of ours that is in the engine. ``stale``: the process that made it is dead."""

    kind: str
    id: str
    name: str
    labels: Mapping[str, str]
    stale: bool
    running: bool = False

    def ours_to_remove(self, root: str) -> bool:
        """Whether it is of the project in this folder, or of none that is still there: others are told of theirs themselves."""
        theirs = self.labels.get(ROOT, "")
        return theirs in ("", root) or not Path(theirs).is_dir()


def find_leftovers(api: APIClient) -> list[Leftover]:
    """Everything that carries our labels; containers first, since what they use cannot be removed."""
    filters = {"label": OWNER}
    with translated("list what we made"):
        containers = api.containers(all=True, filters=filters)
        networks = api.networks(filters=filters)
        images = api.images(filters=filters)
    named = [("container", one, (one.get("Names") or ["?"])[0].lstrip("/")) for one in containers]
    named += [("network", one, one["Name"]) for one in networks]
    named += [
        ("image", one, one["RepoTags"][0])
        for one in images
        if one.get("RepoTags") and all(map(_OURS.fullmatch, one["RepoTags"]))
    ]
    return [
        Leftover(kind, one["Id"], name, marks, is_stale(marks), one.get("State") == "running")
        for kind, one, name in named
        if (marks := one.get("Labels") or {})
    ]


def remove_when_there(api: APIClient, names: Collection[str]) -> None:
    """Remove containers that the engine may be about to make: their making was asked for, and nobody waited for the answer."""
    from docker.errors import DockerException

    deadline, left = time.monotonic() + MAKING_SECONDS, set(names)
    while left and time.monotonic() < deadline:
        for name in list(left):
            with contextlib.suppress(DockerException, OSError):
                api.remove_container(name, v=True, force=True)
                left.discard(name)
        time.sleep(0.05)


def remove_container(api: APIClient, container: str) -> None:
    """End and remove a container, ours or not; nothing happens if it is gone already."""
    from docker.errors import APIError, NotFound

    with translated(f"remove container {container[:12]}"), contextlib.suppress(NotFound):
        try:
            api.remove_container(container, v=True, force=True)
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            # Somebody else is removing it at this moment, and until it is gone its network cannot go.
            deadline = time.monotonic() + GONE_SECONDS
            while time.monotonic() < deadline:
                api.inspect_container(container)
                time.sleep(0.05)


def remove_leftover(api: APIClient, leftover: Leftover) -> bool:
    """Remove one; False if the engine refuses (it is told again at the next start)."""
    with contextlib.suppress(DeadweightError), translated(f"remove {leftover.kind} {leftover.name}"):
        if leftover.kind == "container":
            remove_container(api, leftover.id)
        elif leftover.kind == "image":
            api.remove_image(leftover.name, force=True)
        else:
            api.remove_network(leftover.id)
        return True
    return False
