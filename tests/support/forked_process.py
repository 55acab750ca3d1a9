"""A run of ``forked`` that a test looks at, feeds, waits for or ends: what ``subprocess.Popen`` has of it, with text streams."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from types import TracebackType
from typing import IO, Self

from tests.support import forked

Stream = int | IO[bytes] | IO[str] | None


class Process:
    """Who leaves its ``with`` waits for it."""

    def __init__(self, request: forked.Request, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        self.args = [request.module, *request.words]
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self._answer, theirs = socket.socketpair()
        with contextlib.ExitStack() as handed_over:
            handed_over.enter_context(theirs)
            first, self.stdin = _standard(0, stdin, handed_over)
            second, self.stdout = _standard(1, stdout, handed_over)
            if stderr == subprocess.STDOUT:
                third = second
            else:
                third, self.stderr = _standard(2, stderr, handed_over)
            forked.ask(request, [first, second, third, theirs.fileno()])
        self.pid = int(self._answer.recv(forked.ANSWER_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Its exit code (the negative number of the signal that ended it); None while it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; raises TimeoutExpired after ``timeout`` seconds."""
        if self.returncode is None:
            self._answer.settimeout(timeout)
            try:
                self.returncode = int(self._answer.recv(forked.ANSWER_BYTES))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._answer.close()
        return self.returncode

    def communicate(self, given: bytes = b"", timeout: float | None = None) -> tuple[str, str]:
        """All that it says until its end; raises TimeoutExpired where that is not within ``timeout`` seconds."""
        said = ["", ""]
        reading = [
            threading.Thread(target=_read, args=(stream, said, number), daemon=True)
            for number, stream in enumerate((self.stdout, self.stderr))
            if stream is not None and not stream.closed
        ]
        writing = [threading.Thread(target=_write, args=(self.stdin, given), daemon=True)] if self.stdin else []
        for thread in (*reading, *writing):
            thread.start()
        for thread in reading:
            thread.join(timeout)
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(timeout)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _standard(number: int, given: Stream, handed_over: contextlib.ExitStack) -> tuple[int, IO[str] | None]:
    """The file of a standard stream for the run, and the other end of it where it is to be a pipe."""
    if given is None:
        return number, None
    if not isinstance(given, int):
        return given.fileno(), None
    if given >= 0:
        return given, None
    if given == subprocess.DEVNULL:
        file, kept = os.open(os.devnull, os.O_RDWR), None
    else:
        reading, writing = os.pipe()
        file, ours, mode = (reading, writing, "w") if number == 0 else (writing, reading, "r")
        kept = os.fdopen(ours, mode, encoding="utf-8", newline="")  # the process closes it
    handed_over.callback(os.close, file)
    return file, kept


def _read(stream: IO[str], said: list[str], number: int) -> None:
    with stream:
        said[number] = stream.read()


def _write(stream: IO[str], given: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), stream:
        stream.buffer.write(given)  # type: ignore[attr-defined]


def run(request: forked.Request, given: bytes, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run it to its end, as ``subprocess.run`` would, with its output captured; ``timeout`` in seconds."""
    pipe = subprocess.PIPE
    with Process(request, pipe, pipe, pipe) as process:
        try:
            output, errors = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.wait(), output, errors)
