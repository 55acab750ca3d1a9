"""Compare two reports: list the changes and decide which are regressions.

Two thresholds of the suite's (``report.thresholds``) filter noise. Below ``noise_*`` a difference is not a change; above
``ratchet_*`` growth is a regression.
Figures that rest on a stand-in in only one of the reports are not compared: they describe two different bases.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.checks.scan.model import SEVERITIES
from deadweight.report import figures
from deadweight.report.model import BaseRecord, Finding, LayerRecord, Report, VariantRecord
from deadweight.report.table import compressed_of, layer_count, not_measured_word, size_of, startup_differs
from deadweight.report.verdict import stand_ins
from deadweight.suite.model import ReportThresholds

# One difference between two reports.

Kind = Literal[
    "variant", "build", "size", "compressed", "layers", "packages", "base", "startup", "checks", "attacks", "vulnerabilities"
]  # fmt: skip
"""Also the column of the comparison whose cell is marked."""
Direction = Literal["better", "worse", "other"]


@dataclass(frozen=True)
class Change:
    """``text`` says all of it in one line; ``regression`` means beyond the ratchet."""

    variant: str
    kind: Kind
    text: str
    direction: Direction = "other"
    regression: bool = False

    def __str__(self) -> str:
        return f"{self.variant}: {self.text}"


# Vulnerabilities that were fixed and that are new. A database that moved is told apart from an image that changed.

NAMED = 20

Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Pair:
    """One variant in both reports. ``notes`` and ``lost`` gather what could not be compared, and what is no longer measured."""

    name: str
    old: VariantRecord
    new: VariantRecord
    limits: ReportThresholds
    notes: list[str]
    lost: list[str]

    def change(self, kind: Kind, text: str, direction: Direction = "other", regression: bool = False) -> Change:
        return Change(self.name, kind, text, direction, regression)


def _vulnerabilities(pair: _Pair) -> Iterator[Change]:
    """Findings fixed and new. New ones of a ``grave`` severity are regressions, unless only the database learnt of them.

    A finding is the same if id and package are, whatever the package's version. A new finding in a package version that was
    there already is news of the database if the two scans used databases of different dates.
    """
    old, new = pair.old, pair.new
    before, after = old.vulnerabilities, new.vulnerabilities
    if before.status != "scanned" or after.status != "scanned":
        if before.status != after.status:
            then, since = before.status.replace("_", " "), after.status.replace("_", " ")
            pair.notes.append(wording("report.scans_not_compared", variant=pair.name, before=then, after=since))
        return
    moved = before.database.updated_at != after.database.updated_at
    was, now = _by_key(before.findings), _by_key(after.findings)
    known = {(finding.kind, finding.package, finding.version) for finding in before.findings} | _installed(old)
    fixed = [finding for key, finding in was.items() if key not in now]
    fresh = [finding for key, finding in now.items() if key not in was]
    if not fixed and not fresh and before.copies and after.copies and before.copies != after.copies:
        more = after.copies > before.copies
        text = f"the same vulnerabilities in {'more' if more else 'fewer'} places: {before.copies} → {after.copies}"
        yield pair.change("vulnerabilities", text, "worse" if more else "better")
    yield from _listed(pair, fixed, "fixed: ", "better")
    learnt = [f for f in fresh if moved and (same_image(old, new) or (f.kind, f.package, f.version) in known)]
    caused = [finding for finding in fresh if finding not in learnt]
    yield from _listed(pair, caused, "new: ", "worse", pair.limits.grave)
    yield from _listed(pair, learnt, "newly known to the database: ", "worse")


def _by_key(findings: Sequence[Finding]) -> dict[Key, Finding]:
    return {(finding.id, finding.kind, finding.package): finding for finding in findings if finding.exception is None}


def _installed(record: VariantRecord) -> set[tuple[str, str, str | None]]:
    """What the image holds, by the scanner's kinds: Go modules are the packages of a language."""
    packages = record.layers.packages if record.layers else ()
    modules = {("language", name, version) for package in packages for name, version in package.modules}
    named = {
        (kind, package.name, package.version) for package in packages for kind in ("os", "language", "kernel_headers")
    }
    return modules | named


def same_image(old: VariantRecord, new: VariantRecord) -> bool:
    return old.image is not None and new.image is not None and old.image.config_digest == new.image.config_digest


def _listed(
    pair: _Pair, findings: Sequence[Finding], prefix: str, direction: Direction, grave: Sequence[str] = ()
) -> Iterator[Change]:
    ordered = sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id, finding.package))
    for finding in ordered[:NAMED]:
        package = f"{finding.package} {finding.version}" if finding.version else finding.package
        text = f"{prefix}{finding.id} ({finding.severity}) in {package}"
        yield pair.change("vulnerabilities", text, direction, finding.severity in grave)
    rest = ordered[NAMED:]
    if rest:
        text = f"{prefix}{figures.plural(len(rest), 'more finding')}"
        yield pair.change("vulnerabilities", text, direction, any(finding.severity in grave for finding in rest))


PACKAGES_NAMED = 5
GRADES = {"pass": 2, "warn": 1, "fail": 0}


@dataclass(frozen=True)
class Comparison:
    """All changes, in the order of the new report's variants. ``notes`` tell what could not be compared, and why.

    ``unmeasured`` names what the earlier report had measured and nobody could measure now: images that cannot be had, checks
    without a result. ``stand_in_note`` tells what of the new report rests on stand-ins, empty where nothing does.
    """

    old_generated_at: str
    new_generated_at: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = field(default=())
    stand_in_note: str = ""
    unmeasured: tuple[str, ...] = ()

    @property
    def regressions(self) -> tuple[Change, ...]:
        """Changes for the worse, beyond the ratchet. Not empty: the task ends with exit code 1."""
        return tuple(change for change in self.changes if change.regression)

    @property
    def headline(self) -> str:
        """What the page says above all."""
        count = figures.plural(len(self.changes), "change")
        if self.regressions:
            said = f"{figures.plural(len(self.regressions), 'regression')} among {count}"
        else:
            said = f"{count}, no regression" if self.changes else "nothing changed beyond noise"
        return said + (f"; {len(self.unmeasured)} no longer measured" if self.unmeasured else "")

    @functools.cached_property
    def listed(self) -> list[tuple[str, Change]]:
        """What the page lists, regressions first, each with its word: at most ``LISTED``."""
        ordered = sorted(self.changes, key=lambda change: -_GRADES.index(word_of(change)))
        return [(word_of(change), change) for change in ordered[:LISTED]]

    @functools.cached_property
    def cells(self) -> dict[str, dict[str, tuple[str, tuple[str, ...]]]]:
        """The marks in the page's comparison, by variant and column: the gravest word, and the changes in words."""
        found: dict[str, dict[str, list[Change]]] = {}
        for change in self.changes:
            found.setdefault(change.variant, {}).setdefault(change.kind, []).append(change)
        return {name: {key: _mark(each) for key, each in cells.items()} for name, cells in found.items()}


def compare(old: Report, new: Report, thresholds: ReportThresholds | None = None) -> Comparison:
    """What changed from ``old`` to ``new``. A figure that one of them lacks is a note, never a change to or from zero."""
    limits = thresholds or ReportThresholds()
    changes: list[Change] = []
    notes: list[str] = []
    lost: list[str] = []
    if old.suite != new.suite:
        notes.append(wording("report.other_suite", suite=old.suite))
    for name, record in new.variants.items():
        if name not in old.variants:
            changes.append(Change(name, "variant", f"new variant, {figures.size(size_of(record))}"))
            continue
        pair = _Pair(name, old.variants[name], record, limits, notes, lost)
        changes += _build(pair)
        if record.build is None:
            continue  # that says all there is to say
        kinds = [_base, _checks, _attacks]
        kinds += [_size, _layers, _packages, _startup, _vulnerabilities] if _comparable(pair) else []
        changes += [change for kind in kinds for change in kind(pair)]
    gone = [name for name in old.variants if name not in new.variants]
    same = old.suite == new.suite  # another suite need not have the same variants
    changes += [Change(name, "variant", "the variant was removed", "worse", regression=same) for name in gone]
    resting = stand_ins(new)
    return Comparison(old.generated_at, new.generated_at, tuple(changes), tuple(notes), resting, tuple(lost))


def _build(pair: _Pair) -> Iterator[Change]:
    """A build that came to nothing is no image to be compared, whatever lies there of an earlier one."""
    if pair.new.failed is not None:
        shown = "; the previous image and figures are compared" if pair.new.build else ""
        yield pair.change("build", f"{pair.new.failed}{shown}", "worse", regression=True)
    elif pair.new.build is None and pair.old.build is not None:
        pair.lost.append(f"{pair.name}: not built; `invoke build --variant {pair.name}` builds it")


def _comparable(pair: _Pair) -> bool:
    if pair.old.build is None or pair.new.build is None or pair.old.stand_in == pair.new.stand_in:
        return True
    which = "earlier" if pair.old.stand_in else "new"
    pair.notes.append(wording("report.one_on_stand_in", variant=pair.name, report=which, stand_in=figures.STAND_IN))
    return False


def _size(pair: _Pair) -> Iterator[Change]:
    pairs: tuple[tuple[Kind, str, int | None, int | None], ...] = (
        ("size", "size", size_of(pair.old), size_of(pair.new)),
        ("compressed", "compressed size", compressed_of(pair.old), compressed_of(pair.new)),
    )
    for kind, word, before, after in pairs:
        if before is None or after is None:
            if (before is None) != (after is None):
                which = "new" if before is None else "earlier"
                pair.notes.append(wording("report.measured_in_one", variant=pair.name, figure=word, report=which))
            continue
        delta = after - before
        if not _beyond(abs(delta), before, pair.limits.noise_bytes, pair.limits.noise_percent):
            continue
        worse = _beyond(delta, before, pair.limits.ratchet_bytes, pair.limits.ratchet_percent)
        text = f"{word} {figures.size(before)} → {figures.size(after)} ({figures.signed_size(delta)}, {_percent(delta, before)})"
        yield pair.change(kind, text, _direction(-delta), worse)


def _beyond(delta: float, before: float, amount: float, percent: float) -> bool:
    return delta > amount and delta * 100 > before * percent


def _percent(delta: float, before: float) -> str:
    return f"{delta * 100 / before:+.1f} %" if before else "from nothing"


def _direction(gain: float) -> Direction:
    return "better" if gain > 0 else "worse" if gain < 0 else "other"


def _layers(pair: _Pair) -> Iterator[Change]:
    before, after = layer_count(pair.old), layer_count(pair.new)
    if before is not None and after is None:
        why = pair.new.notes[-1] if pair.new.notes else "no image archive"
        pair.lost.append(f"{pair.name}: its image can no longer be read: {why}")
    if before is None or after is None:
        return
    if before != after:
        worse = after - before > pair.limits.ratchet_layers
        yield pair.change("layers", f"layers {before} → {after}", _direction(before - after), worse)
    elif pair.old.image is not None and pair.new.image is not None:
        pairs = list(zip(pair.old.image.layers, pair.new.image.layers, strict=True))
        changed = [
            _layer(*two) for two in pairs if None not in (ids := [each.diff_id for each in two]) and len(set(ids)) > 1
        ]
        if changed:
            count = figures.plural(len(pairs), "layer")
            yield pair.change("layers", f"{len(changed)} of {count} changed: {_some(changed)}")


def _layer(old: LayerRecord, new: LayerRecord) -> str:
    """Which layer, in the words of its history, and its digests before and after."""
    what = (new.instruction or old.instruction or "unnamed").split("\n")[0]
    short = what if len(what) <= 60 else f"{what[:59]}…"
    return f"{short} {figures.digest(old.diff_id)} → {figures.digest(new.diff_id)}"


def _packages(pair: _Pair) -> Iterator[Change]:
    """Packages that came, went, or changed, heaviest difference first: these name the culprit of a growth."""
    before, after = (_by_name(each.layers.packages if each.layers else ()) for each in (pair.old, pair.new))
    if not before or not after:
        return
    found = [
        (_weight(after.get(key)) - _weight(before.get(key)), key)
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    found.sort(key=lambda item: (-abs(item[0]), item[1]))
    for delta, key in found[:PACKAGES_NAMED]:
        yield pair.change("packages", _package_text(before.get(key), after.get(key), delta), _direction(-delta))
    if len(found) > PACKAGES_NAMED:
        yield pair.change("packages", f"{figures.plural(len(found) - PACKAGES_NAMED, 'more package')} changed")


def _by_name(packages: tuple[images.Package, ...]) -> dict[tuple[str, str], images.Package]:
    return {(package.kind, package.name): package for package in packages}


def _weight(package: images.Package | None) -> int:
    return package.size_bytes if package else 0


def _package_text(old: images.Package | None, new: images.Package | None, delta: int) -> str:
    weight = figures.signed_size(delta)
    if old is None or new is None:
        there = new or old
        return f"package {there.name} {there.version} {'added' if new else 'removed'} ({weight})" if there else ""
    if old.version == new.version:
        return f"package {new.name} changed size ({weight})"
    return f"package {new.name} {old.version} → {new.version} ({weight})"


def _base(pair: _Pair) -> Iterator[Change]:
    """Base drift: the same reference under another digest, or another reference."""
    if pair.old.build is None or pair.new.build is None or pair.old.base == pair.new.base:
        return
    before, after = pair.old.base, pair.new.base
    if before is None or after is None or (before.reference, before.stand_in) != (after.reference, after.stand_in):
        yield pair.change("base", f"base {_named(before)} → {_named(after)}")
    elif before.digest and after.digest and before.digest != after.digest:
        yield pair.change("base", f"base {after.reference} moved: {before.digest} → {after.digest}")


def _named(base: BaseRecord | None) -> str:
    if base is None:
        return "none"
    return f"{base.reference} ({figures.STAND_IN})" if base.stand_in else base.reference


def _startup(pair: _Pair) -> Iterator[Change]:
    before, after = pair.old.startup_seconds, pair.new.startup_seconds
    if before is None or after is None:
        if before is not None:
            pair.notes.append(wording("report.measured_in_one", variant=pair.name, figure="start-up", report="earlier"))
        return
    delta = after - before
    if startup_differs(pair.old, pair.new) is False:
        return  # the ranges of their starts overlap
    if not _beyond(abs(delta), before, pair.limits.noise_seconds, pair.limits.noise_startup_percent):
        return
    ratchet = pair.limits.ratchet_startup_percent
    worse = ratchet is not None and _beyond(delta, before, pair.limits.noise_seconds, ratchet)
    text = f"start-up {figures.seconds(before)} → {figures.seconds(after)} ({_percent(delta, before)})"
    yield pair.change("startup", text, _direction(-delta), worse)


def _checks(pair: _Pair) -> Iterator[Change]:
    for check in sorted(pair.old.checks.keys() | pair.new.checks.keys()):
        before, after = pair.old.checks.get(check), pair.new.checks.get(check)
        if before is None or before.status == "not_measured":
            if after is not None and after.status != "not_measured":
                text = f"check {check}: now {after.status} ({after.reason})"
                yield pair.change("checks", text, regression=not after.expected)
        elif after is None:
            text = f"check {check}: {before.status} → no longer in the suite"
            yield pair.change("checks", text, "worse", regression=before.expected)
        elif after.status == "not_measured":
            word = not_measured_word(after)
            reason = after.reason.removeprefix(f"{word}: ")
            pair.lost.append(f"{pair.name}: check {check}: {before.status} → {word}: {reason}")
        elif before.status != after.status or before.expected != after.expected:
            gain = GRADES[after.status] - GRADES[before.status]
            text = f"check {check}: {before.status} → {after.status} ({after.reason})"
            yield pair.change("checks", text, _direction(gain), regression=before.expected and not after.expected)


def _attacks(pair: _Pair) -> Iterator[Change]:
    for posture, before in sorted(pair.old.attacks.items()):
        after = pair.new.attacks.get(posture, {})
        known = {payload: item.outcome for payload, item in before.items() if item.outcome != "not_measured"}
        now_of = {payload: after[payload].outcome if payload in after else "not_measured" for payload in known}
        if gone := [payload for payload, now in now_of.items() if now == "not_measured"]:
            lacking = {"variant": pair.name, "posture": posture, "attacks": _some(gone)}
            pair.notes.append(wording("report.attacks_not_measured", **lacking))
        for payload, was in sorted(known.items()):
            now = now_of[payload]
            if now in (was, "not_measured"):
                continue
            worse = now in {"succeeded", "crashed"} and was not in {"succeeded", "crashed"}
            better = was in {"succeeded", "crashed"} and now not in {"succeeded", "crashed"}
            text = f"attack {payload} in {posture}: {was.replace('_', ' ')} → {now.replace('_', ' ')}"
            # In `open` there are no walls to lose: an attack that works there now is news about the image, not a regression.
            yield pair.change("attacks", text, _direction(better - worse), worse and posture != "open")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:PACKAGES_NAMED]) + (" …" if len(names) > PACKAGES_NAMED else "")


# What changed since an earlier report, as marks in the comparison's cells and as the page's list.

TEXT_LETTERS = 300
TOLD_PER_CELL = 6
LISTED = 40
_GRADES = ("changed", "better", "worse", "regression")


def word_of(change: Change) -> str:
    """``regression``, ``worse``, ``better`` or ``changed``."""
    if change.regression:
        return "regression"
    return "changed" if change.direction == "other" else change.direction


def _mark(changes: Sequence[Change]) -> tuple[str, tuple[str, ...]]:
    grave = sorted(changes, key=lambda change: -_GRADES.index(word_of(change)))
    told = [f"{word_of(each)}: {each.text}"[:TEXT_LETTERS] for each in grave[:TOLD_PER_CELL]]
    more = len(grave) - len(told)
    return word_of(grave[0]), (*told, *((f"and {more} more",) if more else ()))
