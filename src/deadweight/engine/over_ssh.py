"""Connect to an engine over SSH, as Docker's client does: one ``ssh HOST docker system dial-stdio`` per connection.

ssh's input and output are one end of a socket pair, so HTTP code gets a real socket at the other end and needs no thread in
between. All connections share one login (ssh's ControlMaster). Keys and jump hosts come from the user's ssh settings; nothing is
prompted for. Checks connect once per request, so they take a shorter route if the server allows it (``Forward``).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from deadweight._errors import wording
from deadweight.records.paths import user_cache

if TYPE_CHECKING:
    from requests.adapters import BaseAdapter


CONNECT_SECONDS = 15
"""How long ssh may take to reach the other machine; then the other side's client gets its turn."""
PING_SECONDS = 2.0 * CONNECT_SECONDS
SHARED_SECONDS = 20
"""How long the login outlives the last connection; then it ends by itself, also where we were killed."""
LONGEST_FOLDER = 107 - len("/") - 40 - 17
"""A socket's name has 107 bytes at most (unix(7)); ssh's is a hash of 40, and 17 more until it is complete."""
SCHEME = "ssh://"
HINT = "try: ssh {host} docker version; the key must be known to ssh (ssh-add), and `docker` must be on that machine's PATH"

_running: list[subprocess.Popen[bytes]] = []
"""Held until they have ended, so that their ends are fetched."""


@atexit.register
def _leave_the_rest() -> None:
    """They end with our sockets, a moment after us."""
    for each in _running:
        if each.poll() is None:
            each.returncode = 0


def hint(host: str) -> str:
    """What to try where nobody answers."""
    parts = urlsplit(host)
    port = f"-p {parts.port} " if parts.port else ""
    return HINT.format(host=port + (f"{parts.username}@" if parts.username else "") + (parts.hostname or ""))


def command(host: str) -> list[str]:
    """The argv that leads to the engine at ``ssh://[USER@]HOST[:PORT][/path/of/the/engine.sock]``. Raises as ``login`` does."""
    path = engine_path(host)
    docker = ["docker", *(["--host", f"unix://{path}"] if path else []), "system", "dial-stdio"]
    return [*login(host), shlex.join(docker)]


def engine_path(host: str) -> str:
    """The engine's socket on the other machine, where the address names it."""
    return unquote(urlsplit(host).path).rstrip("/")


def login(host: str, *more: str) -> list[str]:
    """The argv up to the words for the other machine's shell; ``more`` are options of ssh. Raises ValueError for another address,
    FileNotFoundError where this machine has no ssh."""
    parts = urlsplit(host)
    if not parts.hostname or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(wording("engine.wrong_ssh_address", host=host))
    program = shutil.which("ssh")
    if program is None:
        raise FileNotFoundError(2, wording("engine.no_ssh"))
    argv = [program, "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    argv += [*_sharing(), *more]
    if parts.username:
        argv += ["-l", unquote(parts.username)]
    if parts.port:
        argv += ["-p", str(parts.port)]
    return [*argv, "--", parts.hostname]


def _sharing() -> list[str]:
    """The words that make connections share a login. Whoever can use its socket is logged in, so nobody else may see the folder.
    Where that lies so deep that no socket can have its name, each connection logs in by itself."""
    folder = user_cache() / "ssh"
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        return []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ["-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", f"ControlPersist={SHARED_SECONDS}"]


def dialled(host: str, timeout: float | None, said: IO[bytes] | None = None) -> socket.socket:
    """A socket that leads to the engine; what ssh says of it goes to ``said``. ssh ends with it, also when we are killed."""
    argv = command(host)
    _running[:] = [each for each in _running if each.poll() is None]
    ours, theirs = socket.socketpair()
    with theirs:
        # A session of its own: Ctrl-C must not end the connection over which containers are removed.
        errors: Any = said or subprocess.DEVNULL
        _running.append(
            subprocess.Popen(argv, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=errors, start_new_session=True)
        )
    ours.settimeout(timeout)
    return ours


def last_line(said: IO[bytes]) -> str:
    """What ssh, or the other machine's shell, said last; empty where it said nothing."""
    with contextlib.suppress(OSError, ValueError):
        said.seek(0)
        lines = [line.strip() for line in said.read(1 << 16).decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")
    return ""


# The short way to an engine over SSH: a socket here that ssh passes on to the engine's socket there, for all connections at once.
#
# No program is started for a connection, neither here nor there. It takes a server that forwards sockets, as OpenSSH does unless
# it was told not to (``AllowStreamLocalForwarding``), and an engine on a socket of that machine. Where either lacks, connections
# are made one by one (``dialled``).
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
        there = engine_path(self._host) or self._asked()
        here = user_cache() / "ssh" / f"{os.getpid()}-{id(self):x}.sock"
        if not there or ":" in there or len(os.fsencode(here)) > LONGEST:
            return
        _sweep(here.parent)
        argv = login(
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
        argv = [*login(self._host), ASK]
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
            self.sock = forward.dialled(timeout) or dialled(host, timeout)

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
