"""The one way a task is made: typed, with our exit codes, one clear error, Ctrl-C and SIGTERM that clean up, and ``--dry``.

Invoke's own decorator loses the signature (its return type is a bare Callable), hence the cast here and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Concatenate, ParamSpec, cast

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from deadweight._errors import DeadweightError

P = ParamSpec("P")
Body = Callable[Concatenate[Context, P], None]


def task(
    *, help: dict[str, str], iterable: Sequence[str] = (), optional: Sequence[str] = (), reads_only: bool = False
) -> Callable[[Body[P]], Task[Any]]:
    """Make a task of a function. Its docstring's first line is what ``--list`` shows; all of it is ``--help``.

    ``reads_only`` marks a task that changes nothing and so runs under ``--dry`` too; the others are only named there, unless
    they look at ``dry(c)`` themselves (``help`` then has ``plan``).
    """

    def wrap(body: Body[P]) -> Task[Any]:
        @functools.wraps(body)
        def guarded(c: Context, *args: P.args, **kwargs: P.kwargs) -> None:
            if dry(c) and not reads_only and "plan" not in help:
                print(f"dry: would run {body.__name__.rstrip('_')}", file=sys.stderr)
                return
            code = guard(lambda: body(c, *args, **kwargs))
            if code:
                raise Exit(code=code)

        made = invoke_task(
            help=help,
            iterable=list(iterable),
            optional=tuple(optional),
            auto_shortflags=False,
            name=body.__name__.rstrip("_").replace("_", "-"),
        )(guarded)
        return cast("Task[Any]", made)

    return wrap


def dry(c: Context) -> bool:
    """Whether invoke was called with ``--dry``."""
    return bool(c.config.run.dry)


def guard(work: Callable[[], None]) -> int:
    """Run something to its exit code: errors of ours become one message on stderr, Ctrl-C ends every child and gives 130."""
    previous = signal.signal(signal.SIGTERM, _terminated)
    _make_output_usable()
    try:
        work()
        sys.stdout.flush()  # what waits in it must not fail behind our back
    except KeyboardInterrupt:
        from deadweight import _run

        _run.cancel_all()
        show_error("interrupted")
        return 130
    except DeadweightError as error:
        show_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        _drop_output()
        return 1  # the reader of our output has gone: nothing to tell it
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        from deadweight import _disk

        advice = f"\n  hint: {_disk.hint_of(error)}" if error.filename else ""
        show_error(f"{error.filename or 'standard output'}: cannot be written: {error.strerror}{advice}")
        _drop_output()
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _make_output_usable() -> None:
    """Where stdout is closed what goes there is dropped; what its encoding cannot hold is shown escaped."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives
    elif isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What could not be written must not fail again, with a traceback, when the interpreter ends."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_error(message: str) -> None:
    """One error on stderr; red only on a terminal."""
    label = "\x1b[1;31merror:\x1b[0m" if colour() else "error:"
    print(f"{label} {message}", file=sys.stderr)


def colour() -> bool:
    """Whether stderr is a terminal that wants colours (https://no-color.org)."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
