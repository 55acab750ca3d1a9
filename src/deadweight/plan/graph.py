"""Turn variants into a graph of build steps: merge shared work and say why each step must run.

A step is up to date while the fingerprint of its inputs (files, tool, base digest, arguments) is the same: a SHA-256 over all of
them by name. Its parts are saved too, so that a rebuild can say what changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from deadweight._errors import DeadweightError, wording
from deadweight._packages import images
from deadweight.builders.protocol import Builder, Inputs, Job, Site, Step
from deadweight.builders.shared.common import image_name
from deadweight.records.built_image import BUILT_FILE, FAILED_FILE, BuiltImage, FailedBuild
from deadweight.records.ignore import Ignore, walk
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.suite.model import Variant
from deadweight.toolchain.find import cached_lookups

FileState = tuple[int, ...]
"""Device, inode, size and times of a file."""

RULES = "1"  # raise it when the way fingerprints are made changes


@dataclass(frozen=True)
class Fingerprint:
    """``digest`` is 64 hex digits; ``parts`` maps an input's name to its own digest or value (values in brackets).
    ``described``: what people call those that are neither a file nor a plain value."""

    digest: str
    parts: dict[str, str]
    described: dict[str, str] = field(default_factory=dict)

    def difference(self, earlier: Fingerprint | None) -> str:
        """Why this is not the earlier one, in a few words."""
        if earlier is None:
            return wording("plan.not_built")
        names = sorted(
            (name for name in {*self.parts, *earlier.parts} if self.parts.get(name) != earlier.parts.get(name)),
            key=lambda name: (name.startswith("("), name),  # a file says more than what follows from it
        )
        if not names:
            return wording("plan.rules_changed")
        # a rule that was added takes files away: those are still there, and it is the rule that says why they do not count
        first = IGNORED if IGNORED in names else names[0]
        name = (earlier.described | self.described).get(first, first[1:-1] if first.startswith("(") else first)
        how = "is new" if first not in earlier.parts else "is gone" if first not in self.parts else "changed"
        if len(names) == 1:
            return wording("plan.input_differs", input=name, how=how)
        return wording("plan.inputs_differ", input=name, how=how, others=len(names) - 1)


IGNORED = "(ignore)"
SETTLED_NS = 2 * 10**9
"""A file that was written this long before it was read has other times when it is written again, whatever the clock's step."""


class Digests:
    """Digests of files by content, each file read once per state (device, inode, size, times) in one run."""

    def __init__(self, *, known: Mapping[FileState, str] | None = None) -> None:
        """``known`` is what an earlier look gave (``settled``)."""
        self._known = dict(known or {})
        self.settled = dict(known or {})
        """Digests of files that are sure to be the same as long as their times are: for a look at the same files later on."""
        self._trees: dict[tuple[Path, tuple[str, ...]], dict[str, str]] = {}

    def of(self, inputs: Inputs, root: Path, upstream: Iterable[Fingerprint] = ()) -> Fingerprint:
        """The fingerprint of these inputs; paths are named relative to ``root`` so that a moved checkout stays up to date.

        Raises DeadweightError where an input cannot be read.
        """
        parts: dict[str, str] = {}
        for path in inputs.files:
            parts.update(self._tree(path, inputs.ignore, root))
        parts.update({f"({name})": value for name, value in inputs.values.items()})
        named = ((key, key.fields["described"]) for key in inputs.values if isinstance(key, images.Message))
        described: dict[str, str] = {f"({key})": what for key, what in named if isinstance(what, str)}
        described[IGNORED] = wording("plan.ignored_files")
        for number, above in enumerate(upstream, 1):
            name = f"(step before {number})"
            parts[name], described[name] = above.digest, wording("plan.earlier_step")
        hasher = hashlib.sha256(RULES.encode())
        for name in sorted(parts):
            for word in (name, parts[name]):
                data = word.encode("utf-8", "surrogateescape")
                hasher.update(len(data).to_bytes(8, "big") + data)
        return Fingerprint(hasher.hexdigest(), parts, described)

    def _tree(self, path: Path, ignore: tuple[str, ...], root: Path) -> dict[str, str]:
        if (path, ignore) not in self._trees:
            entries = self._entries(path, Ignore(ignore))
            below = os.path.join(root, "")  # noqa: PTH118 - cut off as text: a path for each takes longer than its digest
            self._trees[path, ignore] = {str(entry).removeprefix(below): digest for entry, digest in entries}
        return self._trees[path, ignore]

    def _entries(self, path: Path, ignore: Ignore) -> Iterator[tuple[Path, str]]:
        try:
            if path.is_dir():
                for entry in walk(path, ignore):
                    with contextlib.suppress(FileNotFoundError):  # it went away since the folder was read
                        yield entry, self._digest(entry)
            else:
                yield path, self._digest(path.resolve())  # who is told of a link reads what it leads to
        except OSError as error:
            message = wording("plan.unreadable", path=error.filename or path, problem=error.strerror)
            raise DeadweightError(message) from error

    def _digest(self, path: Path) -> str:
        facts = os.lstat(path)
        mode = f"{stat.S_IMODE(facts.st_mode) & 0o111:o}"  # builders keep the executable bits, not the rest
        if stat.S_ISLNK(facts.st_mode):
            return f"link:{os.readlink(path)}"  # noqa: PTH115 - surrogates survive
        if not stat.S_ISREG(facts.st_mode):
            return f"other:{stat.S_IFMT(facts.st_mode):o}"
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if key not in self._known:
            before = time.time_ns()
            with path.open("rb") as file:
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            if max(facts.st_mtime_ns, facts.st_ctime_ns) < before - SETTLED_NS:
                self.settled[key] = self._known[key]
        return f"{mode}:{self._known[key]}"


UNKNOWN_SECONDS = 1.0
"""What a step counts for that was never built: any figure will do, as long as more steps count for more."""


SLOW_SECONDS = 2.0


@dataclass(frozen=True)
class StepRecord:
    """What is saved after a step succeeded: its fingerprint, and what it took in seconds."""

    key: str
    fingerprint: Fingerprint
    seconds: float


class Task(NamedTuple):
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
        seconds = dict.fromkeys(self.waits, 0.0)
        for task in reversed(self.tasks):
            key = task.step.key
            seconds[key] += task.seconds
            for before in self.waits[key]:
                seconds[before] = max(seconds[before], seconds[key])
        return seconds

    def of(self, variant: str) -> tuple[Task, ...]:
        """The tasks that a variant needs."""
        return tuple(task for task in self.tasks if variant in task.variants)


def with_all_before(keys: Iterable[str], waits: Callable[[str], Iterable[str] | None]) -> frozenset[str]:
    """These steps and all that they wait for; None is said of a step that is not planned."""
    steps, stack = set[str](), list(keys)
    while stack:
        key = stack.pop()
        before = None if key in steps else waits(key)
        if before is not None:
            steps.add(key)
            stack += before
    return frozenset(steps)


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
    with cached_lookups(), _notice_if_slow(say) as looked_into:
        for variant in variants:
            looked_into.append(site.root / variant.source)
            for step in builder_of(variant).steps(variant, site):
                steps.setdefault(step.key, _named(step, variant, site))
                wanted.setdefault(step.key, set()).add(variant.name)
        waits = _waits(steps)
        for key in _in_order(waits):
            looked_into += steps[key].inputs.files[-1:]
            before = [tasks[other] for other in steps[key].after if other in tasks]
            tasks[key] = _task(steps[key], before, site, digests, tuple(sorted(wanted[key])), force=force)
    return Plan(tuple(tasks.values()), waits, digests.settled)


def _named(step: Step, variant: Variant, site: Site) -> Step:
    """The step. The one that makes the image has its name among the inputs: after a rename it is made again."""
    if step.key != f"image:{variant.name}":
        return step
    values = {**step.inputs.values, "image name": image_name(site.suite, variant)}
    return replace(step, inputs=replace(step.inputs, values=values))


@contextlib.contextmanager
def _notice_if_slow(say: Callable[[str], None] | None) -> Iterator[list[Path]]:
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
        reason = wording("plan.last_build", how=failed.outcome) if failed else fingerprint.difference(earlier)
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
