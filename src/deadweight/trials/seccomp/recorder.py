"""A trial in which every system call is counted.

The recorder (``recorder/main.go``) is bound in, started first, and becomes the service. It puts a filter on itself that tells a
process outside of each call, which counts it and lets it go on (seccomp_unotify(2)). So it needs no root, no right and no tracer,
sees all from the first call on, and nothing else runs beside the service.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import piped
from deadweight.checks.attacks.helper import SOURCE as ATTACKERS_SOURCE
from deadweight.checks.attacks.helper import TARGET as ATTACKER
from deadweight.engine.options import Mount, RunOptions
from deadweight.engine.seccomp.calls import numbers
from deadweight.toolchain import own_programs
from deadweight.trials.harden.trial import PURPOSE, Trial, attempt

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

SOURCE = Path(__file__).with_name("recorder")
TARGET, SOCKET = "/.deadweight-recorder", "/.deadweight-calls.sock"
CALLS, FAMILIES = 960, 64
TEXT, SIZE = (CALLS + FAMILIES) * 4, (CALLS + FAMILIES) * 4 + 1024
BEFORE_MEMORY_BYTES, BEFORE_PIDS = 32 * 2**20, 16
"""What the recorder may take before it becomes the service."""
ENDS_SECONDS = 60.0
UNTOLD = "recorder: a filter that tells of system calls: "
"""What the recorder says where the kernel has no filter whose calls may go on."""


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
    """The file that the recorder counts in. ``mark`` ends a phase."""

    def __init__(self, file: Path, architecture: str) -> None:
        self._file, self._names = file, {number: name for name, number in numbers(architecture).items()}
        self._last = self._read()
        self._phases: list[Phase] = []

    def mark(self, phase: str) -> None:
        now = self._read()
        grown = {index: count - self._last[index] & 0xFFFFFFFF for index, count in enumerate(now)}
        calls = {
            self._names.get(index, f"number {index}"): count
            for index, count in grown.items()
            if count and index < CALLS
        }
        families = {index - CALLS: count for index, count in grown.items() if count and index >= CALLS}
        self._phases.append(Phase(phase, calls, families))
        self._last = now

    def recording(self) -> Recording:
        text = self._file.read_bytes()[TEXT:].partition(b"\0")[0]
        return Recording(tuple(self._phases), text.decode(errors="replace"))

    def _read(self) -> tuple[int, ...]:
        return struct.unpack(f"<{CALLS + FAMILIES}I", self._file.read_bytes()[:TEXT])


@contextlib.contextmanager
def counting(
    options: RunOptions, argv: Sequence[str], architecture: str, known: Collection[str] = ()
) -> Iterator[tuple[RunOptions, Counters]]:
    """The options with which ``argv`` runs under the recorder, which is not told of the ``known`` calls: a service that makes
    thousands of them would be slowed. Raises DeadweightError where nobody can listen."""
    skipped = ",".join(str(numbers(architecture)[name]) for name in sorted(known))
    program = own_programs.built(architecture, SOURCE)
    with tempfile.TemporaryDirectory(prefix="deadweight-calls-") as name:
        file, socket = Path(name) / "calls", Path(name) / "socket"
        file.write_bytes(bytes(SIZE))
        with piped([program, "supervise", socket, file]) as said:
            if said.readline() != b"ready\n":
                raise Hindered(
                    "the helper program that records system calls did not start",
                    hint="run it again; --no-seccomp leaves this search out",
                )
            yield (
                options.but(
                    mounts=(*options.mounts, Mount(program, TARGET), Mount(socket, SOCKET, read_only=False)),
                    entrypoint=(TARGET, "record", SOCKET, skipped, *argv),
                    args=(),
                    memory_bytes=options.memory_bytes and options.memory_bytes + BEFORE_MEMORY_BYTES,
                    pids=options.pids and options.pids + BEFORE_PIDS,
                ),
                Counters(file, architecture),
            )


def recorded(
    subject: Subject,
    options: RunOptions,
    exits: Collection[int] | None,
    architecture: str,
    known: Collection[str] = (),
) -> tuple[Trial, Recording]:
    """A whole trial, recorded but for the ``known`` calls. Raises as ``attempt`` does."""
    with counting(options, argv(subject, options), architecture, known) as (counted, counters):
        trial = attempt(subject, counted, exits, mark=counters.mark)
        return trial, counters.recording()


def argv(subject: Subject, options: RunOptions) -> tuple[str, ...]:
    """What the container is started with, as the engine puts it together (OCI image config: ``Entrypoint``, ``Cmd``)."""
    facts = subject.engine().images.need(subject.engine_image())
    if options.entrypoint is not None:
        return (*options.entrypoint, *options.args)
    return (*facts.entrypoint, *(options.args or facts.command))


def rehearsed(subject: Subject, options: RunOptions, architecture: str) -> Recording:
    """What the attacker's own program needs to do anything at all (``helper/main.go``, ``rehearse``)."""
    options = options.but(
        mounts=(Mount(own_programs.built(architecture, ATTACKERS_SOURCE), ATTACKER),), publish=None, network="none"
    )
    with counting(options, (ATTACKER, "rehearse", "a", "b"), architecture) as (counted, counters):
        ran(subject, counted)
        counters.mark("rehearsal")
        return counters.recording()


def allowed(subject: Subject, options: RunOptions, architecture: str) -> frozenset[str]:
    """The calls that a container with these options may make: each is asked for, and none is carried out."""
    known = {str(number): name for name, number in numbers(architecture).items()}
    options = options.but(
        entrypoint=(TARGET, "ask", *known), args=(), publish=None, network="none",
        mounts=(Mount(own_programs.built(architecture, SOURCE), TARGET),),
    )  # fmt: skip
    return frozenset(known[line] for line in ran(subject, options) if line in known)


def ran(subject: Subject, options: RunOptions) -> list[str]:
    """What a container's program said that ends by itself. Raises DeadweightError for one that does not, or not with 0."""
    what = PurePosixPath((options.entrypoint or ("",))[0]).name.removeprefix(".")
    with subject.engine().start(
        subject.engine_image(), options, purpose=PURPOSE, variant=subject.variant.name
    ) as container:
        state = container.wait_ended(ENDS_SECONDS)
        lines = container.logs(None)
    if UNTOLD in " ".join(lines):
        raise DeadweightError(
            f"Linux {subject.engine().info.kernel} does not tell which system calls a service makes (seccomp_unotify(2), "
            f"Linux 5.5 and later): {lines[-1].rpartition(': ')[2]}",
            hint="invoke harden --no-seccomp searches without a seccomp profile",
        )
    if state.running or state.exit_code != 0:
        raise (Hindered if state.running else DeadweightError)(
            f"{what}, a program of Deadweight's that runs in the container to find its system calls, {state.told()}: "
            f"{' '.join(lines)[-300:]}",
            hint="invoke harden --no-seccomp searches without a seccomp profile",
        )
    return lines
