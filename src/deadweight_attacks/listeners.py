"""Open the attacker's sockets: receive a proof word, serve one, or be the far end of a reverse shell."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# Words that nobody can guess: the secrets that are planted for one run, and the halves of each attack's word.
LETTERS, LENGTH = "bcdfghjkmnpqrstvwxz", 8


def random_name() -> str:
    """Eight letters: no shell, AWK or JSON reads them as anything else."""
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


@dataclass(frozen=True)
class Planted:
    """The secrets of one run, by where each lies: in the service's environment, in the host's folder, at the stand-in for the
    cloud's metadata, and in the neighbour."""

    environment: str = field(default_factory=random_name)
    host: str = field(default_factory=random_name)
    metadata: str = field(default_factory=random_name)
    neighbour: str = field(default_factory=random_name)

    def at(self, where: str | None) -> str:
        """The one that lies there."""
        return str(getattr(self, where or ""))


# A socket of the attacker's side that is served by a thread until it is closed.
Talk = Callable[[socket.socket, threading.Event], None]
SLICE_SECONDS = 0.1


class Serving:
    """Hands each connection to ``talk`` and closes it after; of a datagram socket, the socket itself.

    What goes wrong with one (OSError) ends that one. The event is set when all is to end, for a ``talk`` that waits.
    """

    def __init__(self, server: socket.socket, talk: Talk) -> None:
        self._server, self._talk = server, talk
        self._closing = threading.Event()
        self._woken, self._waking = socket.socketpair()
        server.settimeout(SLICE_SECONDS)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def pending(self) -> bool:
        """Whether somebody has come that was not talked to yet: on a busy machine it is told so before its thread runs."""
        try:
            return bool(select.select([self._server], [], [], 0)[0])
        except (OSError, ValueError):  # it is closed
            return False

    def close(self) -> None:
        self._closing.set()
        self._waking.close()  # who waits for somebody to come is woken
        self._thread.join(2)
        self._server.close()
        self._woken.close()

    def _serve(self) -> None:
        coming = select.poll()
        coming.register(self._server, select.POLLIN)
        coming.register(self._woken, select.POLLIN)
        while not self._closing.is_set():
            with contextlib.suppress(OSError):
                coming.poll()
                if self._closing.is_set():
                    return
                if self._server.type == socket.SOCK_DGRAM:
                    self._talk(self._server, self._closing)
                    continue
                connection, _ = self._server.accept()
                with connection:
                    self._talk(connection, self._closing)


Within = Callable[[Callable[[], socket.socket]], socket.socket]
MOST_BYTES = 1 << 16
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class Word:
    """The random word of one attack. The request holds its halves only."""

    a: str
    b: str

    @property
    def whole(self) -> str:
        return self.a + self.b


class Listener:
    """A listener for one attack (TCP, or UDP for ``datagram``), on ``port``. ``received`` is what came."""

    def __init__(self, server: socket.socket, word: Word, does: str) -> None:
        self._word, self._does = word, does
        self.port: int = server.getsockname()[1]
        self.received = b""
        self.connected = False
        self._serving = Serving(server, self._datagram if does == "datagram" else self._talk)

    @classmethod
    def inside(cls, within: Within, word: Word, does: str) -> Listener:
        """Listen in the attacker's network, which ``within`` works in. Raises OSError."""
        return cls(within(_datagrams if does == "datagram" else _connections), word, does)

    @property
    def word_received(self) -> bool:
        """Whether the word came. Where the word is served, the service's own answer tells."""
        return self._word.whole.encode() in self.received

    @property
    def pending(self) -> bool:
        """Whether something has come that is not read yet."""
        return self._serving.pending

    def close(self) -> None:
        self._serving.close()

    def _datagram(self, server: socket.socket, _closing: threading.Event) -> None:
        self.received += server.recv(MOST_BYTES)
        self.connected = True

    def _talk(self, connection: socket.socket, closing: threading.Event) -> None:
        self.connected = True
        connection.settimeout(SLICE_SECONDS)
        if self._does == "serve":
            connection.sendall(served(self._word))
            _drain(connection)
            return
        if self._does == "shell":
            connection.sendall(order(self._word))
        while not closing.is_set() and not self.word_received and len(self.received) < MOST_BYTES:
            try:
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            if not chunk:
                return
            self.received += chunk


def _connections() -> socket.socket:
    return socket.create_server(("", 0), backlog=8)


def _datagrams() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 0))
    return server


def order(word: Word) -> bytes:
    """What the attacker types into a shell: the word comes back whole only if a shell reads it."""
    return f"echo {word.a}''{word.b}\n".encode()


def served(word: Word) -> bytes:
    """What a listener answers that serves the word, whatever it is asked."""
    content = word.whole.encode() + b"\n"
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


def call(connect: Callable[[], socket.socket], word: Word) -> bool:
    """Speak to a shell that an attack bound, from the attacker's network; whether it answers with the word."""
    try:
        connection = connect()
    except OSError:
        return False
    with connection:
        received = b""
        try:
            connection.settimeout(1.0)
            connection.sendall(order(word))
            while word.whole.encode() not in received and len(received) < MOST_BYTES:
                chunk = connection.recv(4096)
                if not chunk:
                    break
                received += chunk
        except OSError:
            return False
        return word.whole.encode() in received


class EngineStandIn:
    """A Unix socket that looks like the engine's from inside and does nothing but listen."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._words: list[bytes] = []
        self._serving = Serving(_listen_at(path), self._talk)

    def heard(self, word: Word) -> bool:
        return any(word.whole.encode() in text for text in list(self._words))

    def close(self) -> None:
        self._serving.close()

    def _talk(self, connection: socket.socket, _closing: threading.Event) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        self._words.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def _drain(connection: socket.socket) -> None:
    """Read the request before closing, so that the answer is not lost to a reset."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(1.0)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def _listen_at(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    os.chmod(path, 0o660)  # noqa: PTH101 - as the engine's own
    server.listen(8)
    return server
