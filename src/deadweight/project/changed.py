"""Choose a run's variants: those that a change affects, from the inputs in their fingerprints, and this machine's shard.

``since`` asks git which files changed, and only the builders of likely variants which files they read. It reads no file and looks
up no base.
``changed_from`` compares fingerprints with those of an earlier report, so a moved base or a different tool also counts.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, cast

from deadweight._errors import DeadweightError, UsageError, wording
from deadweight.builders.shared.inputs import IGNORE_FILES
from deadweight.project import changed
from deadweight.project.load_suite import load_suite
from deadweight.project.workspace import Workspace
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore
from deadweight.records.runs import Scope, keep_scope
from deadweight.sources.protocol import ApkRepositories, BuildEnvironment
from deadweight.suite.load import select
from deadweight.suite.model import Suite, Variant

if TYPE_CHECKING:
    from deadweight.report.model import Report
    from deadweight.sources.protocol import Source


Where = tuple[str, Ignore]
"""A variant, and the ignore rules under which it reads a folder."""


def since(workspace: Workspace, revision: str, variants: Sequence[Variant]) -> dict[str, str]:
    """The variants that changed since ``revision`` and HEAD parted (work not committed counts), each with the reason.

    Raises UsageError where there is no git or no such revision.
    """
    from deadweight.project.git import ask_git, parted

    root = workspace.suite.root
    asked = workspace.asked if workspace.asked and workspace.asked.revision == revision else ask_git(root, revision)
    readers = _readers(root, variants)
    top, names = asked.paths()
    paths = [top / name for name in names]
    suite_file = Path(os.path.realpath(workspace.suite.file))
    reasons: dict[str, str] = {}
    if suite_file in paths:
        reasons |= _by_definition(workspace.suite, _suite_then(top, suite_file, parted(root, revision)), variants)
    others = [path for path in paths if path != suite_file]
    texts = {text for path in others for text in (str(path), *map(str, path.parents))}
    near = set[str]().union(*(readers.get(text, ()) for text in ("", *texts))) if texts else set[str]()
    left = [variant for variant in variants if variant.name in near and variant.name not in reasons]
    reasons |= _by_files(workspace, others, left)
    return {variant.name: reasons[variant.name] for variant in variants if variant.name in reasons}


def changed_from(workspace: Workspace, earlier: Report, variants: Sequence[Variant]) -> dict[str, str]:
    """The variants whose fingerprint is not that of the earlier report, each with the reason. Reads all inputs; changes nothing."""
    from deadweight.project.build import plan
    from deadweight.project.needs import known_bases

    split = known_bases(workspace, variants)
    digests = {
        task.step.key: task.fingerprint.digest
        for task in plan(workspace, split.able).tasks
        if task.step.key.startswith("image:")
    }
    reasons: dict[str, str] = {}
    for variant in variants:
        record = earlier.variants.get(variant.name)
        built = record.build if record else None
        if record is None:
            reasons[variant.name] = "not in the earlier report"
        elif built is None or built.fingerprint is None:
            reasons[variant.name] = "the earlier report does not record its inputs"
        elif record.failed is not None:
            reasons[variant.name] = "its build failed in the earlier report"
        elif variant.name in split.lacking:
            reasons[variant.name] = "a base image is not available"
        elif digests[f"image:{variant.name}"] != built.fingerprint:
            reasons[variant.name] = "its inputs differ from the earlier report"
    return reasons


def _suite_then(top: Path, file: Path, base: str) -> Suite | None:
    """The suite as it was; None where there was none, or none that loads today."""
    from deadweight.project.git import git

    name = f"{base}:{file.relative_to(top).as_posix()}"
    try:
        text = git(top, "cat-file", "blob", name)
        with tempfile.TemporaryDirectory(prefix="deadweight-since-") as folder:
            then = Path(folder) / file.name
            then.write_text(text, encoding="utf-8")
            return load_suite(then)
    except DeadweightError:
        return None


def _by_definition(suite: Suite, then: Suite | None, variants: Sequence[Variant]) -> dict[str, str]:
    """Variants of which the suite file says something else now (its defaults count)."""
    name = suite.file.name
    if then is None:
        return {variant.name: f"{name} is new or could not be read at that commit" for variant in variants}
    if then.sources != suite.sources or then.scan != suite.scan or then.name != suite.name:
        return {variant.name: wording("project.all_changed", file=name) for variant in variants}
    before = {variant.name: variant for variant in then.variants}
    return {variant.name: f"{name} changed" for variant in variants if before.get(variant.name) != variant}


def _by_files(workspace: Workspace, paths: Sequence[Path], variants: Sequence[Variant]) -> dict[str, str]:
    """Variants that read a changed file, and those whose builder cannot tell."""
    nothing = SimpleNamespace(  # which files a step reads does not depend on any base
        name="none",
        base=lambda reference: Base(reference, reference, None, stand_in=False),
        apk=lambda _flavour="wolfi": ApkRepositories((), (), stand_in=False),
        environment=BuildEnvironment,
    )
    site = replace(workspace.site, source=cast("Source", nothing), pool=None)
    places: dict[str, list[Where]] = defaultdict(list)
    reasons: dict[str, str] = {}
    rules, real = functools.cache(Ignore), functools.cache(os.path.realpath)
    for variant in variants:
        try:
            steps = workspace.builder(variant).steps(variant, site)
        except DeadweightError as error:
            reasons[variant.name] = f"its inputs cannot be determined: {error.message}"
            continue
        for step in steps:
            for path in step.inputs.files:
                for place in {real(path), os.path.normpath(path)}:
                    places[place].append((variant.name, rules(step.inputs.ignore)))
    root = Path(os.path.realpath(workspace.suite.root))
    for path in paths:
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        for name in _reached(path, places):
            reasons.setdefault(name, f"{shown} changed")
    return reasons


def _reached(path: Path, places: Mapping[str, list[Where]]) -> Iterable[str]:
    """Whose input a changed file is: it is named itself, or lies in a folder that is read and is not ignored there."""
    yield from (name for name, _ in places.get(str(path), ()))
    decides = path.name in IGNORE_FILES or path.name.endswith(".dockerignore")
    text = str(path)
    for parent in path.parents:
        readers = places.get(str(parent))
        if readers is None:
            continue
        inner = text[len(str(parent)) + 1 :]
        for name, ignore in readers:
            if decides or not ignore.matches(inner):
                yield name


def _readers(root: Path, variants: Sequence[Variant]) -> Mapping[str, set[str]]:
    """Who may read a file or folder (``Variant.reads``), by its path as it is called and where its links lead to; "" has those of
    whom only the builder can tell. Of thousands of variants, only those near a change are worth asking a builder about.
    """
    real = functools.cache(os.path.realpath)

    @functools.cache
    def paths(place: str) -> set[str]:
        whole = os.path.join(root, os.path.expanduser(place))  # noqa: PTH111, PTH118 - ten times as fast
        above, name = os.path.split(whole)  # a folder is looked at once, not anew for each file in it
        odd = name in ("", ".", "..") or os.path.islink(whole)  # noqa: PTH114
        return {os.path.normpath(whole), os.path.realpath(whole) if odd else os.path.join(real(above), name)}  # noqa: PTH118

    readers: dict[str, set[str]] = defaultdict(set)
    for variant in variants:
        places = variant.reads()
        for path in ("",) if places is None else set().union(*map(paths, places)):
            readers[path].add(variant.name)
    return readers


# Choose a task's variants: by name, then by what changed, then by this machine's shard.
class Selection(NamedTuple):
    """``variants`` are this run's. ``beside`` must be built too, since a budget compares one of them with it (``smaller_than``).

    ``lines`` say how it came about; none where the whole suite, or what was named, is meant.
    """

    variants: tuple[Variant, ...]
    beside: tuple[Variant, ...] = ()
    lines: tuple[str, ...] = ()
    narrowed: bool = False

    @property
    def to_build(self) -> tuple[Variant, ...]:
        return (*self.variants, *self.beside)


def choose(
    workspace: Workspace,
    named: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    shard: str | None = None,
    since: str | None = None,
    before: Report | None = None,
    times: Report | None = None,
    note: bool = True,
) -> Selection:
    """Choose, and with ``note`` keep for the report what the run is for. ``before`` is what ``--changed-from`` names, ``times``
    the report whose seconds balance the shards.

    Raises UsageError for unknown names, a wrong shard or revision.
    """
    variants = select(workspace.suite, named)
    lines: list[str] = []
    part = shard_of(shard, environment)
    if part is not None and named and shard is None:
        lines.append(wording("project.shard_ignored", origin=part.origin, shard=part))
        part = None
    if part is None and not named and environment.get(INDEX_VARIABLE) and not environment.get(TOTAL_VARIABLE):
        lines.append(wording("project.how_many_pods", index=INDEX_VARIABLE, total=TOTAL_VARIABLE))
    ways = {}
    if since is not None:
        ways[f"since {since}"] = partial(changed.since, workspace, since)
    if before is not None:
        ways[f"since the report of {before.generated_at}"] = partial(changed.changed_from, workspace, before)
    for what, look in ways.items():
        reasons = look(variants)
        lines.append(wording("project.changed", count=len(reasons), total=len(variants), since=what))
        lines += [f"  {name}: {why}" for name, why in reasons.items()]
        variants = tuple(variant for variant in variants if variant.name in reasons)
    mine = _share(variants, part, times, lines) if part is not None else variants
    narrowed = part is not None or bool(ways)
    why = " and ".join(f"changed {what}" for what in ways) or "all"
    if note and not narrowed:
        keep_scope(workspace.state, None)
    elif note:
        from deadweight.project.git import head

        scope = Scope(
            index=part.index if part else 1,
            total=part.total if part else 1,
            mine=tuple(variant.name for variant in mine),
            chosen=tuple(variant.name for variant in variants),
            commit=workspace.asked.head() if workspace.asked else head(workspace.suite.root),
            why=why,
        )
        keep_scope(workspace.state, scope)
    return Selection(mine, _compared(workspace, mine) if narrowed else (), tuple(lines), narrowed)


def _share(variants: tuple[Variant, ...], part: Shard, times: Report | None, lines: list[str]) -> tuple[Variant, ...]:
    seconds = {
        name: record.build.seconds + sum(check.seconds or 0.0 for check in record.checks.values())
        for name, record in (times.variants.items() if times else ())
        if record.build is not None
    }
    names = divide([variant.name for variant in variants], part.total, seconds)[part.index - 1]
    shown, total = ", ".join(names) or "none, so there is nothing to do here", len(variants)
    lines.append(wording("project.share", shard=part, origin=part.origin, count=len(names), total=total, names=shown))
    return tuple(variant for variant in variants if variant.name in names)


def _compared(workspace: Workspace, mine: Sequence[Variant]) -> tuple[Variant, ...]:
    """What the budgets of these are compared with, where it is not among them."""
    names = {variant.name for variant in mine}
    budgets = (variant.checks.budget for variant in mine)
    wanted = {budget.smaller_than for budget in budgets if budget is not None and budget.smaller_than} - names
    return tuple(variant for variant in workspace.suite.variants if variant.name in wanted)


# Divide variants among the machines of a CI run: each computes the same answer without communication.
#
# Each variant ranks the shards by a hash of its name and theirs (rendezvous hashing), so adding or removing a variant moves
# few others. Heaviest first, each variant takes the first shard in its ranking that stays within ``SLACK`` of an even share, else
# the least loaded one (longest processing time first).
# Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads".
MAX_SHARDS = 1000
SLACK = 1.1
"""How much more than an even share of the seconds a shard may get for the sake of staying where it was."""

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
TOTAL_VARIABLE = "DEADWEIGHT_SHARDS"
"""How many shards there are, for a Kubernetes Job: it tells its pods their index only."""


@dataclass(frozen=True)
class Shard:
    """Part ``index`` (from 1) of ``total``. ``origin`` is the flag or the environment variable that said so."""

    index: int
    total: int
    origin: str = "--shard"

    def __str__(self) -> str:
        return f"{self.index}/{self.total}"


def parse_shard(text: str, origin: str = "--shard") -> Shard:
    """``2/5``. Raises UsageError for anything else."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= MAX_SHARDS:
        raise UsageError(wording("plan.shard", origin=origin, most=MAX_SHARDS, text=text))
    return Shard(int(match[1]), int(match[2]), origin)


def shard_of(given: str | None, environment: Mapping[str, str]) -> Shard | None:
    """What ``--shard`` says, else what the CI system does. None where there is but one machine.

    Read in this order: ``DEADWEIGHT_SHARD`` (``I/N``, for a GitHub matrix), ``CI_NODE_INDEX`` and ``CI_NODE_TOTAL`` (GitLab's
    ``parallel``, from 1), ``JOB_COMPLETION_INDEX`` (a Kubernetes Indexed Job, from 0) with ``DEADWEIGHT_SHARDS``.
    """
    if given is not None:
        return parse_shard(given)
    if value := environment.get("DEADWEIGHT_SHARD"):
        return parse_shard(value, "DEADWEIGHT_SHARD")
    node, nodes = environment.get("CI_NODE_INDEX"), environment.get("CI_NODE_TOTAL")
    if node and nodes:
        return parse_shard(f"{node}/{nodes}", "CI_NODE_INDEX/CI_NODE_TOTAL") if nodes != "1" else None
    pod, pods = environment.get(INDEX_VARIABLE), environment.get(TOTAL_VARIABLE)
    if not pods:
        return None
    if not pod:
        raise UsageError(wording("plan.no_index", total=TOTAL_VARIABLE, index=INDEX_VARIABLE))
    number = str(int(pod) + 1) if re.fullmatch(r"[0-9]{1,4}", pod) else pod
    return parse_shard(f"{number}/{pods}", f"{INDEX_VARIABLE}/{TOTAL_VARIABLE}")


def divide(names: Sequence[str], total: int, seconds: Mapping[str, float] | None = None) -> tuple[tuple[str, ...], ...]:
    """The names of each shard, in the order given. ``seconds`` is what each took before; an unknown one counts for the median."""
    known = {name: value for name, value in (seconds or {}).items() if name in set(names) and value > 0}
    usual = sorted(known.values())[len(known) // 2] if known else 1.0
    weights = {name: known.get(name, usual) for name in names}
    bound = SLACK * sum(weights.values()) / total
    loads = [0.0] * total
    taken: dict[str, int] = {}
    for name in sorted(weights, key=lambda key: (-weights[key], key)):
        ranked = sorted(range(total), key=partial(_rank, name), reverse=True)
        fits = (shard for shard in ranked if loads[shard] + weights[name] <= bound)
        chosen = next(fits, min(ranked, key=lambda shard: loads[shard]))
        loads[chosen] += weights[name]
        taken[name] = chosen
    return tuple(tuple(name for name in names if taken[name] == shard) for shard in range(total))


def _rank(name: str, shard: int) -> bytes:
    return hashlib.blake2b(f"{name}\0{shard}".encode(), digest_size=8).digest()
