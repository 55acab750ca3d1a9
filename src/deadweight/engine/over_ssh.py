"""Connect to an engine over SSH, as Docker's client does: one ``ssh HOST docker system dial-stdio`` per connection.

ssh's input and output are one end of a socket pair, so HTTP code gets a real socket at the other end and needs no thread in
between. All connections share one login (ssh's ControlMaster). Keys and jump hosts come from the user's ssh settings; nothing is
prompted for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
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
    path = unquote(urlsplit(host).path).rstrip("/")
    docker = ["docker", *(["--host", f"unix://{path}"] if path else []), "system", "dial-stdio"]
    return [*login(host), shlex.join(docker)]


def login(host: str) -> list[str]:
    """The argv up to the words for the other machine's shell. Raises ValueError for another address, FileNotFoundError where this
    machine has no ssh."""
    parts = urlsplit(host)
    if not parts.hostname or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(wording("engine.wrong_ssh_address", host=host))
    program = shutil.which("ssh")
    if program is None:
        raise FileNotFoundError(2, wording("engine.no_ssh"))
    argv = [program, "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    argv += _sharing()
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


def adapter(host: str, timeout: int) -> BaseAdapter:
    """What the SDK's session is to speak through (its own one wants a second implementation of SSH)."""
    from docker.transport import unixconn

    class Connection(unixconn.UnixHTTPConnection):
        def connect(self) -> None:
            self.sock = dialled(host, timeout)

    class Pool(unixconn.UnixHTTPConnectionPool):
        def _new_conn(self) -> Any:
            return Connection(self.base_url, self.socket_path, timeout)

    class Adapter(unixconn.UnixHTTPAdapter):
        def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - the SDK gives it by name
            with self.pools.lock:
                if (pool := self.pools.get(url)) is None:
                    pool = self.pools[url] = Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
            return pool

    return Adapter("http+unix://over-ssh", timeout)
