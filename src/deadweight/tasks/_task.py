"""Make invoke tasks from functions: typed, with exit codes, one clear error, clean-up at the end, and ``--dry``.

Invoke's own decorator loses the signature (its return type is a bare Callable), hence the cast here and nowhere else.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Concatenate, ParamSpec, cast

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task
from invoke.tasks import task as invoke_task

from deadweight._errors import ConfigError, DeadweightError, Interrupted, wording
from deadweight.tasks import lazy

P = ParamSpec("P")
Body = Callable[Concatenate[Context, P], None]


HELP = {
    "json": "print one JSON document on stdout",
    "jobs": "how many steps at once (default: the number of cores)",
    "sarif": "write findings as SARIF 2.1.0 to this file",
    "shard": "only this part of the variants, I/N such as 2/5 (default: taken from the CI system if it runs several; 1/1 is all)",
    "times": "an earlier report (as for report --against) whose times balance the shards; use the same for all shards",
    "since": "only variants whose inputs changed since HEAD branched off from this git revision",
    "changed_from": "only variants whose inputs differ from this earlier report",
}
"""What a flag does in every task that has it and says nothing else."""


def task(
    *,
    help: Mapping[str, str] = MappingProxyType({}),
    iterable: Sequence[str] = (),
    optional: Sequence[str] = (),
    reads_only: bool = False,
) -> Callable[[Body[P]], Task[Any]]:
    """Make a task of a function. Its docstring's first line is what ``--list`` shows; all of it is ``--help``.

    ``reads_only`` marks a task that changes nothing and so runs under ``--dry`` too; the others are only named there, unless
    they look at ``dry(c)`` themselves (``help`` then has ``plan``).
    """

    def wrap(body: Body[P]) -> Task[Any]:
        told = {**{name: text for name, text in HELP.items() if name in inspect.signature(body).parameters}, **help}

        @functools.wraps(body)
        def guarded(c: Context, *args: P.args, **kwargs: P.kwargs) -> None:
            def work() -> None:
                _first_what_was_left()
                if dry(c) and not reads_only and "plan" not in told:
                    print(f"dry: would run {body.__name__.rstrip('_')}", file=sys.stderr)
                else:
                    body(c, *args, **kwargs)

            code = guard(work)
            if code:
                raise Exit(code=code)

        made = invoke_task(
            help=told,
            iterable=list(iterable),
            optional=tuple(optional),
            auto_shortflags=False,
            name=body.__name__.rstrip("_").replace("_", "-"),
        )(guarded)
        return cast("Task[Any]", made)

    return wrap


def _first_what_was_left() -> None:
    """Before any task, also one that only looks: what a killed run left running can be attacked for as long as it is there."""
    with contextlib.suppress(ConfigError):  # where there is no suite, nothing was started
        state = lazy.State(lazy.find_suite_file().parent)
        if lazy.runs.there(state):
            lazy.remove_what_was_left(state, lambda line: print(lazy.plain(line), file=sys.stderr))


def dry(c: Context) -> bool:
    """Whether invoke was called with ``--dry``."""
    return bool(c.config.run.dry)


def guard(work: Callable[[], None]) -> int:
    """Run something to its exit code: errors of ours become one message on stderr.

    Ctrl-C, SIGTERM, a closed terminal or a reader that is gone end every child and give 128 and the signal's number.
    """
    with lazy._signals.heeded(), lazy._signals.output_watched():
        _show_what_cannot_be_encoded()
        try:
            try:
                work()
            finally:
                sys.stdout.flush()  # what waits in it must not fail behind our back
        except (KeyboardInterrupt, Interrupted):
            lazy._run.cancel_all()
            print(lazy._signals.told(), end="", file=sys.stderr)
            # An interrupt within an exec() (every dataclass has one) is remembered, handled or not: at its end Python would kill
            # itself with SIGINT, whatever our exit code. The next exec() forgets it (run_eval_code_obj in CPython's pythonrun.c).
            exec("")  # noqa: S102
            return lazy._signals.exit_code()
        except DeadweightError as error:
            show_error(str(error))
            return error.exit_code
        except OSError as error:
            if lazy._disk.no_temporary(error):
                show_error(f"no temporary folder can be written to\n  hint: {lazy._disk.hint('')}")
                return 1
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if isinstance(error.__context__, DeadweightError):  # what could not be written was told of before it ended
                show_error(str(error.__context__))
            advice = f"\n  hint: {lazy._disk.hint_of(error)}" if error.filename else ""
            message = wording("records.unwritable", path=error.filename or "standard output", problem=error.strerror)
            show_error(f"{message}{advice}")
            _drop_output()
            return 1
    return 0


def _show_what_cannot_be_encoded() -> None:
    """What the encoding of stdout cannot hold is shown escaped."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None and sys.stdout.errors == "strict":
        reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What could not be written must not fail again, with a traceback, when the interpreter ends."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_quietly_without_reader() -> None:
    """From now on, what invoke itself prints (``--list``, ``--help``) to a reader that is gone (``| head``) ends this process with
    141, as our tasks end, and not with a traceback."""
    hook = sys.excepthook

    def quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, BrokenPipeError) and _nobody_reads(1):
            os._exit(141)
        hook(kind, error, trace)

    sys.excepthook = quiet
    atexit.register(_flush_at_the_end)


def _flush_at_the_end() -> None:
    """What invoke printed waits in a buffer until the interpreter ends, which would then fail with a text of its own and 120."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        show_error(wording("records.unwritable", path="standard output", problem=error.strerror))
        os._exit(1)
    except (AttributeError, ValueError):  # there is none, or it was closed
        pass


def _nobody_reads(number: int) -> bool:
    import select

    asked = select.poll()
    asked.register(number, 0)
    return any(event & select.POLLERR for _, event in asked.poll(0))


def show_error(message: str) -> None:
    """One error on stderr; red only on a terminal."""
    label = "\x1b[1;31merror:\x1b[0m" if colour() else "error:"
    print(f"{label} {message}", file=sys.stderr)


def colour() -> bool:
    """Whether stderr is a terminal that wants colours (https://no-color.org)."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
