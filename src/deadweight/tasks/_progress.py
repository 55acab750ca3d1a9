"""Show progress on stderr: a line for what has ended, on a terminal also a block of what goes on. Print ``--json`` on stdout."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from textwrap import fill
from typing import Any, Self

from deadweight._packages import images
from deadweight.tasks import lazy


def _tell(text: str) -> None:
    sys.stderr.write(text)  # in one piece: several threads tell what they do
    sys.stderr.flush()


def say(line: str, *, fold: bool = True) -> None:
    """One line of progress, as a terminal may show it, folded to its width; colours in it are ours."""
    line = lazy.coloured(line)
    _tell(f"{cleared()}{folded(line) if fold else line}\n{_block}")


def width() -> int:
    """The terminal's columns; 80 where there is none."""
    return shutil.get_terminal_size().columns


def folded(text: str) -> str:
    """Lines folded between words. A path that is broken could not be copied, so a word stays whole."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True}
    kept = [
        line if len(line) <= width() else fill(line, width(), subsequent_indent="    ", **options)
        for line in text.split("\n")
    ]
    return "\n".join(kept)


def painted(text: str, tone: str) -> str:
    return f"\x1b[{tone}m{text}\x1b[0m" if colour() else text


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


def console() -> lazy.Console:
    """A rich console of the terminal's width; colours only on a terminal."""
    return lazy.Console(width=width(), highlight=False, soft_wrap=False)


def redraws() -> bool:
    """Whether stderr is a terminal on which lines can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def colour() -> bool:
    """Whether stderr is a terminal that wants colours (https://no-color.org)."""
    return redraws() and "NO_COLOR" not in os.environ


class Board:
    """What goes on, for ``report_progress``: a row for each thing, below one for the whole (``head``)."""

    def __init__(self, head: Callable[[], str]) -> None:
        self.head = head
        self.rows: dict[str, tuple[str, float, str]] = {}

    def put(self, key: str, title: str, text: str = "") -> None:
        """A row: what it is, and what it does now. Its seconds count from the first time."""
        self.rows[key] = title, self.rows.get(key, ("", time.monotonic(), ""))[1], text

    def text(self) -> str:
        rows = [
            f"{title}  {time.monotonic() - at:.0f} s  {text}".rstrip() for title, at, text in list(self.rows.values())
        ]
        return "\n".join([self.head(), *rows])


class Watcher(Board):
    """Shows what is built, and leaves a line for each thing that ends; what is up to date shares one. ``total``: of so many."""

    def __init__(self, total: int = 0) -> None:
        super().__init__(lambda: f"Built {self._made}/{total}" if total else f"Setup {self._set_up}")
        self._total, self._made, self._set_up, self._kept = total, 0, 0, list[str]()

    @contextmanager
    def showing(self) -> Iterator[Self]:
        began = time.monotonic()
        with report_progress(self.text):
            yield self
        if self._set_up:
            say(f"Setup  {lazy.figures.plural(self._set_up, 'part')}  {time.monotonic() - began:.0f} s")
        if self._kept:
            say(f"Up to date  {', '.join(self._kept)}")

    def began(self, task: lazy.Task) -> None:
        self.put(task.step.key, task.step.title)

    def output(self, task: lazy.Task, line: str) -> None:
        if redraws() and task.step.key in self.rows:  # elsewhere it is in the log only
            self.put(task.step.key, task.step.title, lazy.plain(line))

    def ended(self, outcome: lazy.Outcome) -> None:
        step = outcome.task.step
        self.rows.pop(step.key, None)
        if isinstance(step, lazy.Preparation):
            self._set_up += outcome.result == "built"
            return
        self._made += (image := step.key.startswith("image:"))
        if outcome.result == "cached":
            self._kept.append(step.title)
            return
        seconds = "" if outcome.result == "skipped" else f"{outcome.seconds:.1f} s"
        cache = (outcome.image.cache if outcome.image else None) or ""
        number = f"[{self._made}/{self._total}]" if image and self._total > 1 else ""
        result = painted(outcome.result.capitalize(), TONES[outcome.result])
        new = getattr(outcome.task.reason, "code", "") == "plan.not_built"
        why = outcome.task.reason if outcome.result == "built" and not new else ""
        say("  ".join(filter(None, (result, step.title, seconds, cache, number, why))))
        if outcome.result == "failed":
            say(f"  log: {outcome.log}", fold=False)  # a path that is broken by a line's end cannot be copied


def build_variants(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], **options: Any
) -> tuple[lazy.build.VariantOutcome, ...]:
    """Build under the state folder's lock, with progress on stderr; ``options`` are those of ``project.build.build``."""
    options.setdefault("jobs", os.cpu_count() or 2)
    own = [variant.name for variant in chosen]
    with lazy.locked(workspace.state, say, own), Watcher(len(chosen)).showing() as shown:
        return lazy.build.build(workspace, chosen, shown, **options)


TONES = {"built": "32", "failed": "1;31", "skipped": "33"}


# What rests on local stand-ins of public bases: said wherever figures of such images are shown.
def stand_in_rows(workspace: lazy.Workspace, results: Sequence[lazy.Evidence]) -> list[dict[str, Any]]:
    """Evidence for ``--json``, each piece with ``stand_in``: null where the variant is not built."""
    return [{**asdict(result), "stand_in": workspace.stand_in(result.variant)} for result in results]


def tell_stand_ins(workspace: lazy.Workspace, variants: Iterable[str], tell: Callable[[str], None] = say) -> None:
    """The line for the end of a text output, where anything of these variants rests on a stand-in."""
    names = tuple(dict.fromkeys(variants))
    if resting := tuple(name for name in names if workspace.stand_in(name)):
        tell(f"Stand-ins: {lazy.stand_ins_note(resting, len(names))}")


# A sign of life while a step says nothing: one block on a terminal, redrawn each second; elsewhere a line now and then.
QUIET_SECONDS = 1.0
"""On a terminal a step's first sign comes after this. Python and invoke take up to a second before it, on a busy machine."""
LINES_APART_SECONDS = 60.0
"""Where lines stay (a pipe, a CI log), one comes only after so much silence: more of them would bury the rest."""
VARIABLE = "DEADWEIGHT_PULSE"
"""``0`` in the environment: none of this, for who compares what a task says."""
CLEAR = "\r\x1b[J"
_block = ""
"""What stands on the terminal now, below all lines; the cursor is at its beginning."""
_steps: list[object] = []
"""The steps under way, outermost first: only the innermost is told."""
_last_line = 0.0


def cleared() -> str:
    """What a line has to begin with that comes while the block stands on the terminal; the silence is over with it."""
    global _last_line
    _last_line = time.monotonic()
    return CLEAR if _block else ""


@contextmanager
def report_progress(step: str | Callable[[], str]) -> Iterator[None]:
    """Tell on stderr, for as long as this lasts, that ``step`` goes on, and for how many seconds; its first line counts most.

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
    global _block
    began = time.monotonic()
    while not done.wait(QUIET_SECONDS):
        if _steps[-1:] != [mine]:
            continue
        now = time.monotonic()
        head, *rows = (step if isinstance(step, str) else step()).split("\n")
        if redraws():
            columns, most = shutil.get_terminal_size()
            lines = [line[: columns - 1] for line in (f"{head}, {now - began:.0f} s", *rows[: most - 2])]
            _block = "\n".join(lines) + "\r" + (f"\x1b[{len(lines) - 1}A" if rows else "")
            _tell(f"{CLEAR}{_block}")
        elif now - max(_last_line, began) >= LINES_APART_SECONDS:
            few = [head, *rows[:2], *(["…"] if rows[2:] else [])]
            say(f"{', '.join(few)}, {now - began:.0f} s so far")
    if _block:
        _block = ""
        _tell(CLEAR)
