"""Run a plan's steps in parallel, handle failures and Ctrl-C, and save a step's fingerprint only on success.

Of the steps that can start, the one that begins the longest chain goes first, measured by last time's durations.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

from deadweight import _disk, _run
from deadweight._errors import DeadweightError, Interrupted, wording
from deadweight.builders.protocol import Job, Step
from deadweight.plan.graph import (
    Digests,
    Plan,
    Preparation,
    StepRecord,
    Task,
    load_built,
    record_file,
    with_all_before,
)
from deadweight.records.built_image import BUILT_FILE, FAILED_FILE, UNFINISHED, BuiltImage, Cache, FailedBuild
from deadweight.records.paths import State
from deadweight.records.runs import held_since
from deadweight.records.store import save

Result = Literal["built", "cached", "failed", "skipped"]

WHY_LETTERS = 200
MOST_POOLED = 128
"""Builds that wait for a pool's places at once, each in a thread."""
MOST_FETCHED = 4
"""Downloads at once, beside other work."""


@dataclass(frozen=True)
class Outcome:
    """How one step ended. ``seconds`` is wall time of the step itself."""

    task: Task
    result: Result
    seconds: float
    log: Path
    error: DeadweightError | None = None
    image: BuiltImage | None = None


Grow = Callable[[Mapping[str, Outcome]], Plan]
"""Given how steps ended, by key, gives what can be planned now (an empty plan for nothing)."""


class Watcher(Protocol):
    """Is told what happens, from several threads; must not raise."""

    def began(self, task: Task) -> None: ...

    def output(self, task: Task, line: str) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def run_plan(
    plan: Plan, state: State, watcher: Watcher, *, jobs: int, fail_fast: bool = False, grow: Grow | None = None
) -> tuple[Outcome, ...]:
    """Run what is not up to date. Never raises for a failed step; raises Interrupted on Ctrl-C, when all children have ended.

    ``jobs`` is how many steps run at once on this machine. Those of a pool come on top: all that could begin wait for its places
    at once, so that it can choose. Set-up has as many of its own; while there is something to compile, one of them is for that.
    ``grow`` is asked, at the start and whenever a step has ended, what can be planned now; of the steps that are known, only those
    that could begin and have no place yet are planned anew.
    """
    places = {"build": jobs, "pool": MOST_POOLED, "fetch": MOST_FETCHED, "compile": 1, "make": jobs}
    run = _Run(plan, state, watcher, fail_fast)
    with ThreadPoolExecutor(max_workers=sum(places.values()), thread_name_prefix="step") as pool:
        try:
            run.loop(pool.submit, places, grow or (lambda _: Plan(())))
        except KeyboardInterrupt:
            _run.cancel_all()
            pool.shutdown(wait=True, cancel_futures=True)
            raise Interrupted(wording("plan.interrupted")) from None
    return tuple(run.outcomes[key] for key in run.tasks if key in run.outcomes)


def _lane(step: Step) -> str:
    """What it takes a place of: this machine's jobs, a pool's, or those of set-up."""
    return step.lane if isinstance(step, Preparation) else "pool" if step.pooled else "build"


class _Run:
    def __init__(self, plan: Plan, state: State, watcher: Watcher, fail_fast: bool) -> None:
        self.state, self.watcher, self.fail_fast = state, watcher, fail_fast
        self.digests = dict(plan.digests)
        self.tasks: dict[str, Task] = {}
        self.chains: dict[str, float] = {}
        self.first: frozenset[str] = frozenset()
        self.ready: list[str] = []
        self.left: dict[str, set[str]] = {}
        self.followers: dict[str, list[str]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.logs: set[Path] = set()
        self.took: dict[str, Cache] = {}
        self.beside: set[str] = set()
        """Steps that did not have the machine to themselves."""
        self.add(plan)

    def add(self, plan: Plan) -> None:
        """Add the new tasks. A task that could begin and has no place yet also waits for what has been planned since."""
        self.first |= plan.first
        self.digests |= plan.digests
        self.chains = plan.chains() | self.chains
        for task in plan.tasks:
            key = task.step.key
            if key in self.ready:
                self.ready.remove(key)
            elif key in self.tasks:
                continue
            self.tasks[key] = task
            self.left[key] = {other for other in plan.waits[key] if other not in self.outcomes}
            for other in self.left[key]:
                self.followers.setdefault(other, []).append(key)
            if not self.left[key]:
                self.ready.append(key)

    def loop(self, submit: Callable[..., object], places: Mapping[str, int], grow: Grow) -> None:
        """Run all steps. Ends are waited for in a queue in C, which Ctrl-C leaves whole at any moment: a future's lock was once
        left taken, and its step could never end."""
        running: set[str] = set()
        ended = SimpleQueue[tuple[str, Outcome | BaseException]]()

        def run(key: str) -> None:
            try:
                ended.put((key, self.work(self.tasks[key])))
            except BaseException as error:  # raised where ends are waited for
                ended.put((key, error))

        seen = -1
        while running or self.ready or seen != len(self.outcomes):
            if seen != len(self.outcomes):
                seen = len(self.outcomes)
                self.add(grow(self.outcomes))
            while (key := self.next(running, places)) is not None:
                # a step is looked at only when a place is free for it: by then another may have failed
                self.ready.remove(key)
                outcome = self.without_work(self.tasks[key])
                if outcome is None:
                    self.begin_log(self.log(self.tasks[key]))
                    self.beside |= {key, *running} if running else set()
                    running.add(key)
                    submit(run, key)
                else:
                    self.end(outcome)
            if running:
                with contextlib.suppress(Empty):
                    key, result = ended.get(timeout=0.5)
                    running.remove(key)
                    if isinstance(result, BaseException):
                        raise result
                    self.end(result)

    def next(self, running: Collection[str], places: Mapping[str, int]) -> str | None:
        """The step to begin now: of those that a place is free for one that goes first, else the one with the longest chain."""
        taken = Counter(_lane(self.tasks[key].step) for key in running)
        left = (task.step for key, task in self.tasks.items() if key not in self.outcomes)
        if places["make"] > 1 and any(_lane(step) == "compile" for step in left):
            taken["make"] += 1  # its place, also before it can begin: it is the longest
        able = [key for key in self.ready if taken[lane := _lane(self.tasks[key].step)] < places[lane]]
        return max(able, key=lambda key: (key in self.first, self.chains[key])) if able else None

    def log(self, task: Task) -> Path:
        return task.step.log if isinstance(task.step, Preparation) else self.state.log(task.step.variant)

    def begin_log(self, log: Path) -> None:
        """Empty a log before the first step of this run that writes to it: it tells of the last build, and of no earlier one."""
        if log not in self.logs:
            self.logs.add(log)
            with contextlib.suppress(OSError):  # none yet; or it cannot be written, which the step will say
                os.truncate(log, 0)

    def end(self, outcome: Outcome) -> None:
        key = outcome.task.step.key
        self.outcomes[key] = outcome
        for follower in self.followers.pop(key, ()):
            self.left[follower].remove(key)
            if not self.left[follower]:
                self.ready.append(follower)
        self.watcher.ended(outcome)

    def without_work(self, task: Task) -> Outcome | None:
        log = self.log(task)
        broken = {key for key, outcome in self.outcomes.items() if outcome.result in ("failed", "skipped")}
        if broken & set(task.step.after) or (self.fail_fast and broken):
            return Outcome(task, "skipped", 0.0, log)
        if task.reason is not None:
            return None
        image = load_built(self.state, task.step.variant) if task.step.key.startswith("image:") else None
        if image is not None:
            self.forget_failure(image.variant)  # another variant's build made good the step that they share
        return Outcome(task, "cached", 0.0, log, image=replace(image, cached=True) if image else None)

    def work(self, task: Task) -> Outcome:
        log = self.log(task)
        started = time.monotonic()
        self.watcher.began(task)
        self.note(task, UNFINISHED)  # what stays if we are killed before it ends
        try:
            # until it succeeds again, nothing may take the old output for the result of the new inputs
            record_file(self.state, task.step.key).unlink(missing_ok=True)
            job = Job(log, partial(self.watcher.output, task), lambda cache: self.took.update({task.step.key: cache}))
            image = task.step.work(job)
            seconds = time.monotonic() - started
            if image is not None:
                image = self.keep(task, image, seconds)
            self.succeed(task, seconds)
            return Outcome(task, "built", seconds, log, image=image)
        except DeadweightError as error:
            problem = error
        except OSError as error:
            message = wording("plan.disk", path=error.filename or task.step.title, problem=error.strerror)
            problem = DeadweightError(message, hint=_disk.hint_of(error, self.state.folder))
        interrupted = isinstance(problem, Interrupted)
        why = "" if interrupted else first_line(problem.message, task.step.variant, self.state.root)
        self.note(task, "interrupted" if interrupted else "failed", why)
        return Outcome(task, "failed", time.monotonic() - started, log, error=problem)

    def note(self, task: Task, how: str, why: str = "") -> None:
        """Note it for all variants that need the step: an image of theirs that is there is not the one that was asked for."""
        state = self.state
        log = str(state.log(task.step.variant).relative_to(state.root))
        note = FailedBuild(how, datetime.now(UTC).isoformat(timespec="seconds"), log, held_since(state) or 0.0, why)
        for variant in task.variants:
            with contextlib.suppress(DeadweightError):  # a disk that is full may be why it failed
                save(note, state.image(variant) / FAILED_FILE)

    def forget_failure(self, variant: str) -> None:
        with contextlib.suppress(OSError):  # none; or a folder that cannot be written now
            (self.state.image(variant) / FAILED_FILE).unlink()

    def keep(self, task: Task, image: BuiltImage, seconds: float) -> BuiltImage:
        chain = self.chain(task)
        before = sum(self.outcomes[key].seconds for key in chain if key in self.outcomes)
        image = replace(
            image,
            seconds=round(seconds + before, 3),
            cached=False,
            fingerprint=task.fingerprint.digest,
            cache=self.cache(chain),
            alone=not self.beside & chain,
        )
        save(image, self.state.image(image.variant) / BUILT_FILE)
        self.forget_failure(image.variant)
        return image

    def cache(self, chain: Set[str]) -> Cache | None:
        """What of an image was taken from an earlier build; a step before it that had nothing to do was, as a whole."""
        ended = {key: self.outcomes.get(key) for key in chain}
        states = {"cached" if end and end.result == "cached" else self.took.get(key) for key, end in ended.items()}
        if states == {"cold"} or states == {"cached"}:
            return "cold" if "cold" in states else "cached"
        return "warm" if states & {"warm", "cached"} else None

    def chain(self, task: Task) -> frozenset[str]:
        """The step and all it depends on."""
        return with_all_before([task.step.key], lambda key: self.tasks[key].step.after if key in self.tasks else None)

    def succeed(self, task: Task, seconds: float) -> None:
        if isinstance(task.step, Preparation):
            return
        # an input that changed while it was being built: the image is of one of the two states, and nobody knows which
        before = [self.tasks[key].fingerprint for key in task.step.after if key in self.tasks]
        now = Digests(known=self.digests).of(task.step.inputs, self.state.root, before)
        if now.digest == task.fingerprint.digest:
            record = StepRecord(task.step.key, task.fingerprint, seconds)
            save(record, record_file(self.state, task.step.key))
        else:
            self.watcher.output(task, wording("plan.changed_meanwhile"))


def first_line(message: str, variant: str, root: Path) -> str:
    """What went wrong, as a report of ``variant`` can tell it: a line, without paths of this machine and long instructions."""
    line = next(iter(message.strip().splitlines()), "").replace(f"{root}/", "")
    line = re.sub(rf"^[\w ]*{re.escape(variant)}: ", "", line)  # everybody says which variant it is
    line = re.sub(r"(\(\S+:\d+): .*", r"\1)", line)  # the place, without the instruction there
    return line if len(line) <= WHY_LETTERS else line[: WHY_LETTERS - 1].rstrip() + "\u2026"
