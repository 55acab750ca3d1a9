"""Processes that a test started, however deep below it: known by a mark in their environment, never by their names alone."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from deadweight.engine import api
from deadweight.engine.own import machine
from deadweight_standins.registry import listening

MARK = "DEADWEIGHT_TEST_MARK"
"""The variable that carries it: whatever they start inherits it."""


def marked(mark: str) -> dict[int, str]:
    """Living processes with this mark (a zombie has no environment any more), and their command lines."""
    commands = {}
    for process in machine.everyone():
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                commands[process.pid] = process.command
    return commands


def alive(mark: str) -> list[str]:
    """The command lines of those."""
    return list(marked(mark).values())


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until something is so; ``seconds`` is for a machine on which much else goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@contextlib.contextmanager
def within(seconds: float, *, processor: bool = False) -> Iterator[None]:
    """The block takes less than this, or less of this process's own time on a processor."""
    clock = time.process_time if processor else time.monotonic
    started = clock()
    yield
    assert clock() - started < seconds


@contextlib.contextmanager
def killed(*argv: str | Path, log: Path = Path("/dev/null")) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the folder of its log, killed at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


@contextlib.contextmanager
def engine_at(host: str, argv: Sequence[str | Path], log: Path) -> Iterator[None]:
    """An engine that answers there, and is killed at the end; what it said is told if it does not come up."""
    with killed(*argv, log=log) as engine:
        wait_for(lambda: not api.trouble(host) or engine.poll() is not None)
        assert not (problem := api.trouble(host)), f"{problem}: {log.read_text(errors='replace')[-2000:]}"
        yield


def port_of(server: subprocess.Popen[bytes], log: Path) -> int:
    """Once it listens, by TCP over IPv4; what it said is told if it ends before, or does not come up."""
    wait_for(lambda: listening(server.pid) or server.poll() is not None)
    assert server.poll() is None, f"{server.args!r} does not listen: {log.read_text(errors='replace')}"
    return listening(server.pid)[0]
