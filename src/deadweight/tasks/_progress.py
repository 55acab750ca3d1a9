"""Show progress on stderr: a live table on a terminal, plain lines elsewhere. Print ``--json`` on stdout."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Self

from deadweight._packages import images
from deadweight.tasks import lazy


def _tell(text: str) -> None:
    sys.stderr.write(text)  # in one piece: several threads tell what they do
    sys.stderr.flush()


def say(line: str) -> None:
    """One line of progress, as a terminal may show it; colours in it are ours."""
    _tell(f"{cleared()}{lazy.coloured(line)}\n")


def read_answer(question: str) -> str | None:
    """The line that whoever sits at the terminal answers, empty for Ctrl-D; None where nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    # input() would write it to stdout, which is the JSON document's
    _tell(f"{cleared()}{lazy.coloured(question)}")
    return sys.stdin.readline()


def print_json(document: Any) -> None:
    """The one JSON document of ``--json``, on stdout."""
    print(images.harmless(json.dumps(document, indent=2, sort_keys=True, default=str)))


def print_utf8(document: str) -> None:
    """A JSON document that is not ASCII, on stdout: in UTF-8, whatever the locale says (RFC 8259, section 8.1)."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8")
    print(images.harmless(document))


def console(*, to_stderr: bool = False) -> lazy.Console:
    """A rich console; colours only on a terminal, and wide enough elsewhere that no table is cut."""
    stream = sys.stderr if to_stderr else sys.stdout
    return lazy.Console(stderr=to_stderr, width=None if stream.isatty() else 160, highlight=False, soft_wrap=False)


def colour() -> bool:
    """Whether stderr is a terminal that wants colours (https://no-color.org)."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class Watcher:
    """Shows what is built while it is entered. On a terminal that is a table, drawn anew ten times a second, with a row for each
    running step; elsewhere one plain line for each start and end, and while there is none, now and then one that names what runs.
    """

    _display: AbstractContextManager[object]

    def __init__(self) -> None:
        self._guard, self._live = threading.Lock(), colour()
        self._running: dict[str, tuple[str, float, str]] = {}
        if self._live:
            self._console = console(to_stderr=True)
            self._display = lazy.Live(
                get_renderable=self._table, console=self._console, refresh_per_second=10, transient=True
            )
        else:
            self._display = report_progress(self._line)

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._display.__exit__(*error)

    def began(self, task: lazy.Task) -> None:
        with self._guard:
            self._running[task.step.key] = (task.step.title, time.monotonic(), task.reason or "")
        if not self._live and not _is_set_up(task):
            say(f"{task.step.title}: building ({task.reason})")

    def output(self, task: lazy.Task, line: str) -> None:
        with self._guard:
            if self._live and task.step.key in self._running:  # elsewhere it is in the log only
                title, started, _ = self._running[task.step.key]
                self._running[task.step.key] = (title, started, lazy.plain(line))

    def ended(self, outcome: lazy.Outcome) -> None:
        title = outcome.task.step.title
        with self._guard:
            self._running.pop(outcome.task.step.key, None)
        if _is_set_up(outcome.task):
            return
        if not self._live:
            say(f"{title}: {sentence(outcome)}")
            return
        style = {"built": "green", "cached": "dim", "failed": "bold red", "skipped": "yellow"}[outcome.result]
        # left to the terminal to wrap: a path that is broken by a line's end cannot be copied
        self._console.print(lazy.Text(f"{title}: ").append(sentence(outcome), style), soft_wrap=True)

    def _rows(self) -> list[tuple[str, float, str]]:
        """What runs, for how many seconds, and what it said last."""
        now = time.monotonic()
        with self._guard:
            return [(title, now - began, line) for title, began, line in self._running.values()]

    def _line(self) -> str:
        running = ", ".join(f"{title} ({seconds:.0f} s)" for title, seconds, _ in self._rows())
        return f"building {running}" if running else "build"

    def _table(self) -> lazy.Table:
        table = lazy.Table(box=None, show_header=False, padding=(0, 1))
        for _ in ("title", "seconds"):
            table.add_column(no_wrap=True)
        for title, seconds, line in self._rows():
            text = lazy.Text(line, "dim", no_wrap=True, overflow="ellipsis")  # a row that wraps makes all below it jump
            table.add_row(title, f"{seconds:5.1f} s", text)
        return table


def _is_set_up(task: lazy.Task) -> bool:
    """Such a task says itself what it gets."""
    return isinstance(task.step, lazy.Preparation)


def sentence(outcome: lazy.Outcome) -> str:
    """How a step ended, in a few words."""
    if outcome.result == "cached":
        return "up to date"
    if outcome.result == "skipped":
        return "not tried"
    if outcome.result == "failed":
        return f"failed after {outcome.seconds:.1f} s (log: {outcome.log})"
    cache = f" ({outcome.image.cache})" if outcome.image and outcome.image.cache else ""
    return f"built in {outcome.seconds:.1f} s{cache}"


# What rests on local stand-ins of public bases: said wherever figures of such images are shown.
def stand_in_rows(workspace: lazy.Workspace, results: Sequence[lazy.Evidence]) -> list[dict[str, Any]]:
    """Evidence for ``--json``, each piece with ``stand_in``: null where the variant is not built."""
    return [{**asdict(result), "stand_in": workspace.stand_in(result.variant)} for result in results]


def tell_stand_ins(workspace: lazy.Workspace, variants: Iterable[str], tell: Callable[[str], None] = say) -> None:
    """The line for the end of a text output, where anything of these variants rests on a stand-in."""
    names = tuple(dict.fromkeys(variants))
    if resting := tuple(name for name in names if workspace.stand_in(name)):
        tell(f"Stand-ins: {lazy.stand_ins_note(resting, len(names))}")


# A sign of life while a step says nothing: one line on a terminal, rewritten each second; elsewhere a line now and then.
QUIET_SECONDS = 1.0
"""A step's first sign comes after this. Python and invoke take up to a second before it, on a busy machine: two in all."""
LINES_APART_SECONDS = 10.0
"""Where lines stay (a pipe, a CI log), another comes only after so much silence: a line every two seconds would bury the rest."""
VARIABLE = "DEADWEIGHT_PULSE"
"""``0`` in the environment: none of this, for who compares what a task says."""
CLEAR = "\r\x1b[K"
_shown = threading.Event()
_steps: list[object] = []
"""The steps under way, outermost first: only the innermost is told."""
_last_line = 0.0


def cleared() -> str:
    """What a line has to begin with that comes while the sign of life stands on the terminal; the silence is over with it."""
    global _last_line
    _last_line = time.monotonic()
    return CLEAR if _shown.is_set() else ""


@contextmanager
def report_progress(step: str | Callable[[], str]) -> Iterator[None]:
    """Tell on stderr, for as long as this lasts and nothing else is said, that ``step`` goes on, and for how many seconds.

    Whatever is printed meanwhile goes through ``say``; what goes to stdout is printed when this is over.
    """
    if os.environ.get(VARIABLE) == "0":
        yield
        return
    done, mine = threading.Event(), object()
    beating = threading.Thread(target=_beat, args=(step, done, mine), name="progress", daemon=True)
    _steps.append(mine)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        _steps.remove(mine)


def _beat(step: str | Callable[[], str], done: threading.Event, mine: object) -> None:
    began = time.monotonic()
    live, printed = colour(), False
    while not done.wait(QUIET_SECONDS):
        if _steps[-1:] != [mine]:
            continue
        now = time.monotonic()
        words = f"{step if isinstance(step, str) else step()}, {now - began:.0f} s"
        if live:
            _shown.set()
            _tell(f"{CLEAR}{words}")
        elif now - max(_last_line, began) >= (LINES_APART_SECONDS if printed else 0.0):
            printed = True
            _tell(f"{cleared()}{words} so far\n")
    if _shown.is_set():
        _shown.clear()
        _tell(CLEAR)
