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

END, OUTPUT = b"\0", b"\1"  # of the frames; where it is busy, it says so by another


def main(place: str, folder: str, call: list[str]) -> int:
    """The exit code of the build."""
    words = [folder, os.getcwd(), *call[1:]]  # noqa: PTH109 - pathlib takes longer to import than all the rest
    try:
        request = "".join(f"{word}\0" for word in words).encode()
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(place)
            stream.sendall(struct.pack(">i", len(request)) + request)
            with stream.makefile("rb") as file:
                while (kind := file.read(1)) in (OUTPUT, END):
                    (number,) = struct.unpack(">i", file.read(4))
                    if kind == END:
                        return int(number)
                    sys.stdout.buffer.write(file.read(number))
                    sys.stdout.buffer.flush()
    except (OSError, UnicodeEncodeError, struct.error):  # the last for an answer that is cut off
        pass
    return os.execv(call[0], call)  # noqa: S606 - the call that was asked for, in place of this program


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
