"""Send HTTP to a container by any route: a published port, its network namespace, or its address.

A route makes the socket; the standard library's ``http.client`` does the rest.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from deadweight import _json, _run, _sudo
from deadweight._errors import Interrupted
from deadweight.engine import netns

MAX_BODY_BYTES = 64 * 2**20
CHUNK_BYTES = 2**20
PAUSE_SECONDS = 0.1
HEEDED_SECONDS = 0.1
"""Who waits for an answer looks so often whether a signal has ended us."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Header names are in lower case; ``truncated`` where the body is longer than what was to be read of it.

    ``cookies`` are all ``Set-Cookie`` headers, ``pauses`` how often nothing of the body came for ``PAUSE_SECONDS``."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    truncated: bool = False
    cookies: tuple[str, ...] = ()
    pauses: int = 0

    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is none, or none that may be parsed (``_json``)."""
        return _json.parsed(self.body)


@dataclass(frozen=True)
class Route:
    """A way to a container's port. ``dial`` takes a time limit in seconds and gives a connected socket.

    ``tls``: what is spoken there is HTTP over TLS; any certificate will do, since the container is ours.
    """

    way: str
    host: str
    port: int
    dial: Callable[[float], socket.socket] = field(repr=False)
    tls: bool = False

    def connected(self, seconds: float) -> socket.socket:
        """A connection to speak HTTP on. Raises OSError."""
        dialled = self.dial(seconds)
        dialled.settimeout(seconds)
        if self.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.sslsocket_class = _BoundedTls
            return context.wrap_socket(dialled, server_hostname=self.host)
        bounded = _Bounded(fileno=dialled.detach())
        bounded.settimeout(seconds)
        return bounded

    @property
    def base_url(self) -> str:
        """Where a browser or curl on this machine finds the service; only meaningful for ``published`` and ``address``."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        timeout: float = 30.0,
        most: int = MAX_BODY_BYTES,
    ) -> Answer:
        """One request on a connection of its own. A body in pieces needs its length among the headers. ``timeout`` in seconds, for
        all of it; ``most`` bytes of the answer's body are read. Raises OSError or HTTPException (also for a body cut short)."""
        connection = _Connection(self, timeout)
        started = time.monotonic()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # A service may refuse a large body before it has all of it; its answer is there all the same.
                connection.request(method, path, body=body, headers={"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            with response:
                content, pauses = _read(response, most + 1)
                if response.length and len(content) <= most:
                    raise http.client.IncompleteRead(content, response.length)
                names = {name.lower(): value for name, value in response.getheaders()}
                status, cookies = response.status, tuple(response.headers.get_all("Set-Cookie", ()))
        finally:
            connection.close()
        seconds = time.monotonic() - started
        return Answer(status, names, content[:most], seconds, len(content) > most, cookies, pauses)


def _read(response: http.client.HTTPResponse, most: int) -> tuple[bytes, int]:
    """So much of a body, or all, and how often it paused."""
    content, pauses, last = bytearray(), 0, time.monotonic()
    while len(content) < most and (piece := response.read1(min(most - len(content), CHUNK_BYTES))):
        now = time.monotonic()
        pauses += bool(content) and now - last >= PAUSE_SECONDS
        content += piece
        last = now
    return bytes(content), pauses


class _Connection(http.client.HTTPConnection):
    def __init__(self, route: Route, timeout: float) -> None:
        super().__init__(route.host, route.port, timeout=timeout)
        self._route, self._limit = route, timeout
        self._deadline = time.monotonic() + timeout

    def connect(self) -> None:
        self.sock = cast("_Bounded", self._route.connected(self._limit))
        self.sock.deadline = self._deadline


class _Bounded(socket.socket):
    """A connection whose waits end together at its ``deadline``, if it has one: a service that sends a byte now and then cannot
    hold on to who asks.

    The handshake of TLS has the time limit of one wait.
    """

    deadline: float | None = None

    def sendall(self, *given: Any, **named: Any) -> None:
        self._hasten()
        super().sendall(*given, **named)  # its own limit is one for all of it

    def recv_into(self, *given: Any, **named: Any) -> int:
        if self.deadline is None:
            return super().recv_into(*given, **named)
        while not _run.cancelled():
            self._hasten(HEEDED_SECONDS)
            with contextlib.suppress(TimeoutError):
                return super().recv_into(*given, **named)
        raise Interrupted("interrupted")

    def _hasten(self, most: float = float("inf")) -> None:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.settimeout(min(left, most))


class _BoundedTls(_Bounded, ssl.SSLSocket):
    """The same over TLS."""


def direct(way: str, host: str, port: int) -> Route:
    """A route by plain TCP."""
    return Route(way, host, port, lambda timeout: socket.create_connection((host, port), timeout=timeout))


def listens(port: int, seconds: float = 0.0) -> bool:
    """Whether somebody listens at this port of loopback, or does within these seconds. Nobody is connected to: a service would see
    that."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended are nobody
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(PAUSE_SECONDS)


def namespace_route(pid: int, port: int) -> Route:
    """A route to 127.0.0.1 inside the network namespace of a process. Linux, root; works with ``--network none`` too."""
    inside = direct("namespace", "127.0.0.1", port)
    return replace(inside, dial=lambda timeout: netns.within(pid, lambda: inside.dial(timeout)))


def can_enter_namespace(pid: int, container: str) -> bool:
    """Whether ``pid`` is this container's process as seen from here, and we may enter its network namespace."""
    return _sudo.is_root() and netns.is_process_of(pid, container) and os.access(f"/proc/{pid}/ns/net", os.R_OK)
