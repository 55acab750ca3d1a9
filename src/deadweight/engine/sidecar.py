"""Open a shell in a container, or in a sidecar that shares its processes and network if its image has no shell.

The sidecar reads the target's files through ``/proc/1/root``. The kernel allows that only to a process of the same user with no
more capabilities (ptrace(2), "access mode checking"); root with default capabilities is denied.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.container import Container, is_there
from deadweight.engine.options import is_root

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

IN_ITS_FILES = "cd /proc/1/root && export PWD PS1='$ ' && exec /bin/sh"
"""Across the border of a mount namespace getcwd(2) fails: a shell must be told where it is, and not ask for its prompt."""

SHELLS = ("/bin/bash", "/bin/sh", "/bin/ash", "/busybox/sh", "/usr/bin/sh")


def shell_in(container: Container) -> str | None:
    """The first shell that can really be started in it, None where the image has none."""
    for shell in SHELLS:
        if not is_there(container.api, container.id, shell):
            continue
        try:
            if container.exec([shell, "-c", "exit 0"]).exit_code == 0:
                return shell
        except DeadweightError:  # Podman refuses the exec itself where the program is not there
            if not container.state().running:
                raise
    return None


def words_inside(container: Container, shell: str, *, tty: bool | None = None) -> list[str]:
    """What to give the ``docker`` command for an interactive shell that the image has."""
    return ["exec", *_interactive(tty), container.id, shell]


def words_beside(engine: Engine, container: Container, tools_image: str, *, tty: bool | None = None) -> list[str]:
    """The same for one that it has not: ``tools_image`` (it must have /bin/sh) is started beside the container as the same user,
    in the root folder of the container's files."""
    marks = engine.marks("shell")
    labels = [word for name, value in marks.items() for word in ("--label", f"{name}={value}")]
    shared = f"container:{container.id}"
    words = ["run", "--rm", *_interactive(tty), *labels, "--pid", shared, "--network", shared]
    words += ["--user", user_of(container), "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    return [*words, "--entrypoint", "/bin/sh", tools_image, "-c", IN_ITS_FILES]


def _interactive(tty: bool | None) -> list[str]:
    return ["--interactive", *(["--tty"] if (sys.stdin.isatty() if tty is None else tty) else [])]


def user_of(container: Container) -> str:
    """The numeric ``uid:gid`` that its first process really has (an image may name users that other images do not know)."""
    state = container.state()
    fields = _status(state.pid) if container.host.startswith("unix://") else {}
    if "Uid" in fields and "Gid" in fields:
        seen = ((kind, int(fields[kind.capitalize()].split()[1])) for kind in ("uid", "gid"))
        return ":".join(str(_inside(state.pid, kind, number)) for kind, number in seen)
    user = str(container.inspect()["Config"].get("User") or "")
    return "0:0" if is_root(user) else user


def _inside(pid: int, kind: str, number: int) -> int:
    """The number by which a process knows its user or group, of which we see ``number``: others where the engine has no root, or
    maps users (user_namespaces(7), ``/proc/pid/uid_map``)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{kind}_map").read_text().splitlines():
            first, seen, count = map(int, line.split())
            if seen <= number < seen + count:
                return first + number - seen
    return number


def _status(pid: int) -> Mapping[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
