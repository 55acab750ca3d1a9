"""A socket of the attacker's side that is served by a thread until it is closed."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

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
