"""Our programs on a PATH, for the shell scripts that tests run: each command is a fork, as in ``forked``."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support import forked

NAMES = ("invoke", "deadweight")
SCRIPT = """\
#!{python} -IS
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
door.connect({door!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), {program!r}]).encode()
door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {most})
socket.send_fds(door, [request], [0, 1, 2])
pid = int(door.recv({answer}) or sys.exit("no program was started"))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = int(door.recv({answer}))
sys.exit(code if code >= 0 else 128 - code)
"""


@contextlib.contextmanager
def programs(folder: Path) -> Iterator[Path]:
    """A folder made for a PATH. Its programs need the test process, and get its interpreter as it started."""
    made = folder / "bin"
    made.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(str(folder / "door"))
        door.listen()
        for name in NAMES:
            program = Path(sys.executable).with_name(name)
            text = SCRIPT.format(
                python=sys.executable,
                door=str(folder / "door"),
                program=str(program),
                most=forked.MOST_BYTES,
                answer=forked.ANSWER_BYTES,
            )
            (made / name).write_text(text)
            (made / name).chmod(0o755)
        thread = threading.Thread(target=_open, args=(door,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            door.shutdown(socket.SHUT_RDWR)  # ends what waits there
            thread.join()


def _open(door: socket.socket) -> None:
    while True:
        try:
            caller, _ = door.accept()
        except OSError:
            return
        with caller:
            request, streams, _flags, _address = socket.recv_fds(caller, forked.MOST_BYTES, 3)
            asked = json.loads(request)
            if not forked.started_otherwise(asked[2]):
                forked.ask(forked.Request(*asked), [*streams, caller.fileno()])
            for each in streams:
                os.close(each)
