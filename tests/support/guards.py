"""What no test may do, refused as it is tried: end a process that it did not start, or lock what others use. A unit test may not
reach an engine or the network either, or start what needs one of them, or root.

pytest sets it up for every test, here and in the runs of invoke that tests fork: Python's audit hook, which none can forget. A test
that was refused something fails, also if the product caught what the hook raised. What ``pytest --unit`` adds holds for the
process of the tests alone: what that starts has the walls of the session (``nox -s unit``), no network and no root.

A test may end what descends from its own pytest process or carries its mark in the environment. Of those that have lost both
(daemons), it may end what began after that process and carries no other's mark. Any test may end what a killed engine left, since
starting an engine does so. No test may end what runs for the shared home: its registry and its engine.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from deadweight.engine.own import engine, machine
from deadweight.records.paths import user_cache

VARIABLE = "DEADWEIGHT_TESTS_OF"
"""Whose run this is: handed on to all that it starts."""
OWN = "tests"
"""What the names of folders in the shared home begin with that are of tests alone."""
LIBRARIES = ("filelock", "contextlib.py")
"""Through which a lock is taken: whoever called these takes it."""
FOLDER = str(Path(__file__).parent.parent)
PROGRAMS = {"docker", "dockerd", "containerd", "podman", "runc", "sudo", "nsenter", "unshare", "mount", "invoke", "nox"}


class NotAUnit(AssertionError):
    """A test without a mark did what only marked ones may (``markers`` in pyproject.toml has them)."""


class NotOurs(AssertionError):
    """A test did something to what it does not own."""


@dataclass(frozen=True)
class Run:
    """One process of pytest: ``began`` in the kernel's ticks, the shared home's ``cache``, its ``engine``'s folder below /run."""

    pid: int
    began: int
    cache: str
    engine: str

    def serves_all(self, words: list[str]) -> bool:
        """Whether this command line is the shared home's registry or engine."""
        if Path(words[0]).name.startswith(("dockerd", "containerd")) and self.engine in "\0".join(words):
            return True
        return f"{self.cache}/local/registry/config.yml" in words


refused: list[str] = []
_run: list[Run] = []


def install(*, unit: bool = False) -> None:
    """For the rest of this process: an audit hook cannot be taken out again."""
    run = Run(os.getpid(), _began(os.getpid()), str(user_cache()), str(engine.layout().run))
    os.environ[VARIABLE] = json.dumps(asdict(run))
    _begin(run)
    if unit:
        sys.addaudithook(_heed_unit)


def join() -> None:
    """The same in a process that pytest started: the run is that of the environment."""
    if given := os.environ.get(VARIABLE):
        _begin(Run(**json.loads(given)))


def _begin(run: Run) -> None:
    if not _run:
        sys.addaudithook(_heed)
    _run[:] = [run]


class Plugin:
    """Fails whoever was refused something."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        yield
        reasons = refused[:]
        refused.clear()
        if reasons:
            raise NotOurs("; ".join(dict.fromkeys(reasons)))

    pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup


def _heed(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("os.kill", "os.killpg") and arguments[1] != 0:
        _ending(arguments[0])
    elif event in ("fcntl.flock", "fcntl.lockf") and not arguments[1] & fcntl.LOCK_UN:
        _locking(arguments[0])


def _ending(pid: int) -> None:
    run = _run[0]
    pid = abs(pid)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        began = _began(pid)
    except (OSError, ValueError):  # it is gone already; so is a group's leader
        return
    what = f"{pid} ({' '.join(words)[:200].strip()})"
    if run.serves_all(words):
        _refuse(f"a test must not end process {what}: it runs for the shared home {run.cache}")
    mark = _mark(pid)
    if run.pid in _ancestors(pid) or mark == json.dumps(asdict(run)) or _left_by_a_dead_engine(words):
        return
    if mark or began < run.began:
        _refuse(f"a test must not end process {what}: it did not start that")


def _left_by_a_dead_engine(words: list[str]) -> bool:
    match = re.search(r"[^\0 ]*/deadweight-\d+-\w+", "\0".join(words))
    where = engine.layout()._replace(run=Path(match[0] if match else os.devnull))
    return where.pid_file.exists() and engine._our_pid(where) is None


def _locking(number: int) -> None:
    try:
        place = Path(f"/proc/self/fd/{number}").readlink()
        inside = place.relative_to(_run[0].cache)
    except (OSError, ValueError):
        return
    if not inside.parts[0].startswith(OWN) and _caller(sys._getframe(2)).startswith(FOLDER):
        _refuse(f"a test must not lock {place}: others use the shared home; use a cache of its own")


def _refuse(text: str) -> None:
    refused.append(text)
    raise NotOurs(text)


def _caller(frame: FrameType | None) -> str:
    """The file of the code that takes a lock."""
    while frame is not None and any(library in frame.f_code.co_filename for library in LIBRARIES):
        frame = frame.f_back
    return frame.f_code.co_filename if frame is not None else ""


def _mark(pid: int) -> str:
    try:
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return next((pair.partition("=")[2] for pair in pairs if pair.startswith(f"{VARIABLE}=")), "")


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1 and (process := machine.read_process(pid)):
        yield pid
        pid = process.parent


def _began(pid: int) -> int:
    """In ticks since the machine began (proc(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])


def _heed_unit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        _reaching(arguments[0])
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        _reaching(arguments[1][0])
    elif event == "socket.connect":
        for name in _texts(arguments[1]):
            if name.endswith(("docker.sock", "podman.sock")):
                raise NotAUnit(f"a unit test must not ask a container engine ({name}); mark it engine")
    elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn"):
        argv = _texts(*arguments[1]) if isinstance(arguments[1], (list, tuple)) else []
        started = {Path(word).name for word in (*_texts(arguments[0]), *argv[:1])}
        if "-m" in argv[:4]:
            started.add(argv[argv.index("-m") + 1])
        for name in sorted(started & PROGRAMS):
            raise NotAUnit(f"a unit test must not start {name}; mark it system, or engine")


def _reaching(host: object) -> None:
    for name in _texts(host):
        with contextlib.suppress(ValueError):
            if name in ("", "localhost") or ipaddress.ip_address(name).is_loopback:
                return
        raise NotAUnit(f"a unit test must not reach the network ({name})")


def _texts(*words: object) -> list[str]:
    return [os.fsdecode(word) for word in words if isinstance(word, (str, bytes, os.PathLike))]
