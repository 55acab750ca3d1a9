"""Read the engine's raw exec streams: stdout and stderr frames on a hijacked connection, with a time limit.

Frame (Engine API, "Attach to a container"): one byte stream number, three zero bytes, four bytes length (big endian), data.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from typing import Any

STDOUT, STDERR = 1, 2
_CHUNK = 65536


@contextlib.contextmanager
def hijacked(stream: Any) -> Iterator[Any]:
    """The socket inside what the SDK gives for ``socket=True``; all of it is closed at the end."""
    response = getattr(stream, "_response", None)
    try:
        yield getattr(stream, "_sock", stream)  # over a unix socket the SDK wraps the real one
    finally:
        if response is not None:
            response.close()
        stream.close()


def frames(raw: Any, seconds: float | None) -> Iterator[tuple[int, bytes]]:
    """(stream number, data) until the other side ends. Raises TimeoutError once ``seconds`` have passed (None: never)."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while (whole := _frame(raw, deadline))[0]:
        yield whole


def frame(raw: Any, seconds: float) -> tuple[int, bytes]:
    """The next frame, whole; 0 and nothing where the other side has ended. Raises TimeoutError."""
    return _frame(raw, time.monotonic() + seconds)


def _frame(raw: Any, deadline: float | None) -> tuple[int, bytes]:
    header = _exactly(raw, 8, deadline)
    if not header:
        return 0, b""
    number, length = struct.unpack(">BxxxL", header)
    return number, _exactly(raw, length, deadline)


def _exactly(raw: Any, count: int, deadline: float | None) -> bytes:
    """So many bytes; nothing where the stream ends before."""
    got = bytearray()
    while len(got) < count:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        raw.settimeout(left)
        data = raw.recv(min(count - len(got), _CHUNK))
        if not data:
            return b""
        got += data
    return bytes(got)
