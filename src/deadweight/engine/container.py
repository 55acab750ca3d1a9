"""Control one running container: inspect, wait for health, exec, stop. A ``with`` block removes it at its end."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import select
import socket
import ssl
import struct
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from deadweight import _signals
from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.engine import health as questions, http as routes, labels, netns
from deadweight.engine.faults import Unreachable, stop_if_cancelled, translated
from deadweight.engine.health import ExecResult
from deadweight.engine.options import Docker, RunOptions

if TYPE_CHECKING:
    from docker.api.client import APIClient

    from deadweight.engine.api import EngineInfo
    from deadweight.engine.images import Images
    from deadweight.suite.model import Health


# What is told of a container: its state, whether it came up, what a program in it gave, how it ended.
KILLED = 137
"""The exit code of what SIGKILL ended: 128 and the signal's number."""
UNTOLD = "SIGKILL: if nobody sent it, for its memory limit"
"""An engine loses the kernel's word on that now and then (moby, the event of a container that ends at once)."""


@dataclass(frozen=True)
class ContainerState:
    """The engine's view of a container. ``exit_code`` means something only once it is not running."""

    running: bool
    exit_code: int
    oom_killed: bool
    error: str
    pid: int
    started_at: str

    def outcome(self) -> str:
        """One clause for a message: how it ended."""
        if self.running:
            return wording("engine.is_running")
        if self.oom_killed:
            return wording("engine.out_of_memory", exit_code=self.exit_code)
        why = self.error or (UNTOLD if self.exit_code == KILLED else "")
        return wording("engine.ended", exit_code=self.exit_code, why=f" ({why})" if why else "")


@dataclass(frozen=True)
class Readiness:
    """Whether a service came up. ``seconds`` from the start call to the first healthy answer, None where it never came."""

    healthy: bool
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Stopped:
    """How a container ended on SIGTERM. ``in_time`` False: it did not, and was killed after ``seconds``."""

    in_time: bool
    seconds: float
    exit_code: int


FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.1
TELLING_SECONDS = 0.5
"""What was answered before tells more than that the last question had less time than this."""


NOTED_SECONDS = 0.3
MOST_OUTPUT_BYTES = 64 * 2**20


class Host(Protocol):
    """The engine as its containers, and the sidecars beside them, use it; its own module imports theirs."""

    api: APIClient
    host: str
    images: Images

    @property
    def info(self) -> EngineInfo: ...

    @property
    def user(self) -> int | None: ...

    @property
    def dialect(self) -> Docker: ...

    def marks(self, purpose: str) -> dict[str, str]: ...

    def create(self, image: str, options: RunOptions, *, purpose: str = ..., variant: str = ...) -> Container: ...

    def start(self, image: str, options: RunOptions, *, purpose: str = ..., variant: str = ...) -> Container: ...

    def route(self, container: Container, port: int | None = None) -> routes.Route: ...

    def listening(self, container: Container) -> str: ...

    def forget(self, container: Container) -> None: ...


class Container:
    """A container that this process made. Removed by ``remove``, the ``with`` block's end, or the engine's ``close``."""

    def __init__(self, engine: Host, container_id: str, image: str, options: RunOptions) -> None:
        self._engine, self.api, self.host = engine, engine.api, engine.host
        self.id, self.image, self.options = container_id, image, options
        self.started = 0.0
        self._removed = False
        self._settled: dict[str, Any] | None = None
        self._process: int | None = None
        self._forwards = contextlib.ExitStack()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def name(self) -> str:
        return self.id[:12]

    @property
    def is_here(self) -> bool:
        """Whether its engine, and with it its processes, are this machine's: else their numbers are those of others here."""
        return self._engine.user is not None

    def inspect(self) -> dict[str, Any]:
        """The engine's whole document on it."""
        with translated(f"container {self.name}"):
            document: dict[str, Any] = self.api.inspect_container(self.id)
        return document

    def settled(self) -> dict[str, Any]:
        """The same as when it was first seen to run: its process, addresses and ports, which stay as they are while it does."""
        if self._settled is None:
            document = self.inspect()
            if not document["State"].get("Running"):
                return document
            self._settled = document
        return self._settled

    @property
    def pid(self) -> int:
        """Its first process, as the engine's machine numbers it; 0 where it has none."""
        return int(self.settled()["State"].get("Pid") or 0)

    def kernel_says_running(self, wait: float = 0.0) -> bool | None:
        """Whether it still runs after ``wait`` seconds (at once where it ends before), as the kernel of this machine tells: far
        cheaper than an engine's answer. None where that cannot be told here."""
        if self._process is None and not self._removed:
            self._process = held_process(self.pid, self.id)
        if self._process is None:
            return None
        ended = select.poll()
        ended.register(self._process, select.POLLIN)
        return not ended.poll(wait * 1000)

    def address(self, network: str = "") -> str:
        """Its address in a network, else in any other; empty if it has none."""
        settings = self.settled()["NetworkSettings"]
        networks = settings.get("Networks") or {}
        chosen = (networks.get(network) or {}).get("IPAddress") or settings.get("IPAddress")
        return str(chosen or next((entry["IPAddress"] for entry in networks.values() if entry.get("IPAddress")), ""))

    def state(self) -> ContainerState:
        state = self.inspect()["State"]
        return ContainerState(
            running=bool(state.get("Running")),
            exit_code=int(state.get("ExitCode") or 0),
            oom_killed=bool(state.get("OOMKilled")),
            error=str(state.get("Error") or ""),
            pid=int(state.get("Pid") or 0),
            started_at=str(state.get("StartedAt") or ""),
        )

    def logs(self, lines: int | None = 200) -> list[str]:
        """The last lines (None: all) that it wrote, stdout and stderr in one."""
        tail: Any = "all" if lines is None else lines
        with translated(f"logs of container {self.name}"):
            raw: bytes = self.api.logs(self.id, tail=tail)
        return raw.decode(errors="replace").splitlines()

    def last_output(self, lines: int) -> list[str]:
        """The same; empty if the engine does not report it."""
        with contextlib.suppress(DeadweightError):
            return self.logs(lines)
        return []

    def follow(self, lines: int | None = None) -> Iterator[str]:
        """Its lines as they come, until it ends; first the last ``lines`` of those it wrote (None: all). Close to stop."""
        with translated(f"logs of container {self.name}"):
            tail: Any = "all" if lines is None else lines
            stream: Any = self.api.logs(self.id, stream=True, follow=True, tail=tail)
            rest = b""
            try:
                for chunk in stream:
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line.decode(errors="replace")
            finally:
                stream.close()
                stream._response.close()  # the SDK shuts its connection down but does not let go of it
            if rest:
                yield rest.decode(errors="replace")

    def http(self, port: int | None = None) -> routes.Route:
        """The way to its port (default: the published one). Raises DeadweightError where no way leads there."""
        route = self._engine.route(self, port)
        return replace(route, tls=True) if self.options.tls else route

    @functools.cached_property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT`` of the published port; of one of ours, until it is removed, where the engine is elsewhere and
        nobody passes that on."""
        route = self.http()
        if route.way == "engine":
            from deadweight.engine.forward import forwarded

            route = replace(route, port=self._forwards.enter_context(forwarded(route, self.options.host_port)))
        return route.base_url

    def wait_healthy(self, health: Health, port: int | None = None) -> Readiness:
        """Ask as ``health`` says until the answer is right, it ends, or ``health.within_seconds`` have passed since its start."""
        if health.kind == "exit":
            return self._wait_done(health)
        deadline, pause, last = self.started + health.within_seconds, FIRST_PAUSE_SECONDS, ""
        ask = self.question(health, port)
        while True:
            stop_if_cancelled()
            limit = max(0.05, min(5.0, deadline - time.monotonic()))
            try:
                last = ask(limit)
                if not last:
                    return Readiness(True, time.monotonic() - self.started, "")
            except Unreachable:
                raise
            except questions.ERRORS as error:
                if not last or limit >= TELLING_SECONDS or not isinstance(error, TimeoutError):
                    last = questions.unanswered(health, error)
            if not self.kernel_says_running() and not (state := self.state()).running:
                return Readiness(False, None, wording("engine.ended_early", outcome=state.outcome()))
            if time.monotonic() >= deadline:
                return Readiness(False, None, self._unhealthy(health, port, last))
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 1.3, LONGEST_PAUSE_SECONDS)

    def _wait_done(self, health: Health) -> Readiness:
        """A job is well where it ends with 0 in time."""
        state = self.wait_ended(max(0.0, self.started + health.within_seconds - time.monotonic()))
        if state.running:
            return Readiness(False, None, wording("engine.still_running", seconds=health.within_seconds))
        well = state.exit_code == 0
        reason = "" if well else wording("engine.job_failed", outcome=state.outcome())
        return Readiness(well, time.monotonic() - self.started if well else None, reason)

    def _unhealthy(self, health: Health, port: int | None, last: str) -> str:
        instead, image = "", None
        if health.kind != "exec":
            with contextlib.suppress(DeadweightError):
                image = self._engine.images.get(self.image)
            exposed = image.exposed if image is not None else ()
            instead = questions.explain_listeners(self.listeners(), port or self.options.publish, exposed)
        seconds = health.within_seconds
        if further := instead or questions.advice(health, last):
            return wording("engine.not_healthy_advice", seconds=seconds, answer=last, advice=further)
        return wording("engine.not_healthy", seconds=seconds, answer=last)

    def question(self, health: Health, port: int | None = None) -> questions.Question:
        """What is to be asked to learn whether it is up; ``port`` None: the published one."""
        return questions.question(health, lambda: self.http(port), lambda argv, limit: self.exec(argv, seconds=limit))

    def listeners(self) -> tuple[questions.Listener, ...] | None:
        """What it listens on now; None where that cannot be seen (an engine elsewhere in which nothing of ours starts)."""
        try:
            text = questions.from_here(self.state().pid, self.id) if self.host.startswith("unix://") else None
            if text is None:
                done = self.exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"], seconds=10)
                seen = done.exit_code == 0
                text = done.output.decode(errors="replace") if seen else self._engine.listening(self)
        except (DeadweightError, OSError):
            return None
        return None if text is None else tuple(sorted(set(questions.parse(text))))

    def wait_ended(self, seconds: float) -> ContainerState:
        """Wait until it ends by itself, at most so long; gives its state then."""
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
        while True:
            stop_if_cancelled()
            state = self.state()
            if not state.running and state.exit_code == KILLED and not state.oom_killed and self.options.memory_bytes:
                time.sleep(NOTED_SECONDS)  # that the kernel ended it for its memory is noted a moment after its end
                return self.state()
            if not state.running or time.monotonic() >= deadline:
                return state
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    def stop(self, within_seconds: float) -> Stopped:
        """Send SIGTERM (whatever STOPSIGNAL the image names) and wait; SIGKILL after ``within_seconds``."""
        started = time.monotonic()
        self.signal("SIGTERM")
        state = self.wait_ended(within_seconds)
        in_time, seconds = not state.running, time.monotonic() - started
        if not in_time:
            self.signal("SIGKILL")
            state = self.wait_ended(10)
        return Stopped(in_time, seconds, state.exit_code)

    def signal(self, name: str) -> None:
        """Send a signal to its first process; nothing happens where it has ended."""
        with translated(f"signal {name} to container {self.name}"):
            from docker.errors import APIError

            try:
                self.api.kill(self.id, signal=name)
            except APIError:
                if self.state().running:
                    raise

    def exec(self, argv: Sequence[str], *, user: str = "", seconds: float = 600.0) -> ExecResult:
        """Run a program in it to its end, without input. ``user`` empty: the container's own. Of what it writes 64 MiB are kept.

        Raises TimeoutError where it takes longer than ``seconds`` (it then goes on in the container), DeadweightError where the
        engine refuses.
        """
        output = {STDOUT: bytearray(), STDERR: bytearray()}
        with translated(f"exec in container {self.name}"):
            handle = self.api.exec_create(self.id, list(argv), user=user)["Id"]
            with ExecStream(self.api, handle) as stream:
                for number, data in frames(stream, seconds):
                    if number in output:
                        output[number] += data[: MOST_OUTPUT_BYTES - len(output[number])]
            code = self.api.exec_inspect(handle)["ExitCode"]
        return ExecResult(int(code or 0), bytes(output[STDOUT]), bytes(output[STDERR]))

    def remove(self) -> None:
        """End and remove it, with its anonymous volumes. Safe to call twice, and after somebody else removed it."""
        if not self._removed:
            self._removed = True
            process, self._process = self._process, None
            if process is not None:
                os.close(process)
            self._forwards.close()
            self._engine.forget(self)
            with contextlib.suppress(DeadweightError):
                labels.remove_container(self.api, self.id)
                _signals.removed("containers removed")


def held_process(pid: int, container: str) -> int | None:
    """A file number that stands for the first process of the container of this id (pidfd_open(2)): no later process of the same
    number can take it over. None where it is none of this machine's, or this kernel gives no hold on it."""
    try:
        number = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
    if netns.is_process_of(pid, container):  # asked after it was held: then the number still was its own
        return number
    os.close(number)
    return None


# Files of containers, running or not, read through the engine.
def read_file(api: APIClient, container: str, path: str, most: int) -> bytes:
    """A regular file of a container, as the engine sees it. Raises MissingError, or DeadweightError for one that is too large."""
    with translated(f"read {path}"):
        stream, _ = api.get_archive(container, path)
        content = bytearray()
        for chunk in stream:
            content += chunk
            if len(content) > most + 65536:
                raise DeadweightError(wording("engine.file_too_large", path=path, most=most + 65536))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None and member.isreg() else None
        if file is None:
            raise MissingError(wording("engine.not_a_regular_file", path=path))
        return file.read(most)


# Read the engine's raw exec streams: stdout and stderr frames on a hijacked connection, with a time limit.
#
# Frame (Engine API, "Attach to a container"): one byte stream number, three zero bytes, four bytes length (big endian), data.
STDOUT, STDERR = 1, 2
_CHUNK = 65536


class ExecStream(contextlib.ExitStack):
    """The connection to a program that the engine starts in a container; ``handle`` is of ``exec_create``. Leaving it closes it.

    The SDK gives the socket, but the first bytes may have come in one piece with the head of the engine's answer: then they are in
    the reader of the SDK's response, and no longer in the socket.
    """

    def __init__(self, api: APIClient, handle: str) -> None:
        super().__init__()
        given: Any = api.exec_start(handle, socket=True)
        self.callback(given.close)
        self.callback(given._response.close)
        self.socket: socket.socket = getattr(given, "_sock", given)  # over TLS the SDK gives it unwrapped
        self._early = b""
        self.socket.setblocking(False)  # only what has come is looked at
        with contextlib.suppress(ssl.SSLWantReadError):
            self._early = given._response.raw._fp.fp.peek()

    def pending(self) -> int:
        """How many bytes are there that the kernel does not tell of (select(2))."""
        return len(self._early) or (self.socket.pending() if isinstance(self.socket, ssl.SSLSocket) else 0)

    def recv(self, most: int, seconds: float) -> bytes:
        """The next bytes; none where the other side has ended. Raises TimeoutError."""
        self.socket.settimeout(seconds)
        early, self._early = self._early[:most], self._early[most:]
        return early or self.socket.recv(most)


def frames(stream: ExecStream, seconds: float) -> Iterator[tuple[int, bytes]]:
    """(stream number, data) until the other side ends. Raises TimeoutError once ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while header := _exactly(stream, 8, deadline):
        number, length = struct.unpack(">BxxxL", header)
        yield number, _exactly(stream, length, deadline)


def frame(stream: ExecStream, seconds: float) -> tuple[int, bytes]:
    """The next frame, whole; 0 and nothing where the other side has ended. Raises TimeoutError."""
    return next(frames(stream, seconds), (0, b""))


def _exactly(stream: ExecStream, count: int, deadline: float) -> bytes:
    """So many bytes; nothing where the stream ends before."""
    content = bytearray()
    while len(content) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        if not (data := stream.recv(min(count - len(content), _CHUNK), left)):
            return b""
        content += data
    return bytes(content)
