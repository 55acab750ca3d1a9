"""A run of ``forked`` that a test looks at, feeds, waits for or ends: a ``subprocess.Popen`` whose child is not ours."""

import contextlib
import os
import socket
import subprocess
from typing import IO, Any

from tests.support import forked

Stream = int | IO[bytes] | IO[str] | None


class Process(subprocess.Popen[Any]):
    """The Python that is forked makes the child, and tells how it ended. Streams are of ``text`` or of bytes."""

    def __init__(
        self, request: forked.Request, stdin: Stream, stdout: Stream, stderr: Stream, *, text: bool = True
    ) -> None:
        self._request = request
        self._answer, self._theirs = socket.socketpair()
        super().__init__(
            [request.module, *request.words],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8" if text else None,
        )

    def _execute_child(self, *given: Any) -> None:
        pipes = given[10:16]
        streams = (number if file == -1 else file for number, file in enumerate((pipes[0], pipes[3], pipes[5])))
        with self._theirs:
            forked.ask(self._request, [*streams, self._theirs.fileno()])
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self.pid = int(self._answer.recv(forked.ANSWER_BYTES))

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        self._answer.setblocking(not wait_flags & os.WNOHANG)
        try:
            status = int(self._answer.recv(forked.ANSWER_BYTES))
        except BlockingIOError:
            return 0, 0
        self._answer.close()
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode


def run(request: forked.Request, given: bytes, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run it to its end, as ``subprocess.run`` would, with its output captured; ``timeout`` in seconds."""
    pipe = subprocess.PIPE
    with Process(request, pipe, pipe, pipe, text=False) as process:
        try:
            output, errors = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.wait(), output.decode(), errors.decode())
