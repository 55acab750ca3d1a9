"""Find the variants that a change affects, from the inputs in their fingerprints.

``since`` asks git which files changed, and only the builders of likely variants which files they read. It reads no file and looks
up no base.
``changed_from`` compares fingerprints with those of an earlier report, so a moved base or a different tool also counts.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deadweight._errors import DeadweightError, wording
from deadweight._run import run
from deadweight.builders.protocol import Site
from deadweight.builders.shared.inputs import IGNORE_FILES
from deadweight.plan.shards import INDEX_VARIABLE, TOTAL_VARIABLE, Shard, divide, shard_of
from deadweight.project import changed
from deadweight.project.git import GIT_SECONDS, ask_git, head, parted
from deadweight.project.load_suite import load_suite
from deadweight.project.workspace import Workspace
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore
from deadweight.records.scope import Scope, keep_scope
from deadweight.sources.protocol import ApkFlavour, ApkRepositories, BuildEnvironment
from deadweight.suite.load import select
from deadweight.suite.model import Suite, Variant

if TYPE_CHECKING:
    from deadweight.report.model import Report
    from deadweight.sources.protocol import Source


Where = tuple[str, Ignore | None]
"""A variant, and the ignore rules under which it reads a folder (None for a file that it names)."""


def since(workspace: Workspace, revision: str, variants: Sequence[Variant]) -> dict[str, str]:
    """The variants that changed since ``revision`` and HEAD parted (work not committed counts), each with the reason.

    Raises UsageError where there is no git or no such revision.
    """
    root = workspace.suite.root
    asked = workspace.asked if workspace.asked and workspace.asked.revision == revision else ask_git(root, revision)
    near = Near(root, variants)
    top, names = asked.paths()
    paths = [top / name for name in names]
    suite_file = Path(os.path.realpath(workspace.suite.file))
    found: dict[str, str] = {}
    if suite_file in paths:
        found |= _by_definition(workspace.suite, _suite_then(top, suite_file, parted(root, revision)), variants)
    others = [path for path in paths if path != suite_file]
    left = [each for each in near.of(others) if each.name not in found]
    found |= _by_files(workspace, others, left)
    return {variant.name: found[variant.name] for variant in variants if variant.name in found}


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
    found: dict[str, str] = {}
    for variant in variants:
        record = earlier.variants.get(variant.name)
        built = record.build if record else None
        if record is None:
            found[variant.name] = "not in the earlier report"
        elif built is None or built.fingerprint is None:
            found[variant.name] = "the earlier report does not record its inputs"
        elif record.failed is not None:
            found[variant.name] = "its build failed in the earlier report"
        elif variant.name in split.lacking:
            found[variant.name] = "a base image is not available"
        elif digests[f"image:{variant.name}"] != built.fingerprint:
            found[variant.name] = "its inputs differ from the earlier report"
    return found


def _suite_then(top: Path, file: Path, base: str) -> Suite | None:
    """The suite as it was; None where there was none, or none that loads today."""
    name = f"{base}:{file.relative_to(top).as_posix()}"
    try:
        text = run(["git", "cat-file", "blob", name], cwd=top, timeout=GIT_SECONDS).output
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
        return dict.fromkeys(
            (variant.name for variant in variants), f"{name} is new or could not be read at that commit"
        )
    if then.sources != suite.sources or then.scan != suite.scan or then.name != suite.name:
        return dict.fromkeys((variant.name for variant in variants), f"{name}: settings of all variants changed")
    before = {variant.name: variant for variant in then.variants}
    return {variant.name: f"{name} changed" for variant in variants if before.get(variant.name) != variant}


def _by_files(workspace: Workspace, paths: Sequence[Path], variants: Sequence[Variant]) -> dict[str, str]:
    if not paths:
        return {}
    site = replace(workspace.site, source=cast("Source", _Nothing()), pool=None)
    places, found = _places(workspace, site, variants)
    for path in paths:
        reached = _reached(path, places)
        for name in reached:
            found.setdefault(name, f"{_shown(path, workspace.suite.root)} changed")
    return found


def _places(
    workspace: Workspace, site: Site, variants: Sequence[Variant]
) -> tuple[Mapping[str, list[Where]], dict[str, str]]:
    """Who reads which file or folder; and the variants whose builder could not tell, which count as changed."""
    places: dict[str, list[Where]] = defaultdict(list)
    unknown: dict[str, str] = {}
    rules: dict[tuple[str, ...], Ignore] = {}
    real: dict[Path, str] = {}
    for variant in variants:
        try:
            steps = workspace.builder(variant).steps(variant, site)
        except DeadweightError as error:
            unknown[variant.name] = f"its inputs cannot be determined: {error.message}"
            continue
        for step in steps:
            ignore = step.inputs.ignore
            if ignore not in rules:
                rules[ignore] = Ignore(ignore)
            for path in step.inputs.files:
                if path not in real:
                    real[path] = os.path.realpath(path)
                for place in dict.fromkeys((real[path], os.path.normpath(path))):
                    places[place].append((variant.name, rules[ignore]))
    return places, unknown


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
            if decides or ignore is None or not ignore.matches(inner):
                yield name


def _shown(path: Path, root: Path) -> str:
    real = Path(os.path.realpath(root))
    return path.relative_to(real).as_posix() if path.is_relative_to(real) else str(path)


class _Nothing:
    """A source that knows no base: which files a step reads does not depend on any."""

    name = "none"

    def base(self, reference: str) -> Base:
        return Base(reference, reference, None, False)

    def apk(self, flavour: ApkFlavour = "wolfi") -> ApkRepositories:
        del flavour
        return ApkRepositories((), (), False)

    def environment(self) -> BuildEnvironment:
        return BuildEnvironment()


# Which variants a change can concern at all, by paths alone: of thousands, only these are worth asking a builder about.
_ODD = {"", ".", ".."}
"""What cannot be joined to the folder above it as it is written."""


class Near:
    """Knows what each variant may read (``Variant.reads``), as it is called and where its links lead to."""

    def __init__(self, root: Path, variants: Sequence[Variant]) -> None:
        self._root, self._variants = str(root), variants
        self._unknown: set[str] = set()
        self._readers: dict[str, list[str]] = defaultdict(list)
        for variant in variants:
            places = variant.reads()
            if places is None:
                self._unknown.add(variant.name)
            else:
                for place in places:
                    self._readers[place].append(variant.name)
        top = os.path.normpath(self._root).rstrip("/"), os.path.realpath(root).rstrip("/")
        self._folders: dict[str, tuple[str, str]] = {"": top}
        self._places = [(pair, names) for place, names in self._readers.items() for pair in set(self._paths(place))]

    def of(self, changed: Iterable[Path]) -> list[Variant]:
        """Those that read a changed file, or a folder that it is in, or of which nobody can tell by paths."""
        texts = {text for path in changed for text in (str(path), *map(str, path.parents))}
        if not texts:
            return []
        near = self._unknown.union(*(names for path, names in self._places if path in texts))
        return [each for each in self._variants if each.name in near]

    def _paths(self, place: str) -> tuple[str, str]:
        """A place as it is called and where it is; each folder is looked at once, not anew for each file in it."""
        known = self._folders.get(place)
        if known is not None:
            return known
        above, _, name = place.rpartition("/")
        if name in _ODD or place[0] in "/~":
            whole = os.path.join(self._root, os.path.expanduser(place))  # noqa: PTH111, PTH118 - ten times as fast
            found = os.path.normpath(whole), os.path.realpath(whole)
        else:
            called, real = self._paths(above)
            real = f"{real}/{name}"
            found = f"{called}/{name}", os.path.realpath(real) if _linked(real) else real
        self._folders[place] = found
        return found


def _linked(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


# Choose a task's variants: by name, then by what changed, then by this machine's shard.
@dataclass(frozen=True)
class Selection:
    """``variants`` are this run's. ``beside`` must be built too, since a budget compares one of them with it (``smaller_than``).

    ``told`` are lines that say how it came about; none where the whole suite, or what was named, is meant.
    """

    variants: tuple[Variant, ...]
    beside: tuple[Variant, ...] = ()
    told: tuple[str, ...] = ()
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
    told: list[str] = []
    part = shard_of(shard, environment)
    if part is not None and named and shard is None:
        told.append(wording("project.shard_ignored", origin=part.origin, shard=part))
        part = None
    if part is None and not named and environment.get(INDEX_VARIABLE) and not environment.get(TOTAL_VARIABLE):
        told.append(wording("project.how_many_pods", index=INDEX_VARIABLE, total=TOTAL_VARIABLE))
    whys: list[str] = []
    if since is not None:
        variants = _narrowed(variants, changed.since(workspace, since, variants), f"since {since}", whys, told)
    if before is not None:
        found = changed.changed_from(workspace, before, variants)
        variants = _narrowed(variants, found, f"since the report of {before.generated_at}", whys, told)
    mine = variants if part is None else _share(variants, part, times, told)
    narrowed = part is not None or bool(whys)
    if note:
        keep_scope(workspace.state, _scope(workspace, mine, variants, part, whys) if narrowed else None)
    beside = _compared(workspace, mine) if narrowed else ()
    return Selection(mine, beside, tuple(told), narrowed)


def _narrowed(
    variants: tuple[Variant, ...], found: Mapping[str, str], what: str, whys: list[str], told: list[str]
) -> tuple[Variant, ...]:
    whys.append(f"changed {what}")
    told.append(wording("project.changed", count=len(found), total=len(variants), since=what))
    told += [f"  {name}: {why}" for name, why in found.items()]
    return tuple(variant for variant in variants if variant.name in found)


def _share(variants: tuple[Variant, ...], part: Shard, times: Report | None, told: list[str]) -> tuple[Variant, ...]:
    names = divide([variant.name for variant in variants], part.total, seconds_of(times))[part.index - 1]
    shown = ", ".join(names) or "none, so there is nothing to do here"
    told.append(
        wording("project.share", shard=part, origin=part.origin, count=len(names), total=len(variants), names=shown)
    )
    return tuple(variant for variant in variants if variant.name in names)


def seconds_of(times: Report | None) -> dict[str, float]:
    """What each variant took to build and check, by an earlier report; a variant that it does not know is left out."""
    if times is None:
        return {}
    return {
        name: record.build.seconds + sum(check.seconds or 0.0 for check in record.checks.values())
        for name, record in times.variants.items()
        if record.build is not None
    }


def _scope(
    workspace: Workspace,
    mine: Sequence[Variant],
    chosen: Sequence[Variant],
    part: Shard | None,
    whys: Sequence[str],
) -> Scope:
    return Scope(
        index=part.index if part else 1,
        total=part.total if part else 1,
        mine=tuple(variant.name for variant in mine),
        chosen=tuple(variant.name for variant in chosen),
        commit=workspace.asked.head() if workspace.asked else head(workspace.suite.root),
        why=" and ".join(whys) or "all",
    )


def _compared(workspace: Workspace, mine: Sequence[Variant]) -> tuple[Variant, ...]:
    """What the budgets of these are compared with, where it is not among them."""
    names = {variant.name for variant in mine}
    budgets = (variant.checks.budget for variant in mine)
    wanted = {budget.smaller_than for budget in budgets if budget is not None and budget.smaller_than} - names
    return tuple(variant for variant in workspace.suite.variants if variant.name in wanted)
