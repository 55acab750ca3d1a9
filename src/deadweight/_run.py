"""Run external programs: argument lists only, with logging, timing, limits, and no child left behind.

Every program runs in its own process group. ``cancel_all`` (called on Ctrl-C) ends every live group, first with SIGTERM, then
with SIGKILL. If ``setpriv`` is available (Linux), the kernel also ends the program when we are killed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deadweight import _disk
from deadweight._errors import CommandError, Interrupted, MissingError, wording

# What an external program says, line by line: its log, its caller, and the last lines for an error.
TAIL_LINES = 15


class Sink:
    """Takes merged output line by line: the log, the caller's callback, and the last lines for an error."""

    def __init__(
        self, argv: Sequence[str], log: Path | None, on_line: Callable[[str], None] | None, redact: Sequence[str]
    ) -> None:
        self.log, self.on_line, self.expired = log, on_line, False
        self._secrets = [secret for secret in redact if secret]
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file: IO[str] | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._file = log.open("a", encoding="utf-8", errors="replace")
            self._file.write(f"$ {self.clean(shlex.join(argv))}\n")
            self._file.flush()

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def line(self, text: str) -> None:
        text = self.clean(text)
        if text.strip():
            self.tail.append(text)
        if self._file is not None:
            self._file.write(text + "\n")
            self._file.flush()
        if self.on_line is not None:
            self.on_line(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def failure(self, done: Completed, reason: str, code: int | None, hint: str | None) -> CommandError:
        """The error of a program that failed. What it printed counts where nothing was listened to while it ran."""
        printed = (done.errors or done.output).splitlines()
        tail = list(self.tail) or [line for line in printed if line.strip()][-TAIL_LINES:]
        words = [self.clean(word) for word in done.argv]
        return CommandError(words, exit_code_of_command=code, reason=reason, tail=tail, log=self.log, hint=hint)


GRACE_SECONDS = 5.0

_live: dict[int, subprocess.Popen[bytes]] = {}
_guard = threading.Lock()
_cancelled = False  # a plain flag: a signal's handler sets it, which may take no lock


@dataclass(frozen=True)
class Completed:
    """The result of a program. ``seconds`` is wall time; ``output`` is stdout, ``errors`` is stderr (empty if logged live)."""

    argv: tuple[str, ...]
    exit_code: int
    seconds: float
    output: str
    errors: str


class Stop:
    """Ends one call of ``run`` from another thread, whether its program has been started yet or not."""

    def __init__(self) -> None:
        self._guard, self._asked = threading.Lock(), False
        self._process: subprocess.Popen[bytes] | None = None

    def now(self, *, grace: bool = True) -> None:
        """End it, without ``grace`` by SIGKILL; returns at once."""
        with self._guard:
            first, self._asked = not self._asked, True
            process = self._process
        if process is not None and not grace:
            _signal_group(process, signal.SIGKILL)
        elif first and process is not None:
            threading.Thread(target=end, args=(process,), daemon=True).start()

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Take a program that was just started."""
        with self._guard:
            self._process = process
            asked = self._asked
        if asked:
            end(process)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | Path | None = None,
    timeout: float | None = 600.0,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    redact: Sequence[str] = (),
    hint: str | None = None,
    told: Sequence[str | Path] | None = None,
    stop: Stop | None = None,
) -> Completed:
    """Run a program to completion.

    With ``log`` or ``on_line`` stdout and stderr are merged, appended to the log line by line and handed to ``on_line``;
    ``output`` holds the merged text. Otherwise both are captured apart.
    ``env`` is added to ours, never replaces it. ``timeout`` is in seconds. Strings in ``redact`` are never written or shown.
    Log and errors show ``told`` where ``argv`` is only our own way of making that call. ``stop`` ends it from another thread.
    Raises CommandError if the program fails (with ``check``), hangs or cannot be started; MissingError if it is not there;
    Interrupted after ``cancel_all``.
    """
    started = time.monotonic()
    process = _start(argv, cwd=cwd, env=env, stdin=stdin, merged=log is not None or on_line is not None)
    words = tuple(str(word) for word in told or argv)
    sink = Sink(words, log, on_line, redact)
    if stop is not None:
        stop.watch(process)
    with _watched(process, sink, timeout):
        output, errors = _drain(process, stdin, sink)
    done = Completed(words, process.returncode, time.monotonic() - started, sink.clean(output), sink.clean(errors))
    _raise_if_failed(done, sink, timeout, env, hint, check=check)
    return done


@contextlib.contextmanager
def piped(argv: Sequence[str | Path]) -> Iterator[IO[bytes]]:
    """A program's stdout, to be read while it runs. Who leaves before its end ends it.

    Raises as ``run`` does; that the program failed only once its output was read to the end.
    """
    words = tuple(str(word) for word in argv)
    started = time.monotonic()
    process = _start(argv, cwd=None, env=None, stdin=None, merged=False)
    sink = Sink(words, None, None, ())
    assert process.stdout is not None
    with _watched(process, sink, None):
        errors = threading.Thread(target=_listen, args=(process.stderr, sink), daemon=True)
        errors.start()
        yield process.stdout
        whole = not process.stdout.read(1)
        if not whole:
            end(process)
        process.wait()
        errors.join()
    done = Completed(words, process.returncode, time.monotonic() - started, "", "")
    _raise_if_failed(done, sink, None, None, None, check=whole)


def _raise_if_failed(
    done: Completed, sink: Sink, timeout: float | None, env: Mapping[str, str] | None, hint: str | None, *, check: bool
) -> None:
    if _cancelled:
        raise Interrupted(wording("run.interrupted"))
    if sink.expired:
        raise sink.failure(done, wording("run.timed_out", seconds=timeout), None, hint)
    if not check or done.exit_code == 0:
        return
    output = f"{done.output}\n{done.errors}"
    if _disk.met(output, env):
        hint = _disk.hint(output, env)
    if done.exit_code < 0:
        reason = wording("run.ended_by", signal=signal.Signals(-done.exit_code).name)
    else:
        reason = wording("run.failed", code=done.exit_code)
    raise sink.failure(done, reason, done.exit_code, hint)


def _listen(lines: IO[bytes] | None, sink: Sink) -> None:
    with contextlib.suppress(ValueError):  # closed meanwhile
        for raw in lines or ():
            sink.line(raw.decode(errors="replace").rstrip("\r\n"))


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes], sink: Sink, timeout: float | None) -> Iterator[None]:
    """While its output is read: end the process when its time is over, or when reading fails; afterwards leave nothing open."""
    timer = threading.Timer(timeout, _expire, (process, sink)) if timeout else None
    try:
        if timer:
            timer.daemon = True
            timer.start()
        yield
    except BaseException:
        end(process)
        raise
    finally:
        if timer:
            timer.cancel()
        with _guard:
            _live.pop(process.pid, None)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        sink.close()


def cancel_all() -> None:
    """End every program that is running, and refuse to start more. For Ctrl-C; returns when all have ended."""
    global _cancelled
    _cancelled = True
    _end_all()


def cancel_soon() -> None:
    """The same without waiting, for a signal's handler: what is interrupted may itself wait for programs that are running."""
    global _cancelled
    _cancelled = True
    threading.Thread(target=_end_all, daemon=True).start()


def _end_all() -> None:
    with _guard:
        processes = list(_live.values())
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal_group(process, signal.SIGKILL)


def reset_cancel() -> None:
    """Allow programs to start again after ``cancel_all`` (clean-up after Ctrl-C needs to run the engine's client)."""
    global _cancelled
    _cancelled = False


def cancelled() -> bool:
    """Whether ``cancel_all`` was called."""
    return _cancelled


def end(process: subprocess.Popen[bytes]) -> None:
    """End one process group: SIGTERM, then SIGKILL after a grace of five seconds."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _start(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: bytes | Path | None,
    merged: bool,
) -> subprocess.Popen[bytes]:
    if _cancelled:
        raise Interrupted(wording("run.interrupted"))
    words = tuple(str(word) for word in argv)
    if shutil.which(words[0], path=(env or {}).get("PATH")) is None:
        raise MissingError(wording("run.not_found", program=words[0]))
    with contextlib.ExitStack() as stack:
        source: int | IO[bytes] = subprocess.DEVNULL
        if isinstance(stdin, bytes):
            source = subprocess.PIPE
        elif isinstance(stdin, Path):
            source = stack.enter_context(stdin.open("rb"))
        try:
            process = subprocess.Popen(
                [*_death_pact(), *words],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            reason = wording("run.not_started", problem=error)
            raise CommandError(words, exit_code_of_command=None, reason=reason) from error
    with _guard:
        _live[process.pid] = process
        late = _cancelled
    if late:  # all were ended while this one was being started, and nobody saw it
        end(process)
    return process


@functools.cache
def _death_pact() -> tuple[str, ...]:
    """Prefix that makes the kernel end the program when we die without warning (kill -9); empty where there is none."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    probe = subprocess.run([setpriv, "--pdeathsig", "TERM", "true"], capture_output=True, check=False)
    return (setpriv, "--pdeathsig", "TERM") if probe.returncode == 0 else ()


def _drain(process: subprocess.Popen[bytes], stdin: bytes | Path | None, sink: Sink) -> tuple[str, str]:
    given = stdin if isinstance(stdin, bytes) else None
    if sink.log is None and sink.on_line is None:
        output, errors = process.communicate(given)
        return output.decode(errors="replace"), errors.decode(errors="replace")
    assert process.stdout is not None
    if given is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(given)
            process.stdin.close()
    lines: list[str] = []
    for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip("\r\n")
        lines.append(line)
        sink.line(line)
    process.wait()
    return "\n".join(lines), ""


def _expire(process: subprocess.Popen[bytes], sink: Sink) -> None:
    sink.expired = True
    end(process)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
