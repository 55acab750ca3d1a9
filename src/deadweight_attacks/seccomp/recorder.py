"""Run a container and count every system call.

The recorder (``engine/recorder/main.go``) is bound in, starts first and becomes the service. It installs a seccomp filter that
reports each call to an outside process, which counts it and lets it continue (seccomp_unotify(2)). It needs no root, no rights and
no tracer, sees every call from the first, and runs nothing beside the service. If we cannot enter the engine's containers
(``Engine.is_remote``), the recorder is put into an image, and a container beside it counts (``engine/sidecars.py``).
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight._run import piped
from deadweight.engine.options import Mount, RunOptions
from deadweight.engine.seccomp.profile import numbers
from deadweight.engine.sidecars import RECORDER, TALLY, TARGET, Gone, argv, kernel_error, recording, roomier, running_on
from deadweight.toolchain import golang
from deadweight_attacks import remote
from deadweight_attacks.harden.trial import PURPOSE, Trial, attempt
from deadweight_attacks.helper import SOURCE as ATTACKERS_SOURCE, TARGET as ATTACKER
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container

SOCKET = "/.deadweight-calls.sock"
CALLS, FAMILIES = 960, 64
TEXT, SIZE = (CALLS + FAMILIES) * 4, (CALLS + FAMILIES) * 4 + 1024
ENDS_SECONDS = 60.0
AGAIN = "run it again; --no-seccomp leaves this search out"


class Hindered(DeadweightError):
    """Nothing was found out, and the next time it may be: what ends by itself did not in time, or did not start."""


@dataclass(frozen=True)
class Phase:
    """The calls by name, and the families of sockets by number, each with how often it was asked for between two marks."""

    name: str
    calls: Mapping[str, int]
    families: Mapping[int, int]


@dataclass(frozen=True)
class Recording:
    """``linker`` is what links the program when it starts (``/lib/ld-musl-x86_64.so.1``); empty for a static one."""

    phases: tuple[Phase, ...]
    linker: str = ""

    def seen_in(self, call: str) -> tuple[str, ...]:
        return tuple(phase.name for phase in self.phases if call in phase.calls)

    @property
    def calls(self) -> frozenset[str]:
        return frozenset(call for phase in self.phases for call in phase.calls)

    def often(self, times: int) -> frozenset[str]:
        """The calls that were made so often, and more."""
        return frozenset(call for call in self.calls if sum(phase.calls.get(call, 0) for phase in self.phases) >= times)

    @property
    def families(self) -> frozenset[int]:
        return frozenset(family for phase in self.phases for family in phase.families)


class Counters:
    """What the recorder counts; ``read`` gives it as it stands. ``mark`` ends a phase."""

    def __init__(self, architecture: str, read: Callable[[], bytes] = lambda: bytes(SIZE)) -> None:
        self._names = {number: name for name, number in numbers(architecture).items()}
        self._read = read
        self._content = read()
        self._phases: list[Phase] = []

    def mark(self, phase: str) -> None:
        before, self._content = _counted(self._content), self._read()
        now = _counted(self._content)
        grown = {index: count - before[index] & 0xFFFFFFFF for index, count in enumerate(now)}
        calls = {
            self._names.get(index, f"number {index}"): count
            for index, count in grown.items()
            if count and index < CALLS
        }
        families = {index - CALLS: count for index, count in grown.items() if count and index >= CALLS}
        self._phases.append(Phase(phase, calls, families))

    def recording(self) -> Recording:
        """All that was counted until the last mark."""
        text = self._content[TEXT:].partition(b"\0")[0]
        return Recording(tuple(self._phases), text.decode(errors="replace"))

    def begun(self, container: Container) -> None:
        """Told of the container once it is started."""


class CountersBeside(Counters):
    """Those of who listens beside a container; nothing where it ended before that."""

    def __init__(self, architecture: str, engine: Engine, name: str, held: contextlib.ExitStack) -> None:
        super().__init__(architecture)
        self._engine, self._name, self._held = engine, name, held

    def begun(self, container: Container) -> None:
        try:
            heard = self._held.enter_context(self._engine.recorders.listening(container, self._name, TALLY))
        except Interrupted:
            raise
        except DeadweightError as error:
            if not running_on(container, error):
                return  # what it said of its end says more
            raise
        self._read = lambda: heard.content(SIZE)

    def mark(self, phase: str) -> None:
        try:
            super().mark(phase)
        except Gone as error:
            raise Hindered(error.message, hint=AGAIN) from error


def _counted(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{CALLS + FAMILIES}I", content[:TEXT])


@contextlib.contextmanager
def counting(
    subject: Subject,
    options: RunOptions,
    argv: Sequence[str],
    architecture: str,
    known: Collection[str] = (),
    also: Mapping[str, Path] | None = None,
) -> Iterator[tuple[Subject, RunOptions, Counters]]:
    """The subject and the options with which ``argv`` runs under the recorder, which is not told of the ``known`` calls: a service
    that makes thousands of them would be slowed. ``also`` are files that are brought in beside it. Raises DeadweightError where
    nobody can listen."""
    skipped = ",".join(str(numbers(architecture)[name]) for name in sorted(known))
    subject, options = with_recorder(subject, roomier(options), architecture, also or {})
    if subject.engine().is_remote:
        options, name = recording(options, argv, skipped)
        with contextlib.ExitStack() as held:
            yield subject, options, CountersBeside(architecture, subject.engine(), name, held)
        return
    with tempfile.TemporaryDirectory(prefix="deadweight-calls-") as folder:
        socket, file = Path(folder) / "socket", Path(folder) / "counters"
        file.write_bytes(bytes(SIZE))
        with piped([golang.built(architecture, RECORDER), "supervise", socket, file]) as lines:
            if lines.readline() != b"ready\n":
                raise Hindered(wording("seccomp.recorder_not_started"), hint=AGAIN)
            bound = options.but(
                mounts=(*options.mounts, Mount(socket, SOCKET, read_only=False)),
                entrypoint=(TARGET, "record", SOCKET, skipped, *argv),
                args=(),
            )
            yield subject, bound, Counters(architecture, file.read_bytes)


def with_recorder(
    subject: Subject, options: RunOptions, architecture: str, also: Mapping[str, Path]
) -> tuple[Subject, RunOptions]:
    """The subject and the options with the recorder, and other files, in the container: bound in, or in an image of their own."""
    engine = subject.engine()
    if engine.is_remote:
        image = engine.recorders.packed(subject.engine_image(), also)
        return replace(subject, engine_image=lambda: image), options
    files = {TARGET: golang.built(architecture, RECORDER), **also}
    mounts = (Mount(file, target) for target, file in files.items())
    return subject, options.but(mounts=(*options.mounts, *mounts))


def recorded(
    subject: Subject,
    options: RunOptions,
    exits: Collection[int] | None,
    architecture: str,
    known: Collection[str] = (),
    at_once: Collection[str] = (),
) -> tuple[Trial, Recording]:
    """A whole trial, recorded but for the ``known`` calls. Raises as ``attempt`` does."""
    words = argv(subject.engine().images.need(subject.engine_image()), options)
    with counting(subject, options, words, architecture, known) as (counted, under, counters):
        trial = attempt(counted, under, exits, mark=counters.mark, begun=counters.begun, at_once=at_once)
        return trial, counters.recording()


def rehearsed(subject: Subject, options: RunOptions, architecture: str) -> Recording:
    """What the attacker's own program needs to do anything at all (``helper/main.go``, ``rehearse``); and to tell its walls itself,
    where its processes are not seen from here."""
    also = {ATTACKER: golang.built(architecture, ATTACKERS_SOURCE)}
    options = options.but(publish=None, network="none")
    engine = subject.engine()
    unseen = engine.is_remote and remote.reach(engine).user is None
    words = (ATTACKER, "rehearse", "a", "b", *(["walls"] if unseen else []))
    with counting(subject, options, words, architecture, also=also) as (counted, under, counters):
        run_to_end(counted, under, counters)
        return counters.recording()


def allowed(subject: Subject, options: RunOptions, architecture: str) -> frozenset[str]:
    """The calls that a container with these options may make: each is asked for, and none is carried out."""
    known = {str(number): name for name, number in numbers(architecture).items()}
    options = options.but(entrypoint=(TARGET, "ask", *known), args=(), publish=None, network="none")
    subject, options = with_recorder(subject, options, architecture, {})
    return frozenset(known[line] for line in run_to_end(subject, options) if line in known)


def run_to_end(subject: Subject, options: RunOptions, counters: Counters | None = None) -> list[str]:
    """What a container's program said that ends by itself, counted as one phase. Raises DeadweightError for one that does not, or
    not with 0."""
    what = PurePosixPath((options.entrypoint or ("",))[0]).name.removeprefix(".")
    with subject.engine().start(
        subject.engine_image(), options, purpose=PURPOSE, variant=subject.variant.name
    ) as container:
        if counters is not None:
            counters.begun(container)
        state = container.wait_ended(ENDS_SECONDS)
        if counters is not None:
            counters.mark(what)
        lines = container.logs(None)
    if reason := kernel_error(state, lines):
        raise DeadweightError(wording("seccomp.kernel", kernel=subject.engine().info.kernel, reason=reason))
    if state.running or state.exit_code != 0:
        failed = wording("seccomp.program_failed", program=what, how=state.outcome(), output=" ".join(lines)[-300:])
        raise (Hindered if state.running else DeadweightError)(failed)
    return lines
