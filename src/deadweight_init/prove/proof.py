"""Build a draft's variants within a time limit, and drop those that cannot be built, with the reason."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import CommandError, DeadweightError, Interrupted, MissingError
from deadweight.builders.shared.diagnosis import Code
from deadweight.project.workspace import Workspace
from deadweight.suite.load import SUITE_FILE
from deadweight_init.draft import Draft
from deadweight_init.records import Rung, wording
from deadweight_init.repository.dockerfiles import stages_of
from deadweight_init.tree import Tree, read_tree
from deadweight_init.write.suite import suite_text

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Variant
    from deadweight_init.write.files import WrittenFiles


class TimeLimit:
    """``minutes`` after its making; 0 is no bound."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self._began = time.monotonic()

    def over(self) -> bool:
        """Whether the time is over."""
        return self.minutes > 0 and time.monotonic() > self._began + self.minutes * 60

    @property
    def reason(self) -> str:
        """Why something was not tried."""
        return wording("refused.no_time", minutes=self.minutes)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still in this block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began


ENOUGH = 2
"""So many variants compare something."""


@dataclass(frozen=True)
class Tools:
    """What a proof needs of whoever calls it: ``build`` builds a variant, or raises what kept it from that; ``prepare`` gets what
    it needs first, which the time limit does not count.

    After ``minutes`` no further rung is begun once two are verified; 0 is no bound.
    """

    say: Callable[[str], None]
    build: Callable[[Workspace, Variant], object]
    minutes: float = 0.0
    prepare: Callable[[Workspace, Sequence[Variant]], object] = lambda _workspace, _variants: None


class Proof:
    """A draft that gets better: every step replaces it by one that knows more, and writes that down."""

    def __init__(self, draft: Draft, written: WrittenFiles, tools: Tools) -> None:
        self.draft, self.written, self.tools = draft, written, tools
        self.time_limit = TimeLimit(tools.minutes)
        self._said: set[str] = set()
        self._made: set[str] = set()
        self.tried: set[str] = set()
        self.verified: list[str] = []
        self.steps: dict[str, str] = {}
        """What helps, by the reason for which rungs were left out."""
        self.failures: dict[str, CommandError] = {}
        """The commands that failed where rungs were not built, by their names."""
        self._failed: dict[tuple[str, ...], str] = {}
        """Why stages that several rungs share do not build."""
        self._engine_ran = False

    @cached_property
    def tree(self) -> Tree:
        """The repository."""
        return read_tree(self.written.root)

    def say(self, line: str) -> None:
        """Tell a line once: every build is a project opened anew."""
        if line not in self._said:
            self._said.add(line)
            self.tools.say(line)

    def workspace(self) -> Workspace:
        """The project as it is written now, without the files of what is left out: a build would take them for its input."""
        kept = self.draft.files
        self._made |= set(self.draft.ladder.files)
        self.written.remove(name for name in self._made if name not in kept)
        self.written.write({SUITE_FILE: suite_text(self.draft), **kept})
        return Workspace.open(self.say, self.written.root / SUITE_FILE)

    def variant(self, workspace: Workspace, name: str) -> Variant:
        """A rung as a variant of the suite."""
        return next(variant for variant in workspace.suite.variants if variant.name == self.draft.full(name))

    def tell(self, result: Evidence) -> None:
        """Tell what a check found."""
        check, status, reason = result.check, result.status, result.reason
        self.say(wording("progress.check", name=result.variant, check=check, status=status, reason=reason))

    def take(self, rung: Rung, name: str, draft: Draft) -> None:
        """Go on with the draft that a remedy gives."""
        self.say(wording("progress.remedy", name=rung.name, remedy=name))
        self.draft = draft

    def leave_out(self, name: str, reason: str, hint: str = "") -> None:
        """Leave a rung out; the reason becomes a comment of the suite."""
        short, lead = first_line(reason), f"{self.draft.full(name)}: "
        short = short.removeprefix(lead) if short.startswith(lead) else short
        self.steps.setdefault(short, hint)
        self.say(wording("progress.left_out", name=name, reason=short))
        self.draft = replace(self.draft, left_out={**self.draft.left_out, name: short})

    def build(self, rung: Rung) -> bool:
        """Build a rung; one that does not build is left out, with those that share what failed. Whether it is built."""
        self.tried.add(rung.name)
        built, last_stage = self._shared(rung)
        if built in self._failed:  # by a stage that this one shares: once is enough
            self.leave_out(rung.name, self._failed[built])
            return False
        with self.workspace() as workspace:
            variant = self.variant(workspace, rung.name)
            self._engine_ran = self._engine_ran or _engine_runs()
            try:
                with self.time_limit.stopped():
                    self.tools.prepare(workspace, [variant])
                self.tools.build(workspace, variant)
                return True
            except Interrupted:
                raise
            except DeadweightError as error:
                failed = error
        if self._engine_ran and not _engine_runs():  # that is no fault of the rung's
            raise MissingError(wording("proof.engine_ended")) from failed
        reason = _reason(failed, self.written.root) if isinstance(failed, CommandError) else failed.message
        self.leave_out(rung.name, reason, failed.hint or "")
        if isinstance(failed, CommandError):
            self.failures[rung.name] = failed
            if failed.line is not None and failed.line < last_stage:
                self._failed[built] = self.draft.left_out[rung.name]
        return False

    def _shared(self, rung: Rung) -> tuple[tuple[str, ...], int]:
        """What the stages of a rung before its last one are made of, their text and their bases; and the last one's line."""
        text = self.draft.ladder.files.get(rung.keys.get("dockerfile", ""), "")
        stages = stages_of(text, {})[1]
        last = text[slice(*stages[-1].span)] if stages else ""
        bases = (f"{name} {value}" for name, value in rung.keys.get("bases", {}).items() if name not in last)
        return ((text, *sorted(bases)), stages[-1].line) if stages else ((rung.name,), 0)


def _reason(error: CommandError, root: Path) -> str:
    """What is wrong, for a comment: the cause as far as it is known, and the last error of the step that failed."""
    last = next((line.strip() for line in reversed(error.tail) if not _FRAME.match(line)), "")
    reason, ended = error.reason, error.exit_code_of_command is not None  # else it is known that it took too long
    if error.log and ended and error.cause == Code.UNKNOWN.value and error.code == "builders.tool_failed":
        reason = wording("refused.unknown", log=os.path.relpath(error.log, root))
    return f"{reason} ({last})" if last and len(reason) < MOST_SAID else reason


def _engine_runs() -> bool:
    from deadweight.engine.daemon import find_running

    try:
        return find_running() is not None
    except MissingError:
        return False


def nothing_left(proof: Proof, *, comes_up: bool = False) -> DeadweightError:
    """The error where no rung can be kept, with what became of each, and what helps the first."""
    by_reason: dict[str, list[str]] = {}
    for name, why in proof.draft.left_out.items():
        by_reason.setdefault(why, []).append(name)
    reasons = "\n".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
    helps = next((step for why in by_reason if (step := proof.steps.get(why))), "")
    unproved = wording("proof.unproved", program=proof.written.program)
    between = "\n  or " if "\n" in helps else "; or "  # lines to copy stand alone
    message = wording("proof.check_fails" if comes_up else "proof.no_way", reasons=reasons)
    return DeadweightError(message, hint=f"{helps}{between}{unproved}" if helps else unproved)


_FRAME = re.compile(r"\s*at [\w.$/<>]+\(")
"""A line of a stack trace: it tells where, and not why."""

MOST_SAID = 120


def first_line(text: str) -> str:
    """The part of an error that tells what is wrong, for a comment; all of a short one, which keeps its code."""
    line = next(iter(text.strip().splitlines()), "")[:300]
    return text if line == text else line
