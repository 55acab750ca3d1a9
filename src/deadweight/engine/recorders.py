"""Record a container's file or system call use from helper containers: no host process, host file or root.

The recorder (``recorder/main.go``) is in an image made from the container's own. It starts first and waits at an abstract socket
of the container's network until another container of ours connects. It hands over its filter's notifications
(seccomp_unotify(2)) and then becomes the service. So it works in every engine whose kernel has such filters, even if this
process sees nothing of its containers.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, wording
from deadweight.engine.companions import CONFINED, Companions, Packing
from deadweight.engine.container import STDERR, STDOUT, frame, hijacked
from deadweight.engine.faults import translated
from deadweight.engine.options import RunOptions
from deadweight.toolchain import golang

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.images import EngineImage

SOURCE = Path(__file__).with_name("recorder")
TARGET = "/.deadweight-recorder"
PURPOSE = "recorder"
NAME = "deadweight/recorded"
TALLY, WATCH = "tally", "watch"
FILES = "files"
"""What is told of in place of all calls (``recorder/main.go``)."""
JOIN_SECONDS, ANSWER_SECONDS = 90.0, 30.0
NOTED_SECONDS = 5.0
BEFORE_MEMORY_BYTES, BEFORE_PIDS = 32 * 2**20, 16
"""What the recorder may take before it becomes the service."""
UNTOLD = "recorder: a filter that tells of system calls: "
"""What the recorder says where the kernel has no filter whose calls may go on."""


class Gone(DeadweightError):
    """Who listened has gone, or does not answer: nothing was found out."""


class Recorders(Companions):
    """What stands beside recorded containers of one engine; each goes with its container."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, SOURCE, "/recorder", PURPOSE)
        self._packing = Packing(engine, NAME, PURPOSE)

    def packed(self, image: str, also: Mapping[str, Path] | None = None) -> str:
        """An image like this one that holds the recorder at ``TARGET``, and other programs. Raises DeadweightError (MissingError
        without Go)."""
        with self._guard:
            architecture = golang.go_architecture(self._engine.info.architecture)
            files = {TARGET: golang.built(architecture, SOURCE), **(also or {})}
            return self._packing.packed(image, {path: file.read_bytes() for path, file in files.items()})

    @contextlib.contextmanager
    def listening(self, container: Container, name: str, does: str) -> Iterator[Heard]:
        """Listen to a container that was started with ``recording``; ``does`` is TALLY or WATCH. Its time to come up counts from
        then. Raises DeadweightError."""
        options = CONFINED.but(user="0:0")
        if does == WATCH:
            # it reads names in the memory of the container's processes, and follows links among its files
            options = options.but(pid_mode=f"container:{container.id}", cap_add=("SYS_PTRACE", "DAC_READ_SEARCH"))
        beside = self._stand(container, options)
        with translated("listen to the recorder"):
            stream = self._told(beside, [does, name])
        with hijacked(stream) as raw:
            heard = Heard(raw)
            heard.joined()
            container.started = time.monotonic()
            yield heard

    def close(self) -> None:
        """Remove the images."""
        super().close()
        with contextlib.suppress(DeadweightError):
            self._packing.close()


class Heard:
    """What who listens has heard so far."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._said = b""

    def joined(self) -> None:
        number, said = self._next(JOIN_SECONDS)
        if number != STDERR or said.strip() != b"joined":
            raise Gone(wording("engine.recorder_refused", problem=said.decode(errors="replace").strip() or "nothing"))

    def content(self, count: int) -> bytes:
        """So many bytes of an answer. Raises Gone."""
        self._ask()
        while len(self._said) < count:
            self._more()
        found, self._said = self._said[:count], self._said[count:]
        return found

    def line(self) -> bytes:
        """An answer of one line. Raises Gone."""
        self._ask()
        while b"\n" not in self._said:
            self._more()
        found, _, self._said = self._said.partition(b"\n")
        return found

    def _ask(self) -> None:
        try:
            self._raw.sendall(b"\n")
        except OSError as error:
            raise Gone(wording("engine.recorder_gone", problem=error)) from error

    def _more(self) -> None:
        number, data = self._next(ANSWER_SECONDS)
        if number != STDOUT:
            raise Gone(wording("engine.recorder_refused", problem=data.decode(errors="replace").strip() or "nothing"))
        self._said += data

    def _next(self, seconds: float) -> tuple[int, bytes]:
        try:
            return frame(self._raw, seconds)
        except OSError as error:
            raise Gone(wording("engine.recorder_silent", problem=error)) from error


def recording(options: RunOptions, argv: Sequence[str], told: str = "") -> tuple[RunOptions, str]:
    """The options with which ``argv`` runs under the recorder, and the name by which it is listened to. ``told``: as the recorder
    takes it."""
    name = f"@deadweight-{uuid.uuid4().hex}"
    return options.but(entrypoint=(TARGET, "record", name, told, *argv), args=()), name


def roomier(options: RunOptions) -> RunOptions:
    """The options with room for the recorder before it becomes the service."""
    return options.but(
        memory_bytes=options.memory_bytes and options.memory_bytes + BEFORE_MEMORY_BYTES,
        pids=options.pids and options.pids + BEFORE_PIDS,
    )


def running_on(container: Container, error: DeadweightError) -> bool:
    """Whether the container runs although ``error`` came of listening to it. Who listens among its processes is ended with them, a
    moment before the engine notes the end. Raises DeadweightError."""
    return container.wait_ended(NOTED_SECONDS if isinstance(error, Gone) else 0).running


def argv(facts: EngineImage, options: RunOptions) -> tuple[str, ...]:
    """What a container of an image is started with, as the engine puts it together (OCI image config: ``Entrypoint``, ``Cmd``)."""
    if options.entrypoint is not None:
        return (*options.entrypoint, *options.args)
    return (*facts.entrypoint, *(options.args or facts.command))
