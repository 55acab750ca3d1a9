"""Make invoke tasks from functions: typed, with exit codes, one clear error, clean-up at the end, and ``--dry``.

Invoke passes the values of flags as text; they are parsed here, and a wrong one ends with exit code 2.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import re
import select
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task, task as invoke_task

from deadweight._errors import ConfigError, DeadweightError, Interrupted, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import colour, print_json, say
from deadweight.tasks._words import SHORT, Names, Value, meant

MAX_JOBS = 256
HELP: Mapping[str, Mapping[str, str]] = tomllib.loads(Path(__file__).with_name("help.toml").read_text(encoding="utf-8"))
"""What each task's flags do."""


class _Task(Task[Any]):
    """With the letters of its flags."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        made = super().get_arguments(ignore_unknown_help)
        for argument in made:
            argument.names += tuple(SHORT.get(argument.names[0], ""))
        return made


@dataclass(frozen=True)
class Part:
    """The flags that narrow a task to a part of the suite. A task has them all if its function takes a ``part`` first."""

    shard: str | None = None
    times: str | None = None
    since: str | None = None
    changed_from: str | None = None


MADE: dict[str, Task[Any]] = {}
"""All tasks by name."""
PART = tuple(inspect.signature(Part).parameters.values())


def task(
    *, help: Mapping[str, str] = MappingProxyType({}), reads_only: bool = False
) -> Callable[[Callable[..., None]], Task[Any]]:
    """Make a task of a function. Its docstring's first line is what ``--list`` shows; all of it is ``--help``.

    A flag whose parameter is annotated ``Names`` may be repeated. ``reads_only`` marks a task that changes nothing and runs under
    ``--dry`` too; the others are only named there, unless they look at ``dry(c)`` themselves (they then have ``--plan``).
    What flags do is in ``help.toml``; ``help`` has those of a task that another package brings.
    """

    def wrap(body: Callable[..., None]) -> Task[Any]:
        own = list(inspect.signature(body).parameters.values())
        part = PART if any(flag.name == "part" for flag in own) else ()
        flags = [*(flag for flag in own if flag.name != "part"), *part]
        name = body.__name__.rstrip("_").replace("_", "-")
        shared = {flag.name: HELP["shared"][flag.name] for flag in flags if flag.name in HELP["shared"]}
        texts = {**shared, **HELP.get(name, {}), **help}

        @functools.wraps(body)
        def guarded(c: Context, *args: Any, **kwargs: Any) -> None:
            narrowed = [Part(**{flag.name: kwargs.pop(flag.name, None) for flag in part})] if part else []

            def work() -> None:
                _first_what_was_left()
                if dry(c) and not reads_only and "plan" not in texts:
                    print(f"dry: would run {name}", file=sys.stderr)
                else:
                    body(c, *narrowed, *args, **kwargs)

            if code := _done(work, kwargs.get("variant"), again=bool(kwargs.get("watch")) and not dry(c)):
                raise Exit(code=code)

        guarded.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
        made: Task[Any] = invoke_task(
            help=texts,
            iterable=[flag.name for flag in flags if str(flag.annotation).startswith("Names")],
            auto_shortflags=False,
            klass=_Task,
            name=name,
        )(guarded)
        return MADE.setdefault(name, made)

    return wrap


def _done(work: Callable[[], None], variant: Names | Value, *, again: bool) -> int:
    """The exit code of a task, whether it raises ``Exit`` or ends; ``again`` does it for each change until Ctrl-C."""

    def once() -> int:
        try:
            return guard(work)
        except Exit as end:
            return int(end.code)

    if not again:
        return once()
    from deadweight.tasks._watch import watched

    return watched(variant, once, guard)


def _first_what_was_left() -> None:
    """Before any task, also one that only looks: what a killed run left running can be attacked for as long as it is there."""
    with contextlib.suppress(ConfigError):  # where there is no suite, nothing was started
        state = lazy.paths.State(lazy.find_suite_file().parent)
        if lazy.runs.there(state):
            lazy.clean.remove_what_was_left(state, lambda line: print(lazy.plain(line), file=sys.stderr))


def dry(c: Context) -> bool:
    """Whether invoke was called with ``--dry``."""
    return bool(c.config.run.dry)


def guard(work: Callable[[], None]) -> int:
    """Run something to its exit code: errors of ours become one message on stderr.

    Ctrl-C, SIGTERM, a closed terminal or a reader that is gone end every child and give 128 and the signal's number.
    """
    with lazy._signals.heeded(), lazy._signals.output_watched():
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None and sys.stdout.errors == "strict":  # what its encoding cannot hold is shown escaped
            reconfigure(errors="backslashreplace")
        try:
            try:
                work()
            finally:
                sys.stdout.flush()  # what waits in it must not fail behind our back
        except (KeyboardInterrupt, Interrupted):
            lazy._run.cancel_all()
            print(lazy._signals.closing_line(), end="", file=sys.stderr)
            # An interrupt within an exec() (every dataclass has one) is remembered, handled or not: at its end Python would kill
            # itself with SIGINT, whatever our exit code. The next exec() forgets it (run_eval_code_obj in CPython's pythonrun.c).
            exec("")  # noqa: S102
            return lazy._signals.exit_code()
        except DeadweightError as error:
            show_error(error)
            return error.exit_code
        except OSError as error:
            _show_full_disk(error)
            return 1
    return 0


def _show_full_disk(error: OSError) -> None:
    """Raises all other errors."""
    if lazy._disk.no_temporary(error):
        show_error(DeadweightError(wording("tasks.no_temporary_folder"), hint=lazy._disk.hint("")))
        return
    hint = lazy._disk.hint_of(error)
    if hint is None:
        raise error
    if isinstance(error.__context__, DeadweightError):  # what could not be written was told of before it ended
        show_error(error.__context__)
    show_error(_unwritable(error, hint))
    with contextlib.suppress(OSError, AttributeError):  # what waits must not fail again when the interpreter ends
        lazy._signals.drop(sys.stdout.fileno())


def _unwritable(error: OSError, hint: str | None = None) -> DeadweightError:
    message = wording("records.unwritable", path=error.filename or "standard output", problem=error.strerror)
    return DeadweightError(message, hint=hint if error.filename else None)


def end_quietly_without_reader() -> None:
    """From now on, what invoke itself prints (``--list``, ``--help``) to a reader that is gone (``| head``) ends this process with
    141, as our tasks end, and not with a traceback."""
    hook = sys.excepthook

    def quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        output = select.poll()
        output.register(1, 0)
        nobody_reads = any(event & select.POLLERR for _, event in output.poll(0))
        if issubclass(kind, BrokenPipeError) and nobody_reads:
            os._exit(141)
        hook(kind, error, trace)

    sys.excepthook = quiet
    atexit.register(_flush_at_the_end)


def _flush_at_the_end() -> None:
    """What invoke printed waits in a buffer until the interpreter ends, which would then fail with a text of its own and 120."""
    with contextlib.suppress(AttributeError, ValueError):  # there is none, or it was closed
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(141)
        except OSError as error:
            show_error(_unwritable(error))
            os._exit(1)


def show_error(error: DeadweightError) -> None:
    """One error on stderr; red only on a terminal."""
    label = "\x1b[1;31merror:\x1b[0m" if colour() else "error:"
    print(f"{label} {error}", file=sys.stderr)


# What flags mean.
def parse_jobs(value: str | int | None) -> int:
    """How many steps at once; the number of cores where it is not given."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if value is None else _number(str(value), MAX_JOBS)


def parse_port(value: str | None) -> int | None:
    """A port number."""
    return None if value is None else _number(value, 65535)


def _number(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= most:
        raise UsageError(wording("tasks.jobs" if most == MAX_JOBS else "tasks.port", most=most, value=text))
    return int(text)


def parse_days(value: str | None) -> float | None:
    """An age such as ``36h`` or ``7d`` in days."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5})([hd])", value)
    if match is None:
        raise UsageError(wording("tasks.older_than", value=value))
    return int(match[1]) / (24.0 if match[2] == "h" else 1.0)


def one_of(value: str, flag: str, choices: Collection[str]) -> str:
    """A flag that takes one of these words."""
    if value not in choices:
        raise UsageError(wording("tasks.choice", flag=flag, choices=", ".join(choices), value=value))
    return value


def one(value: str | None, flag: str) -> str:
    """A flag that must be given."""
    if not value:
        raise UsageError(wording("tasks.flag_missing", flag=flag), hint="--help shows an example")
    return value


def choose(workspace: lazy.Workspace, variant: Names, part: Part, *, note: bool = True) -> lazy.changed.Selection:
    """What the flags choose that narrow a task to a part of the suite, told on stderr; with ``note`` kept for the report."""

    def earlier(named: str | None, flag: str) -> lazy.Report | None:
        return None if named is None else lazy.push.earlier(named, workspace.suite.root, flag=flag)

    named = part.times if part.times is not None else os.environ.get("DEADWEIGHT_TIMES") or None
    before, times = earlier(part.changed_from, "--changed-from"), earlier(named, "--times")
    named_variants = tuple(one.name for one in meant(workspace, variant, note=note)) if variant else ()
    selection = lazy.changed.choose(
        workspace, named_variants, os.environ, shard=part.shard, since=part.since, before=before, times=times, note=note
    )
    for line in selection.lines:
        say(line)
    if selection.narrowed and selection.beside:
        say(f"also built, because a budget compares with it: {', '.join(variant.name for variant in selection.beside)}")
    return selection


def end_if_none(selection: lazy.changed.Selection, chosen: Sequence[object], document: object, *, json: bool) -> None:
    """End well where nothing is to be done, since no variant changed or this shard has none."""
    if selection.narrowed and not chosen:
        if json:
            print_json(document)
        raise Exit(code=0)
