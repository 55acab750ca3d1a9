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
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        pass
    return "/".join((socket.gethostname(), boot, namespace))


def is_stale(marks: Mapping[str, str]) -> bool:
    """Whether the process that made a thing with these labels is dead.

    Process ids of another machine or namespace cannot be judged: such a thing is stale a day after it was made.
    """
    if OWNER not in marks:
        return False
    host, boot, namespace = _split(host_id())
    their_host, their_boot, their_namespace = _split(marks.get(HOST, ""))
    if their_host == host and their_boot != boot:
        return True
    if (their_host, their_boot, their_namespace) != (host, boot, namespace):
        return _age_seconds(marks) > FOREIGN_LIFETIME_SECONDS
    pid, _, started = marks[OWNER].partition(":")
    return not pid.isdigit() or _started(int(pid)) != started


def _split(host: str) -> tuple[str, str, str]:
    parts = host.split("/")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (host, "", "")


def _age_seconds(marks: Mapping[str, str]) -> float:
    created = marks.get(CREATED, "")
    return time.time() - int(created) if created.isdigit() else float("inf")


def _started(pid: int) -> str | None:
    """When a process started, in the system's own unit; None where there is no such process (or only its zombie)."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold blanks and parentheses; fields are counted after the last one (proc(5)).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else fields[19]
    try:
        shown = run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, timeout=10)
    except DeadweightError:
        return None
    return "-".join(shown.output.split()) or None


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
    found = [
        Leftover(
            kind="container",
            id=one["Id"],
            name=(one.get("Names") or ["?"])[0].lstrip("/"),
            labels=one["Labels"],
            stale=is_stale(one["Labels"]),
            running=one.get("State") == "running",
        )
        for one in containers
    ]
    found += [Leftover("network", one["Id"], one["Name"], one["Labels"], is_stale(one["Labels"])) for one in networks]
    for one in images:
        names, marks = one.get("RepoTags") or (), one.get("Labels") or {}
        if names and all(_OURS.fullmatch(name) for name in names):
            found.append(Leftover("image", one["Id"], names[0], marks, is_stale(marks)))
    return found


def wait_gone(api: APIClient, container: str) -> None:
    """Wait, a moment at most, until a container that is being removed is gone."""
    from docker.errors import NotFound

    deadline = time.monotonic() + GONE_SECONDS
    with contextlib.suppress(NotFound):
        while time.monotonic() < deadline:
            api.inspect_container(container)
            time.sleep(0.05)


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
    """End and remove a container, ours or not; nothing happens where it is gone already."""
    from docker.errors import APIError

    with translated(f"remove container {container[:12]}"):
        try:
            api.remove_container(container, v=True, force=True)
        except APIError as error:
            status = None if error.response is None else error.response.status_code
            if status == 409:  # somebody else is removing it at this moment, and until it is gone its network cannot go
                wait_gone(api, container)
            elif status != 404:
                raise


def remove_leftover(api: APIClient, leftover: Leftover) -> bool:
    """Remove one; False where the engine refuses."""
    try:
        if leftover.kind == "container":
            remove_container(api, leftover.id)
        elif leftover.kind == "image":
            with translated(f"remove image {leftover.name}"):
                api.remove_image(leftover.name, force=True)
        else:
            with translated(f"remove network {leftover.name}"):
                api.remove_network(leftover.id)
    except DeadweightError:
        return False
    return True
