"""Turn variants into a graph of build steps: merge shared work and say why each step must run."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from deadweight._errors import DeadweightError, wording
from deadweight.builders.protocol import Builder, Inputs, Job, Site, Step
from deadweight.plan.fingerprint import Digests, FileState, Fingerprint
from deadweight.records.built_image import BUILT_FILE, FAILED_FILE, BuiltImage, FailedBuild
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.suite.model import Variant
from deadweight.toolchain.find import looked_once

UNKNOWN_SECONDS = 1.0
"""What a step counts for that was never built: any figure will do, as long as more steps count for more."""


SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class StepRecord:
    """What is saved after a step succeeded: its fingerprint, and what it took in seconds."""

    key: str
    fingerprint: Fingerprint
    seconds: float


@dataclass(frozen=True)
class Task:
    """A step of the plan. ``reason`` says why it must run; None means that it is up to date.

    ``seconds`` is what it took last time, a guess where that is not known, and 0 where it need not run.
    """

    step: Step
    fingerprint: Fingerprint
    reason: str | None
    variants: tuple[str, ...]
    seconds: float = 0.0


Lane = Literal["fetch", "compile", "make"]
"""What set-up does: it mostly waits (for downloads, for the engine), compiles a tool of ours, or makes something of packages."""


@dataclass(frozen=True)
class Preparation(Step):
    """Work that gets what steps need: a tool, a base, the engine. It is no part of an image, and whether it is there is looked for
    anew each time, so no fingerprint is kept. ``log`` is where it writes, ``lane`` what it mostly does: each has places of its own.
    """

    log: Path = Path(os.devnull)
    lane: Lane = "make"


@dataclass(frozen=True)
class Plan:
    """All tasks, each after the ones it depends on. ``waits`` maps a key to the keys that must have ended before."""

    tasks: tuple[Task, ...]
    waits: dict[str, frozenset[str]] = field(default_factory=dict)
    digests: Mapping[FileState, str] = field(default_factory=dict)
    """What the plan read, for looking again after a build."""
    first: frozenset[str] = frozenset()
    """What goes before all else: what the variant needs that can be built soonest."""

    def chains(self) -> dict[str, float]:
        """For each step, the seconds of the longest chain of steps that begins with it."""
        found = dict.fromkeys(self.waits, 0.0)
        for task in reversed(self.tasks):
            key = task.step.key
            found[key] += task.seconds
            for before in self.waits[key]:
                found[before] = max(found[before], found[key])
        return found

    def of(self, variant: str) -> tuple[Task, ...]:
        """The tasks that a variant needs."""
        return tuple(task for task in self.tasks if variant in task.variants)


def with_all_before(keys: Iterable[str], waits: Callable[[str], Iterable[str] | None]) -> frozenset[str]:
    """These steps and all that they wait for; None is said of a step that is not planned."""
    found, stack = set[str](), list(keys)
    while stack:
        key = stack.pop()
        before = None if key in found else waits(key)
        if before is not None:
            found.add(key)
            stack += before
    return frozenset(found)


def make_plan(
    variants: Sequence[Variant],
    site: Site,
    builder_of: Callable[[Variant], Builder[Any]],
    *,
    force: bool = False,
    digests: Digests | None = None,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Plan these variants; ``say`` is told how far it is where there is much to read.

    Reads only; raises ConfigError for wrong files, DeadweightError for a cycle between steps."""
    digests = digests or Digests()
    steps: dict[str, Step] = {}
    wanted: dict[str, set[str]] = {}
    tasks: dict[str, Task] = {}
    with looked_once(), _told_if_slow(say) as looked_into:
        for variant in variants:
            looked_into.append(site.root / variant.source)
            for step in builder_of(variant).steps(variant, site):
                steps.setdefault(step.key, step)
                wanted.setdefault(step.key, set()).add(variant.name)
        waits = _waits(steps)
        for key in _in_order(waits):
            looked_into += steps[key].inputs.files[-1:]
            before = [tasks[other] for other in steps[key].after if other in tasks]
            tasks[key] = _task(steps[key], before, site, digests, tuple(sorted(wanted[key])), force=force)
    return Plan(tuple(tasks.values()), waits, digests.settled())


@contextlib.contextmanager
def _told_if_slow(say: Callable[[str], None] | None) -> Iterator[list[Path]]:
    """A source may hold a million files. Gives the list of folders that are looked into, the last of them now."""
    folders = [Path()]

    def tell() -> None:
        (say or str)(wording("plan.still_reading", folder=os.path.normpath(folders[-1])))

    timer = threading.Timer(SLOW_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield folders
    finally:
        timer.cancel()


def record_file(state: State, key: str) -> Path:
    """Where a step's record lies."""
    return state.folder / "steps" / f"{re.sub(r'[^a-z0-9._-]+', '-', key.lower())}.json"


def load_built(state: State, variant: str) -> BuiltImage | None:
    """A variant's last build result, or None."""
    return load(BuiltImage, state.image(variant) / BUILT_FILE)


def load_failed(state: State, variant: str) -> FailedBuild | None:
    """That a variant's last build came to nothing, where it did."""
    return load(FailedBuild, state.image(variant) / FAILED_FILE)


def _task(
    step: Step, before: Sequence[Task], site: Site, digests: Digests, variants: tuple[str, ...], *, force: bool
) -> Task:
    fingerprint = digests.of(step.inputs, site.root, [task.fingerprint for task in before])
    saved = load(StepRecord, record_file(site.state, step.key))
    rebuilt = next((task for task in before if task.reason is not None), None)
    reason: str | None = None
    if force:
        reason = wording("plan.forced")
    elif saved is None or saved.fingerprint.digest != fingerprint.digest:
        failed = None if saved else next(filter(None, (load_failed(site.state, name) for name in variants)), None)
        earlier = saved.fingerprint if saved else None
        reason = wording("plan.last_build", how=failed.how) if failed else fingerprint.difference(earlier)
    elif rebuilt is not None:
        reason = wording("plan.comes_first", step=rebuilt.step.title)
    elif not step.there():
        reason = wording("plan.output_gone")
    seconds = 0.0 if reason is None else saved.seconds if saved else UNKNOWN_SECONDS
    return Task(step, fingerprint, reason, variants, seconds)


def prepare_plan(tasks: Iterable[Task]) -> Plan:
    """A plan of these tasks, which come in any order. What they wait for and is not among them is there already."""
    known = {task.step.key: task for task in tasks}
    waits = _waits({key: task.step for key, task in known.items()})
    return Plan(tuple(known[key] for key in _in_order(waits)), waits)


def preparation(
    key: str,
    title: str,
    work: Callable[[Path], object],
    log: Path,
    seconds: float,
    *,
    after: Iterable[str] = (),
    behind: Iterable[str] = (),
    lane: Lane = "make",
) -> Task:
    """One task of set-up. ``work`` is given the log; ``seconds`` is what it takes, roughly."""

    def do(_job: Job) -> None:
        work(log)

    step = Preparation(key, "", title, Inputs(), lambda: False, do, tuple(after), tuple(behind), log=log, lane=lane)
    return Task(step, Fingerprint("", {}), "missing", (), seconds)


def _waits(steps: Mapping[str, Step]) -> dict[str, frozenset[str]]:
    """The steps that each waits for, of those that are planned."""
    return {
        key: frozenset(other for other in (*step.after, *step.behind) if other in steps) for key, step in steps.items()
    }


def _in_order(waits: dict[str, frozenset[str]]) -> tuple[str, ...]:
    try:
        return tuple(TopologicalSorter(waits).static_order())
    except CycleError as error:
        raise DeadweightError(wording("plan.cycle", steps=" -> ".join(error.args[1]))) from None
