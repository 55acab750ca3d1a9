"""Handle early termination: Ctrl-C, SIGTERM, a closed terminal (SIGHUP), or a reader that closed the pipe.

All of them become one KeyboardInterrupt in the main thread, so that a single exit path does the clean-up. It is raised only once:
shells send SIGHUP twice, people press Ctrl-C twice, and the removal of containers must not be interrupted.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, cast

from deadweight import _run
from deadweight._log_excerpt import coloured

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

HEEDED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PRESSES = 3
"""So many Ctrl-C end us at once, whatever is still there: the next command removes it."""

SENDS, SEND_SECONDS = 500, 0.01
"""How often, and how far apart, a thread looks whether the hook that started it is done."""

FILES = range(1, 64)
"""Numbers under which a terminal may be open: pytest keeps it under one of its own while it captures output."""


@dataclass
class _Ending:
    """``first`` is the signal that ended us; ``asked`` one that a thread wants to be taken for it."""

    heeded: tuple[int, ...] = ()
    first: int | None = None
    asked: int | None = None
    presses: int = 0
    swallowed: bool = False
    terminals: tuple[int, ...] = ()
    removed: dict[str, None] = field(default_factory=dict)


_now = _Ending()


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """In this block the first of these signals raises KeyboardInterrupt, and later ones are ignored.

    One that is ignored already (``nohup``, a script's background) stays so. Only the main thread may heed signals; in others
    nothing changes.
    """
    global _now
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HEEDED}
    ours = tuple(number for number in HEEDED if before[number] not in (signal.SIG_IGN, None))
    outer, _now = _now, _Ending(ours, terminals=tuple(number for number in FILES if os.isatty(number)))
    for number in ours:
        signal.signal(number, _heard)
    hook = sys.unraisablehook
    sys.unraisablehook = mine = functools.partial(_unraisable, hook)
    try:
        yield
    finally:
        if sys.unraisablehook is mine:
            sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, before[number])
        _now = outer


def received() -> int | None:
    """The signal that ends us; None while none has come."""
    return _now.first


def exit_code() -> int:
    """128 and the signal's number, as shells have it: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, 141 where the reader is gone."""
    return 128 + (_now.first or signal.SIGINT)


def removed(what: str) -> None:
    """Note what was ended or removed on the way out, for ``closing_line``; nothing while no signal has come."""
    if _now.first is not None:
        _now.removed[what] = None


def closing_line() -> str:
    """The line to say at the end: ``interrupted; containers removed; run it again to continue``. None to a reader who is gone."""
    number = signal.Signals(_now.first or signal.SIGINT)
    if number == signal.SIGPIPE:
        return ""
    how = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    return "; ".join([how, *_now.removed, "run it again to continue"]) + "\n"


def leave(number: int) -> None:
    """End as if this signal had come; called by any thread. Nothing happens where it, or no signal at all, is heeded."""
    if _now.first is not None or not _now.heeded or (number in HEEDED and number not in _now.heeded):
        return
    if threading.current_thread() is threading.main_thread():
        _heard(number, None)
    elif _now.asked is None:
        _now.asked = number
        # A real signal: it wakes a main thread that waits for others.
        signal.pthread_kill(cast("int", threading.main_thread().ident), _now.heeded[-1])


def _heard(number: int, _frame: FrameType | None) -> None:
    if _now.first is None:
        _now.first = _now.asked or number
        for open_before in _now.terminals:
            if not os.isatty(open_before):  # every write to a terminal that was closed fails
                drop(open_before)
        _run.cancel_soon()
        raise KeyboardInterrupt
    if _now.swallowed:
        _now.swallowed = False
        raise KeyboardInterrupt
    if number == signal.SIGINT:
        _now.presses += 1
        if _now.presses >= PRESSES - 1:
            os._exit(exit_code())
        with contextlib.suppress(OSError):
            os.write(2, b"removing what was started; Ctrl-C once more leaves it to the next command\n")


def _unraisable(hook: Callable[[UnraisableHookArgs], Any], lost: UnraisableHookArgs) -> None:
    """An interrupt that came while a callback or destructor ran was dropped by Python: it is sent once more, a moment later."""
    if _now.first is None or not issubclass(lost.exc_type, KeyboardInterrupt):
        hook(lost)
        return
    # Thread.start() waits for the thread, and the signal that it sends would come while this still runs, and be dropped again.
    _thread.start_new_thread(_send_again, (_now,))
    _now.swallowed = True


def _send_again(ending: _Ending) -> None:
    main, number = cast("int", threading.main_thread().ident), ending.heeded[-1]
    for _ in range(SENDS):
        time.sleep(SEND_SECONDS)
        if ending is not _now:
            return  # nothing heeds it any more
        if ending.swallowed:
            signal.pthread_kill(main, number)
            return


def drop(number: int) -> None:
    """What is written to this file from now on goes nowhere."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        if null != number:
            os.close(null)


@contextlib.contextmanager
def output_watched() -> Iterator[None]:
    """In this block, who reads our stdout or stderr may go away: that ends us in good order, from whatever thread it is met.

    Where there is none from the start (``>&-``), what goes there is dropped.
    """
    before = sys.stdout, sys.stderr
    # stderr has a table that is redrawn: what goes there is filtered before
    sys.stdout, sys.stderr = _Watched(before[0], coloured), _Watched(before[1], str)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before[0] or sys.stdout, before[1] or sys.stderr


class _Watched:
    """A text stream, with a filter. The first write that fails since nobody reads any more ends us; later ones are dropped."""

    def __init__(self, stream: IO[str] | None, shown: Callable[[str], str]) -> None:
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives
        self._shown, self._gone = shown, False

    def write(self, text: str) -> int:
        self._tried(self._stream.write, self._shown(text))
        return len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, call: Callable[..., object], *given: str) -> None:
        if self._gone:
            return
        try:
            call(*given)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._gone = True
            with contextlib.suppress(OSError, AttributeError, ValueError):
                drop(self._stream.fileno())  # what waits in its buffer must not fail again when the interpreter ends
            leave(signal.SIGPIPE if error.errno == errno.EPIPE else signal.SIGHUP)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
