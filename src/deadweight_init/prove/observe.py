"""Run a service in a plain container and report its ports, health, written folders, exit, and why it fails to start."""

from __future__ import annotations

import contextlib
import http.client
import posixpath
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight._log_excerpt import plain
from deadweight.engine.faults import translated
from deadweight.engine.foreground import user_of
from deadweight.engine.health import check_grpc, speaks_tls
from deadweight.engine.options import RunOptions, Tmpfs
from deadweight.suite.values import format_bytes
from deadweight_init.languages.sources import WRITTEN, served_document
from deadweight_init.records import wording
from deadweight_init.tree import OF_THE_SYSTEM, TABLES

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer
    from deadweight.suite.model import RunSettings

START_SECONDS = 90.0
LOOPBACK_SECONDS = 10.0
"""So long something may listen on loopback alone before it is clear that nothing else will."""

DECLARED_SECONDS = 20.0
"""So long declared ports are waited for once any port is open."""

SETTLE_SECONDS = 1.0

LOOK_SECONDS, MARGIN_SECONDS = 45.0, 5.0
"""Whoever says something new within so long is still at it. The second look is so long before a start counts as failed."""

HEARD_LINES = 2000
MOST_SECONDS = 240.0
"""So long a service is waited for that is still at it: large frameworks on a busy machine."""


def _distinct_lines(container: Container) -> frozenset[str]:
    """What a container said by now: lines that differ in more than numbers."""
    try:
        return frozenset(re.sub(r"\d+", "", line) for line in container.logs(HEARD_LINES))
    except DeadweightError:
        return frozenset()


class Down(Enum):
    """Why a service does not come up."""

    ENDED = "ended"
    ENDED_WITH_0 = "ended_with_0"
    """It ends without an error, although the repository says that it listens."""
    MISSING_VARIABLE = "missing_variable"
    NOT_LISTENING = "not_listening"
    ONLY_LOOPBACK = "only_loopback"
    NEED_FAILED = "need_failed"
    """What it needs beside it cannot be had, or does not come up."""
    NOT_HARDENED = "not_hardened"


class NotUp(DeadweightError):
    """The service did not come up; says why, with its last lines. ``log`` are its lines, ``variable`` is what it lacks."""

    def __init__(self, down: Down, message: str, log: Sequence[str] = (), variable: str = "") -> None:
        super().__init__(message)
        self.down, self.log, self.variable = down, tuple(log), variable


_UNSET = tuple(map(re.compile, TABLES["patterns"]["missing_variable"]))


def missing_variable(lines: Sequence[str]) -> str:
    """The variable (or Spring's setting) for want of which a service ended, as far as its own words name one."""
    return next((match[1] for line in lines for pattern in _UNSET if (match := pattern.search(line))), "")


def failure_of(reason: str, container: Container, code: Down = Down.ENDED) -> NotUp:
    """The failure of a service with its own words; if it ended, with the variable that it lacks, if it names one."""
    lines = all_lines(container)
    variable = missing_variable([line for line in lines if not _PLAIN.search(line)]) if code is Down.ENDED else ""
    return NotUp(Down.MISSING_VARIABLE if variable else code, with_cause(reason, lines), lines, variable)


def need_running(container: Container, *, listened: bool = False) -> None:
    """Raises NotUp for a container that ended."""
    if not (state := container.state()).running:
        how = state.outcome()
        raise failure_of(wording("down.listened", how=how) if listened else wording("down.ended", how=how), container)


def wait_listening(
    container: Container, ports: Sequence[int], seconds: float = START_SECONDS, declared: Collection[int] = ()
) -> tuple[int, ...]:
    """The ports that can be reached from outside, once it listens. Those that are ``declared`` are all waited for a while longer: a
    port for management often opens first. Raises NotUp: it ended, never listens, on loopback only."""
    deadline = container.started + seconds
    heard, look, first_open = frozenset[str](), deadline - LOOK_SECONDS - MARGIN_SECONDS, 0.0
    while True:
        if _run.cancelled():
            raise Interrupted("interrupted")
        need_running(container)
        listeners = container.listeners() or ()
        reached = {listener.port for listener in listeners if not listener.loopback}
        if reached:
            first_open = first_open or time.monotonic()
            if reached.issuperset(declared) or time.monotonic() > first_open + DECLARED_SECONDS:
                break
        elif not listeners and time.monotonic() >= look:
            before, heard, look = heard, heard | _distinct_lines(container) | {""}, time.monotonic() + LOOK_SECONDS
            if before and heard != before:  # it says something new
                deadline = max(deadline, min(look, container.started + MOST_SECONDS))
        late = time.monotonic() > (container.started + LOOPBACK_SECONDS if listeners else deadline)
        if late and not reached:
            if listeners:
                where = ", ".join(f"{listener.address}:{listener.port}" for listener in listeners)
                raise NotUp(Down.ONLY_LOOPBACK, wording("down.only_loopback", where=where), all_lines(container))
            waited = time.monotonic() - container.started
            raise failure_of(wording("down.not_listening", seconds=waited), container, Down.NOT_LISTENING)
        time.sleep(0.2)
    time.sleep(SETTLE_SECONDS)  # a second port often comes a moment later
    need_running(container)
    open_now = {listener.port for listener in container.listeners() or listeners if not listener.loopback}
    return tuple(sorted(open_now, key=lambda port: (ports.index(port) if port in ports else len(ports), port)))


_PLAIN = re.compile(r"\b(?:TRACE|DEBUG|INFO)\b")
"""Lines that name errors without telling of one: ``INFO … Mapped "{[/error]}" onto …``."""


_EXCEPTION = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): \S")


def with_cause(reason: str, log: Sequence[str]) -> str:
    """A reason with the line that tells the cause, and the last lines. It is the first exception by its name, as Python prints it
    after its frames, else the first line that names an error, as other runtimes print it before theirs."""
    words = ("panic:", "error", "exception", "fatal", "cannot", "refused", "denied", "missing", "not set", "required")
    lines = [line.strip() for line in log if line.strip()]
    errors = [line for line in lines if not _PLAIN.search(line) and any(word in line.lower() for word in words)]
    cause = next((line for line in errors if _EXCEPTION.match(line)), next(iter(errors), ""))
    text = " | ".join([*([cause[:300]] if cause else []), *(line for line in lines[-3:] if line != cause)])
    return wording("down.said", reason=reason, lines=text) if text else wording("down.silent", reason=reason)


def first_line(container: Container) -> str:
    """The first line that it wrote; empty where it wrote none."""
    return next((line.strip() for line in all_lines(container) if line.strip()), "")


def all_lines(container: Container) -> list[str]:
    """The first lines that it wrote; none if they cannot be had."""
    try:
        return [plain(line) for line in container.logs(None)[:2000]]
    except DeadweightError:
        return []


FIRST_SECONDS = 30.0
"""Some listen long before they answer: a server whose workers still load."""

WORKERS_SECONDS = 5.0
"""So long a server that speaks no HTTP may take to show that it is one, or to end."""

ASK_SECONDS = 5.0
MOST_HOPS = 4
STOP_SECONDS = 12.0
LIKELY: Sequence[str] = TABLES["paths"]["health"]
"""Where services tell that they are up, by how often that is so."""

NOWHERE = "/no-such-path-of-this-service"
"""What answers here with 2xx answers so everywhere: its health routes prove nothing."""

PLAIN = RunOptions(memory_bytes=2 * 2**30, pids=2048)


@dataclass(frozen=True)
class Health:
    """What answered. ``tcp``: no protocol that is known here, the port alone. ``exit``: a job, which ended with 0."""

    kind: Literal["http", "tcp", "grpc", "exit"]
    port: int
    path: str = ""
    status: int = 0
    tls: bool = False


WhileUp = Callable[["Container", Health], None]


@dataclass(frozen=True)
class Observation:
    """A service that came up. ``writes`` are folders outside of /tmp that it wrote to; ``stop_seconds`` None: it was killed;
    ``closed`` are declared ports that it did not open."""

    health: Health
    ports: tuple[int, ...] = ()
    user: str = ""
    memory_bytes: int = 0
    pids: int = 0
    writes: tuple[str, ...] = ()
    started_seconds: float = 0.0
    stop_seconds: float | None = 0.0
    printed: str = ""
    """Of a job: the first line that it wrote."""
    cpu_seconds: float = 0.0
    """What it took to come up, whatever else the machine does."""
    closed: tuple[int, ...] = ()


def health_note(health: Health) -> str:
    """Why its health is not asked for over HTTP."""
    if health.path:
        return wording("seen.answers", path=health.path, status=health.status)
    if health.kind == "tcp":
        return wording("seen.tcp")
    return wording("seen.grpc") if health.kind == "grpc" else wording("seen.exit")


def summary_of(seen: Observation) -> str:
    """One line of what was seen."""
    if seen.health.kind == "exit":
        return wording("seen.job", seconds=seen.started_seconds)
    end = wording("seen.killed") if seen.stop_seconds is None else wording("seen.ends", seconds=seen.stop_seconds)
    memory, ports = format_bytes(seen.memory_bytes), ", ".join(map(str, seen.ports))
    return wording("seen.server", ports=ports, asked=health_note(seen.health), user=seen.user, memory=memory, ended=end)


def observe(
    engine: Engine,
    image: str,
    ports: Sequence[int],
    paths: Sequence[str],
    env: Mapping[str, str],
    variant: str,
    hosts: Mapping[str, str] | None = None,
    run: RunSettings | None = None,
    while_up: WhileUp = lambda _container, _health: None,
    declared: Collection[int] = (),
) -> Observation:
    """Run an image in a plain container and watch it; ``hosts`` is where what it needs is, ``run`` are its arguments, files and
    the folders that it must have in memory. ``while_up`` may ask it more; ``declared`` are ports that the repository names. Raises
    NotUp, CannotStart."""
    options = PLAIN.but(env=dict(env), publish=ports[0] if ports else None, hosts=hosts or {})
    if run is not None:
        folders = tuple(Tmpfs(path) for path in run.tmpfs)
        options = options.but(args=run.args, entrypoint=run.entrypoint, files=run.files, tmpfs=folders)
    with engine.start(image, options, purpose="init", variant=variant) as container:
        try:
            up = wait_listening(container, ports, declared=declared)
        except NotUp:
            state = container.state()
            if state.running or state.exit_code != 0:
                raise
            return _job(container, ports, options.files)
        health = find_health(container, up, paths)
        if health.kind == "tcp":  # a server listens while its workers load, or die
            container.wait_ended(WORKERS_SECONDS)
            health = find_health(container, up, paths)
        need_running(container, listened=True)
        seconds = time.monotonic() - container.started
        used = _use(container)
        cpu_seconds = used.get("cpu", 0.0)  # before it is asked more
        while_up(container, health)
        used = _use(container)
        user, writes = user_of(container), changed_folders(container, options.files)
        stopped = container.stop(STOP_SECONDS)
    return Observation(
        health, up, user, int(used.get("memory", 0)), int(used.get("pids", 0)), writes, seconds,
        stopped.seconds if stopped.in_time else None, "", cpu_seconds, tuple(port for port in declared if port not in up),
    )  # fmt: skip


def _job(container: Container, ports: Sequence[int], mounted: Collection[str]) -> Observation:
    seconds = time.monotonic() - container.started
    health, writes = Health("exit", ports[0] if ports else 8080), changed_folders(container, mounted)
    return Observation(health, writes=writes, started_seconds=seconds, printed=first_line(container))


def find_health(container: Container, up: Sequence[int], paths: Sequence[str]) -> Health:
    """The first port that speaks HTTP, and the path there that tells best that it is up; else the first port."""
    for port in up:
        for tls in (False, True):
            if health := _http_health(container, port, paths, tls=tls):
                return health
    for port in up:
        with contextlib.suppress(OSError, DeadweightError):
            if not check_grpc(container.http(port), "", ASK_SECONDS):
                return Health("grpc", port)
    return Health("tcp", up[0])


def _http_health(container: Container, port: int, paths: Sequence[str], *, tls: bool) -> Health | None:
    """What a port that speaks HTTP, or HTTP over TLS, answers where; None where it does not speak that."""
    root = ask(container, port, "/", ASK_SECONDS if tls else FIRST_SECONDS, tls=tls)
    if root is None or (root.status == 400 and not tls and speaks_tls(root.body)):
        return None
    everything = ask(container, port, NOWHERE, tls=tls)
    documents = [path for path in paths if WRITTEN.fullmatch(f'"{path}"')]
    anywhere = everything is not None and 200 <= everything.status < 300
    for path in (*(path for path in paths if path not in documents), *(() if anywhere else LIKELY), "/"):
        answer = ask(container, port, path, tls=tls)
        path, answer = follow_redirects(container, port, path, answer, tls=tls)
        if answer is not None and 200 <= answer.status < 300:
            return Health("http", port, path, answer.status, tls)
    if described := served_document(lambda path: ask(container, port, path, tls=tls), documents):
        return Health("http", port, described[0], 200, tls)
    # where it fails, its port is as healthy as it can be said to be
    return Health("tcp" if root.status >= 500 else "http", port, "/", root.status, tls)


def ask(
    container: Container, port: int, path: str, seconds: float = ASK_SECONDS, *, tls: bool = False
) -> Answer | None:
    """A GET; None where nothing that is HTTP comes back. ``tls``: over TLS, whatever the container's options say."""
    try:
        route = container.http(port)
        return replace(route, tls=tls or route.tls).request("GET", path, timeout=seconds)
    except (OSError, http.client.HTTPException, DeadweightError):
        return None


def follow_redirects(
    container: Container, port: int, path: str, answer: Answer | None, *, tls: bool = False
) -> tuple[str, Answer | None]:
    """Where a redirection within the service ends, and what it answers there."""
    for _ in range(MOST_HOPS):
        if answer is None or answer.status not in (301, 302, 303, 307, 308):
            break
        to = urlsplit(answer.headers.get("location", ""))
        target = posixpath.join(posixpath.dirname(path) or "/", to.path) if to.path else ""
        if not re.fullmatch(r"/[!-~]*", target) or (to.port or port) != port or target == path:
            break
        path = f"{target}?{to.query}" if to.query else target
        answer = ask(container, port, path, tls=tls)
    return path, answer


def changed_folders(container: Container, mounted: Collection[str] = ()) -> tuple[str, ...]:
    """Folders in which it made or changed files, as the engine sees them; /tmp and what Python compiles are left out, and so is
    where the engine put what is ``mounted``."""
    with translated(f"changes of container {container.name}"):
        changes: list[dict[str, Any]] = container.api.diff(container.id) or []
    paths = [str(change["Path"]) for change in changes if change.get("Kind") in (0, 1)]
    paths = [path for path in paths if not any(f"{mount}/".startswith(f"{path}/") for mount in mounted)]
    # a folder above what was written has changed too: only the lowest ones were written to
    lowest = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    folders = {_folder(path) for path in lowest if not _noise(path)}
    return tuple(sorted(path for path in folders if path not in ("/", "/tmp") and not path.startswith("/tmp/")))  # noqa: S108


def _folder(path: str) -> str:
    """The folder that was written to: right below one of the system that is the folder that was made there."""
    above = posixpath.dirname(path)
    return path if above in OF_THE_SYSTEM and not posixpath.splitext(path)[1] else above


_ENGINES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab")
"""Files that the engine writes into every container."""


def _noise(path: str) -> bool:
    of_engine = path.startswith(("/dev/", "/proc/", "/sys/")) or path in _ENGINES
    return of_engine or "/__pycache__" in path or path.count("/") == 1


def _use(container: Container) -> dict[str, float]:
    """Memory without what the kernel can drop (bytes), processes and threads, seconds of processor."""
    read: Any = container.api.stats
    with contextlib.suppress(DeadweightError), translated(f"counters of container {container.name}"):
        document: dict[str, Any] = read(container.id, stream=False, one_shot=True)
        memory = document.get("memory_stats") or {}
        detail = memory.get("stats") or {}
        dropped = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        return {
            "memory": max(0, int(memory.get("usage") or 0) - int(dropped or 0)),
            "pids": int((document.get("pids_stats") or {}).get("current") or 0),
            "cpu": int(((document.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0) / 1e9,
        }
    return {}
