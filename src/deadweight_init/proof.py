"""A draft on its way to be proved: rungs are built, and those that cannot be are left out with the reason."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight.plan.graph import load_failed
from deadweight.project import bases
from deadweight.project.needs import to_make
from deadweight.project.workspace import Workspace
from deadweight.suite.load import SUITE_FILE
from deadweight_init.bound import Bound, OutOfTime
from deadweight_init.draft import Draft
from deadweight_init.languages.trimmed import TRIMMED
from deadweight_init.records import Rung
from deadweight_init.suitefile import suite_text

if TYPE_CHECKING:
    from deadweight.suite.model import Variant
    from deadweight_init.files import Written

Say = Callable[[str], None]

SLOW_SECONDS = 120.0
"""A build that takes longer may be all that fits into a proof's bound."""

_NEWEST = re.compile(r"chainguard/(?:python|node):latest")


@dataclass(frozen=True)
class Tools:
    """What a proof needs of whoever calls it: ``build`` prepares and builds variants, and gives why some of them cannot be.

    After ``minutes`` no further rung is begun where two are verified, and what is under way is ended; 0 is no bound.
    """

    say: Say
    build: Callable[[Workspace, Sequence[Variant]], Mapping[str, DeadweightError]]
    minutes: float = 0.0


class Proof:
    """A draft that gets better: every step replaces it by one that knows more, and writes that down."""

    def __init__(self, draft: Draft, written: Written, tools: Tools) -> None:
        self.draft, self.written, self.tools = draft, written, tools
        self.bound = Bound(tools.minutes)
        self._said: set[str] = set()
        self._made: set[str] = set()
        self.built: set[str] = set()
        self.verified: list[str] = []
        self.put_last: set[str] = set()
        self.died: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        """Bytes of each rung that is verified."""
        self.steps: dict[str, str] = {}
        """What helps, by the reason for which rungs were left out."""
        self.slowest = 0.0
        self.ends_tried = False
        self._engine_ran = False

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
        return next(each for each in workspace.suite.variants if each.name == self.draft.full(name))

    def leave_out(self, name: str, reason: str) -> None:
        """Leave a rung out; the reason becomes a comment of the suite."""
        short = first_sentence(reason)
        self.steps.setdefault(short, step_of(reason))
        self.say(f"{name}: left out: {short}")
        self.draft = replace(self.draft, left_out={**self.draft.left_out, name: short})

    def soonest(self, rungs: Sequence[Rung]) -> list[Rung]:
        """Those first that are built, then those whose bases are there; the order is kept otherwise. After a slow build the one
        that takes what it made. Those on the newest version of a language go last: packages that were pinned before it are
        compiled for minutes, or fail."""
        with self.workspace() as workspace:
            seconds = {each.name: self._to_wait(workspace, each.name) for each in rungs}
        slow = self.slowest > SLOW_SECONDS

        def rank(each: Rung) -> tuple[bool | int, ...]:
            newest = _NEWEST.search(each.keys.get("bases", "")) is not None
            built = each.name in self.built
            return not built, each.name in self.put_last, slow and each.name != TRIMMED, newest, seconds[each.name]

        return sorted(rungs, key=rank)

    def teller_of_failure(self, name: str) -> Callable[[], bool]:
        """What says, from any thread, whether the build of a rung that is under way has failed."""
        with self.workspace() as workspace:
            state, variant = workspace.state, self.draft.full(name)

        def has_failed() -> bool:
            note = load_failed(state, variant)
            return note is not None and note.how == "failed"

        return has_failed

    def can_be_had(self, name: str) -> bool:
        """Whether the bases of a rung can be had, as far as the source knows."""
        with self.workspace() as workspace:
            try:
                return not bases.known(workspace, (self.variant(workspace, name),)).lacking
            except DeadweightError:  # its build will tell
                return True

    def _to_wait(self, workspace: Workspace, name: str) -> int:
        """What making its bases takes, about, in seconds; what cannot be had is soon told."""
        try:
            return max((each.seconds for each in to_make(workspace, (self.variant(workspace, name),))), default=0)
        except DeadweightError:
            return 0

    def build(self, *rungs: Rung) -> bool:
        """Build rungs side by side; one that does not build is left out. Whether all of them are built.

        Raises OutOfTime: then none of them counts as built or left out.
        """
        names, began = [each.name for each in rungs], time.monotonic()
        with self.workspace() as workspace:
            variants = [self.variant(workspace, name) for name in names]
            self._engine_ran = self._engine_ran or _engine_runs()
            try:
                failed = self.tools.build(workspace, variants)
            except (Interrupted, OutOfTime):
                raise
            except DeadweightError as error:
                if len(rungs) > 1:  # what one of them lacks may have kept the others
                    tried = [self.build(each) for each in rungs]
                    return all(tried)
                failed = {variants[0].name: error}
        self.slowest = max(self.slowest, time.monotonic() - began)
        if failed and (lost := self._lost_engine()) is not None:  # that is no fault of the rungs'
            raise lost from next(iter(failed.values()))
        for name, variant in zip(names, variants, strict=True):
            if variant.name in failed:
                self.built.discard(name)  # it may have been, of another file
                self.leave_out(name, str(failed[variant.name]))
            else:
                self.built.add(name)
        return not failed

    def _lost_engine(self) -> MissingError | None:
        """What is wrong with an engine that ran, and runs nothing any more; None where it does, or where none is there."""
        from deadweight.engine.broken_engine import broken_engine_at
        from deadweight.engine.daemon import find_running

        if not self._engine_ran:
            return None
        try:
            endpoint = find_running()
        except MissingError as error:
            return error
        return (
            broken_engine_at(endpoint)
            if endpoint
            else MissingError("the container engine has ended", hint="invoke doctor")
        )


def _engine_runs() -> bool:
    from deadweight.engine.daemon import find_running

    try:
        return find_running() is not None
    except MissingError:
        return False


def nothing_left(what: str, proof: Proof) -> DeadweightError:
    """The error where no rung can be kept, with what became of each, and what helps the first."""
    by_reason: dict[str, list[str]] = {}
    for name, why in proof.draft.left_out.items():
        by_reason.setdefault(why, []).append(name)
    reasons = "\n".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
    helps = next((step for why in by_reason if (step := proof.steps.get(why))), "")
    unproved = (
        "write the suite without trying it: deadweight init --no-prove; then invoke build and invoke verify show more"
    )
    between = "\n  or " if "\n" in helps else "; or "  # lines to copy stand alone
    return DeadweightError(f"{what}\n{reasons}", hint=f"{helps}{between}{unproved}" if helps else unproved)


def step_of(text: str) -> str:
    """What an error advises; empty where that is no more than to look at its log."""
    found = re.search(r"^\s*hint: (.+(?:\n {8,}.+)*)", text, re.MULTILINE)
    return "" if found is None or found[1].startswith("see the log") else found[1]


_FRAME = re.compile(r"\|\s+at [\w.$/<>]+\(")
"""A line of a stack trace: it tells where, and not why."""


def first_sentence(text: str) -> str:
    """The part of an error that tells what is wrong, for a comment."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [
        line for line in lines if not re.match(r"(log|hint):|\d+ of \d+ variants? w(?:as|ere) not built", line)
    ] or [text.strip()]
    # "NAME: docker build NAME: what went wrong": the rung's name stands before it already
    said = re.sub(r"^([\w.-]+): (?:\w+ build [\w./-]+: )?", "", kept[0]) if len(lines) > 1 else kept[0]
    said = re.sub(r"; it can stand in for .*", "", said)
    causes = [line.removeprefix("| ") for line in kept[1:] if line.startswith("| ") and not _FRAME.match(line)]
    return " ".join([said, *([f"({causes[-1]})"] if causes and len(said) < 120 else [])])[:300]
