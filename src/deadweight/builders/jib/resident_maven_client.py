"""Send a Maven call to a resident Maven: ``python -I resident_maven_client.py SOCKET FOLDER MVN [ARGUMENT ...]``.

It is a separate program so that the usual runner ends, logs and limits it: when it ends, the build ends. It uses only a little
of the standard library, since it starts for every build. If the resident Maven cannot be reached, is busy, or ends without an
exit code, the call runs as it stands.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator


def main(place: str, folder: str, call: list[str]) -> int:
    """The exit code of the build."""
    words = [folder, os.getcwd(), *call[1:]]  # noqa: PTH109 - pathlib takes longer to import than all the rest
    try:
        request = "".join(f"{word}\0" for word in words).encode()
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(place)
            stream.sendall(struct.pack(">i", len(request)) + request)
            for kind, content in _frames(stream):
                if kind == 0:
                    return int(struct.unpack(">i", content)[0])
                if kind == 2:
                    break
                sys.stdout.buffer.write(content)
                sys.stdout.buffer.flush()
    except (OSError, UnicodeEncodeError, EOFError):
        pass
    return os.execv(call[0], call)  # noqa: S606 - the call that was asked for, in place of this program


def _frames(stream: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Kind and content. Raises EOFError where the stream ends before the exit code."""
    with stream.makefile("rb") as file:
        while kind := file.read(1):
            size = 0 if kind == b"\2" else 4
            if kind == b"\1":
                size = struct.unpack(">i", _exactly(file.read(4), 4))[0]
            yield kind[0], _exactly(file.read(size), size)
    raise EOFError


def _exactly(content: bytes, size: int) -> bytes:
    if len(content) < size:
        raise EOFError
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
