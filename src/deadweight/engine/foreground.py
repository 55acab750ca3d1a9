"""Run a container in the foreground (``invoke run``), follow logs (``invoke logs``), open a shell (``invoke shell``)."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _run, _signals
from deadweight._errors import DeadweightError, wording
from deadweight.engine import labels
from deadweight.engine.container import Container
from deadweight.engine.faults import translated
from deadweight.engine.options import RunOptions, is_root

if TYPE_CHECKING:
    from deadweight.engine.client import Engine


STOP_SECONDS = 10.0
RUN = "run"
"""The purpose, a label, of containers that ``run_in_foreground`` starts."""


def run_in_foreground(
    engine: Engine,
    image: str,
    options: RunOptions,
    *,
    variant: str,
    on_line: Callable[[str], None],
    on_start: Callable[[Container], None] = lambda _container: None,
) -> int:
    """Run a container, hand its lines to ``on_line`` until it ends, and give its exit code.

    Ctrl-C, SIGTERM or a closed terminal send it SIGTERM, wait ten seconds at most, remove it and give 130, 143 or 129.
    ``on_start`` is called once it runs.
    """
    with engine.start(image, options, purpose=RUN, variant=variant) as container:
        try:
            on_start(container)
            for line in container.follow():
                on_line(line)
            return container.wait_ended(STOP_SECONDS).exit_code
        except KeyboardInterrupt:
            _run.reset_cancel()  # Ctrl-C may have cancelled all waiting; the end of this container is waited for all the same
            container.stop(STOP_SECONDS)
            return _signals.exit_code()


def running(engine: Engine, variants: Collection[str] = (), *, purpose: str | None = None) -> list[tuple[str, str]]:
    """(container id, variant) of this checkout's containers that run, the newest first; of all variants where none is named."""
    wanted = [f"{labels.PROJECT}={engine.project}", f"{labels.ROOT}={engine.root}"]
    wanted += [f"{labels.PURPOSE}={purpose}"] if purpose else []
    with translated("list what we made"):
        containers = engine.api.containers(filters={"label": wanted})
    newest = sorted(containers, key=lambda one: -int(one["Created"]))
    named = [(str(one["Id"]), str(one["Labels"].get(labels.VARIANT, ""))) for one in newest]
    return [(container_id, name) for container_id, name in named if name and (not variants or name in variants)]


def started_by_run(engine: Engine, variant: str) -> Container | None:
    """The container of a variant that ``invoke run`` holds in another terminal. It is not ours: nothing here removes it.

    Containers of checks and attacks are passed over: they end without asking whoever looks into them.
    """
    containers = running(engine, (variant,), purpose=RUN)
    return Container(engine, containers[0][0], "", RunOptions()) if containers else None


def log_lines(
    engine: Engine, variants: Collection[str] = (), *, follow: bool = False, lines: int | None = 200
) -> Iterator[str]:
    """The last lines (None: all) of the project's running containers, each led by its variant where there are several.

    With ``follow`` only one container can be read. Raises DeadweightError where none runs, or where ``follow`` meets several.
    """
    containers = running(engine, variants)
    if not containers:
        which = f"variant {' or '.join(variants)}" if variants else "this project"
        raise DeadweightError(wording("engine.none_running", owner=which))
    if follow and len(containers) > 1:
        names = ", ".join(sorted({name for _, name in containers}))
        raise DeadweightError(wording("engine.several_running", names=names))
    for container_id, name in containers:
        container = Container(engine, container_id, "", RunOptions())
        lead = f"{name}: " if len(containers) > 1 else ""
        try:
            for line in container.follow(lines) if follow else container.logs(lines):
                yield lead + line
        except DeadweightError:
            if len(containers) == 1:
                raise  # of several, one may have ended and been removed since they were listed


# Open a shell in a container, or in a sidecar that shares its processes and network if its image has no shell.
#
# The sidecar reads the target's files through ``/proc/1/root``. The kernel allows that only to a process of the same user with no
# more capabilities (ptrace(2), "access mode checking"); root with default capabilities is denied.
IN_ITS_FILES = "cd /proc/1/root && export PWD PS1='$ ' && exec /bin/sh"
"""Across the border of a mount namespace getcwd(2) fails: a shell must be told where it is, and not ask for its prompt."""

SHELLS = ("/bin/bash", "/bin/sh", "/bin/ash", "/busybox/sh", "/usr/bin/sh")


def shell_in(container: Container) -> str | None:
    """The first shell that can really be started in it, None where the image has none."""
    for shell in SHELLS:
        try:
            if container.exec([shell, "-c", "exit 0"]).exit_code == 0:
                return shell
        except DeadweightError:  # Podman refuses the exec itself where the program is not there
            if not container.state().running:
                raise
    return None


def words_inside(container: Container, shell: str) -> list[str]:
    """What to give the ``docker`` command for an interactive shell that the image has."""
    return ["exec", *_interactive(), container.id, shell]


def words_beside(engine: Engine, container: Container, tools_image: str) -> list[str]:
    """The same for one that it has not: ``tools_image`` (it must have /bin/sh) is started beside the container as the same user,
    in the root folder of the container's files."""
    marks = engine.marks("shell")
    labels = [word for name, value in marks.items() for word in ("--label", f"{name}={value}")]
    shared = f"container:{container.id}"
    words = ["run", "--rm", *_interactive(), *labels, "--pid", shared, "--network", shared]
    words += ["--user", user_of(container), "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    return [*words, "--entrypoint", "/bin/sh", tools_image, "-c", IN_ITS_FILES]


def _interactive() -> list[str]:
    return ["--interactive", *(["--tty"] if sys.stdin.isatty() else [])]


def user_of(container: Container) -> str:
    """The numeric ``uid:gid`` that its first process really has (an image may name users that other images do not know)."""
    pid = container.state().pid if container.is_here else 0
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        seen = {kind.lower(): int(number) for kind, number in re.findall(r"(?m)^(Uid|Gid):\t\d+\t(\d+)", status)}
        return f"{_inside(pid, 'uid', seen['uid'])}:{_inside(pid, 'gid', seen['gid'])}"
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
