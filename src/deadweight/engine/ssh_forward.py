"""The short way to an engine over SSH: a socket here that ssh passes on to the engine's socket there, for all connections at once.

No program is started for a connection, neither here nor there. It takes a server that forwards sockets, as OpenSSH does unless it
was told not to (``AllowStreamLocalForwarding``), and an engine on a socket of that machine. Where either lacks, connections are
made one by one (``over_ssh.dialled``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.engine import over_ssh
from deadweight.records.paths import user_cache

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter

ASK = "docker context inspect --format '{{.Endpoints.docker.Host}}'"
"""Where the client of the other machine finds its engine; nobody else knows."""
STAYS = "echo there; exec cat"
"""It ends when our side does."""
READY_SECONDS = 20.0
UNIX = "unix://"
LONGEST = 107
"""A socket's name has so many bytes at most (unix(7))."""


class Forward:
    """One such socket, made when it is first asked for; it ends with ``close``, and with this process."""

    def __init__(self, host: str) -> None:
        self._host, self._guard = host, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._path: Path | None = None
        self._tried = False

    def dialled(self, timeout: float | None) -> socket.socket | None:
        """A connection to the engine; None where this way leads nowhere."""
        with self._guard:
            if not self._tried:
                self._tried = True
                with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                    self._open()
            path = self._path
        if path is None:
            return None
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(timeout)
            made.connect(str(path))
        except OSError:  # the login has ended
            made.close()
            return None
        return made

    def _open(self) -> None:
        there = over_ssh.engine_path(self._host) or self._asked()
        here = user_cache() / "ssh" / f"{os.getpid()}-{id(self):x}.sock"
        if not there or ":" in there or len(os.fsencode(here)) > LONGEST:
            return
        _sweep(here.parent)
        argv = over_ssh.login(
            self._host, "-S", "none", "-o", "ControlMaster=no", "-o", "ExitOnForwardFailure=yes", "-L", f"{here}:{there}"
        )  # fmt: skip
        # A session of its own: Ctrl-C must not end the connection over which containers are removed.
        self._process = subprocess.Popen(
            [*argv, STAYS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() == b"there\n" and _answers(here):
            self._path = here
        else:
            self._end(here)

    def _asked(self) -> str:
        argv = [*over_ssh.login(self._host), ASK]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=READY_SECONDS, check=False)
        told = done.stdout.decode(errors="replace").strip()
        return told.removeprefix(UNIX) if told.startswith(UNIX) else ""

    def close(self) -> None:
        """Let go of it."""
        with self._guard:
            path, self._path = self._path, None
            if path is not None:
                self._end(path)

    def _end(self, path: Path) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.terminate()
            self._process.wait(READY_SECONDS)
        path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    """Whether an engine is at the other end: a server that refuses to forward says so only to who connects."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(READY_SECONDS)
        asked.connect(str(path))
        asked.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return asked.recv(16).startswith(b"HTTP/")
    return False


def _sweep(folder: Path) -> None:
    """Remove the sockets of processes that were killed."""
    for each in folder.glob("*-*.sock"):
        number = each.name.partition("-")[0]
        if (
            number.isdigit()
            and not Path("/proc", number).exists()
            and time.time() - each.stat().st_mtime > READY_SECONDS
        ):
            each.unlink(missing_ok=True)


def adapter(host: str, timeout: int) -> BaseAdapter:
    """What the SDK's session is to speak through (its own one wants a second implementation of SSH)."""
    from docker.transport import unixconn

    forward = Forward(host)

    class Connection(unixconn.UnixHTTPConnection):
        def connect(self) -> None:
            self.sock = forward.dialled(timeout) or over_ssh.dialled(host, timeout)

    class Pool(unixconn.UnixHTTPConnectionPool):
        def _new_conn(self) -> Any:
            return Connection(self.base_url, self.socket_path, timeout)

    class Adapter(unixconn.UnixHTTPAdapter):
        def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - the SDK gives it by name
            with self.pools.lock:
                if (pool := self.pools.get(url)) is None:
                    pool = self.pools[url] = Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
            return pool

        def close(self) -> None:
            super().close()
            forward.close()

    return Adapter("http+unix://over-ssh", timeout)
