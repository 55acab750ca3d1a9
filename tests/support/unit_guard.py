"""What a unit test must not do, refused as it is tried: reach an engine or the network, or start what needs either or root.

``pytest --unit`` sets it up: Python's audit hook, which no test needs to know of, and none can forget. It holds for the process of
the tests. What that starts has the walls of the session (``nox -s unit``): no network, and no root.
"""

import ipaddress
import os
import sys
from pathlib import PurePath
from typing import Any

PROGRAMS = {"docker", "dockerd", "containerd", "podman", "runc", "sudo", "nsenter", "unshare", "mount", "invoke", "nox"}
STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn")


class NotAUnit(AssertionError):
    """A test without a mark did what only marked ones may (``markers`` in pyproject.toml has them)."""


def install() -> None:
    """For the rest of this process: an audit hook cannot be taken out again."""
    sys.addaudithook(_heed)


def _heed(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        _connecting(arguments[1])
    elif event == "socket.getaddrinfo":
        _reaching(arguments[0])
    elif event in STARTS:
        _starting(arguments[0], arguments[1])


def _connecting(address: object) -> None:
    if isinstance(address, tuple):
        _reaching(address[0])
    elif isinstance(address, (str, bytes)) and os.fsdecode(address).endswith(("docker.sock", "podman.sock")):
        raise NotAUnit(f"a unit test must not ask a container engine ({os.fsdecode(address)}); mark it engine")


def _reaching(host: object) -> None:
    name = os.fsdecode(host) if isinstance(host, (str, bytes)) else ""
    if name in ("", "localhost"):
        return
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise NotAUnit(f"a unit test must not reach the network ({name})")


def _starting(program: object, words: object) -> None:
    argv = _texts(*words) if isinstance(words, (list, tuple)) else []
    started = {PurePath(each).name for each in (*_texts(program), *argv[:1])}
    if "-m" in argv[:4]:
        started.add(argv[argv.index("-m") + 1])
    for name in sorted(started & PROGRAMS):
        raise NotAUnit(f"a unit test must not start {name}; mark it system, or engine")


def _texts(*words: object) -> list[str]:
    return [os.fsdecode(each) for each in words if isinstance(each, (str, bytes, os.PathLike))]
