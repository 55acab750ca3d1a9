"""Compare two reports: list the changes and decide which are regressions.

Two thresholds of the suite's (``report.thresholds``) filter noise. Below ``noise_*`` a difference is not a change; above
``ratchet_*`` growth is a regression.
Figures that rest on a stand-in in only one of the reports are not compared: they describe two different bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.report import figures
from deadweight.report.model import SEVERITIES, Finding, LayerRecord, Report, VariantRecord
from deadweight.report.table import compressed_of, layer_count, not_measured_word, size_of, startup_differs
from deadweight.report.view import stand_in_note
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


def scan_changes(
    name: str, old: VariantRecord, new: VariantRecord, grave: Sequence[str], notes: list[str]
) -> Iterator[Change]:
    """Findings fixed and new. New ones of a ``grave`` severity are regressions, unless only the database learnt of them.

    A finding is the same if id and package are, whatever the package's version. A new finding in a package version that was
    there already is news of the database if the two scans used databases of different dates.
    """
    before, after = old.vulnerabilities, new.vulnerabilities
    if before.status != "scanned" or after.status != "scanned":
        if before.status != after.status:
            then, since = before.status.replace("_", " "), after.status.replace("_", " ")
            notes.append(wording("report.scans_not_compared", variant=name, before=then, after=since))
        return
    moved = before.database.updated_at != after.database.updated_at
    was, now = _by_key(before.findings), _by_key(after.findings)
    known = {(finding.kind, finding.package, finding.version) for finding in before.findings} | _installed(old)
    fixed = [finding for key, finding in was.items() if key not in now]
    fresh = [finding for key, finding in now.items() if key not in was]
    if not fixed and not fresh and before.copies and after.copies and before.copies != after.copies:
        more = after.copies > before.copies
        text = f"the same vulnerabilities in {'more' if more else 'fewer'} places: {before.copies} → {after.copies}"
        yield Change(name, "vulnerabilities", text, "worse" if more else "better")
    yield from _listed(name, fixed, "fixed: ", "better", [])
    learnt = [f for f in fresh if moved and (same_image(old, new) or (f.kind, f.package, f.version) in known)]
    caused = [finding for finding in fresh if finding not in learnt]
    yield from _listed(name, caused, "new: ", "worse", grave)
    yield from _listed(name, learnt, "newly known to the database: ", "worse", [])


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
    name: str, findings: Sequence[Finding], prefix: str, direction: Direction, grave: Sequence[str]
) -> Iterator[Change]:
    ordered = sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id, finding.package))
    for finding in ordered[:NAMED]:
        package = f"{finding.package} {finding.version}" if finding.version else finding.package
        text = f"{prefix}{finding.id} ({finding.severity}) in {package}"
        yield Change(name, "vulnerabilities", text, direction, finding.severity in grave)
    rest = ordered[NAMED:]
    if rest:
        text = f"{prefix}{figures.plural(len(rest), 'more finding')}"
        yield Change(name, "vulnerabilities", text, direction, any(finding.severity in grave for finding in rest))


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
        before = old.variants[name]
        changes += _build(name, before, record, lost)
        if record.build is None:
            continue  # that says all there is to say
        comparable = _comparable(name, before, record, notes)
        changes += _base(name, before, record)
        changes += _checks(name, before, record, lost)
        changes += _attacks(name, before, record, notes)
        if comparable:
            changes += _size(name, before, record, limits, notes)
            changes += _layers(name, before, record, limits, lost)
            changes += _packages(name, before, record)
            changes += _startup(name, before, record, limits, notes)
            changes += scan_changes(name, before, record, limits.grave, notes)
    gone = [name for name in old.variants if name not in new.variants]
    same = old.suite == new.suite  # another suite need not have the same variants
    changes += [Change(name, "variant", "the variant was removed", "worse", regression=same) for name in gone]
    resting = tuple(name for name, record in new.variants.items() if record.stand_in)
    told = stand_in_note(resting, len(new.variants))
    return Comparison(old.generated_at, new.generated_at, tuple(changes), tuple(notes), told, tuple(lost))


def _build(name: str, old: VariantRecord, new: VariantRecord, lost: list[str]) -> Iterator[Change]:
    """A build that came to nothing is no image to be compared, whatever lies there of an earlier one."""
    if new.failed is not None:
        shown = "; the previous image and figures are compared" if new.build else ""
        yield Change(name, "build", f"{new.failed}{shown}", "worse", regression=True)
    elif new.build is None and old.build is not None:
        lost.append(f"{name}: not built; `invoke build --variant {name}` builds it")


def _comparable(name: str, old: VariantRecord, new: VariantRecord, notes: list[str]) -> bool:
    if old.build is None or new.build is None or old.stand_in == new.stand_in:
        return True
    which = "earlier" if old.stand_in else "new"
    notes.append(wording("report.one_on_stand_in", variant=name, report=which, stand_in=figures.STAND_IN))
    return False


def _size(
    name: str, old: VariantRecord, new: VariantRecord, limits: ReportThresholds, notes: list[str]
) -> Iterator[Change]:
    pairs: tuple[tuple[Kind, str, int | None, int | None], ...] = (
        ("size", "size", size_of(old), size_of(new)),
        ("compressed", "compressed size", compressed_of(old), compressed_of(new)),
    )
    for kind, word, before, after in pairs:
        if before is None or after is None:
            if (before is None) != (after is None):
                which = "new" if before is None else "earlier"
                notes.append(wording("report.measured_in_one", variant=name, figure=word, report=which))
            continue
        delta = after - before
        if not _beyond(abs(delta), before, limits.noise_bytes, limits.noise_percent):
            continue
        worse = _beyond(delta, before, limits.ratchet_bytes, limits.ratchet_percent)
        text = f"{word} {figures.size(before)} → {figures.size(after)} ({figures.signed_size(delta)}, {_percent(delta, before)})"
        yield Change(name, kind, text, _direction(-delta), worse)


def _beyond(delta: float, before: float, amount: float, percent: float) -> bool:
    return delta > amount and delta * 100 > before * percent


def _percent(delta: float, before: float) -> str:
    return f"{delta * 100 / before:+.1f} %" if before else "from nothing"


def _direction(gain: float) -> Direction:
    return "better" if gain > 0 else "worse" if gain < 0 else "other"


def _layers(
    name: str, old: VariantRecord, new: VariantRecord, limits: ReportThresholds, lost: list[str]
) -> Iterator[Change]:
    before, after = layer_count(old), layer_count(new)
    if before is not None and after is None:
        why = new.notes[-1] if new.notes else "no image archive"
        lost.append(f"{name}: its image can no longer be read: {why}")
    if before is None or after is None:
        return
    if before != after:
        worse = after - before > limits.ratchet_layers
        yield Change(name, "layers", f"layers {before} → {after}", _direction(before - after), worse)
    elif old.image is not None and new.image is not None:
        pairs = list(zip(old.image.layers, new.image.layers, strict=True))
        changed = [
            (one, other) for one, other in pairs if one.diff_id and other.diff_id and one.diff_id != other.diff_id
        ]
        if changed:
            said = ", ".join(_layer(one, other) for one, other in changed[:PACKAGES_NAMED])
            more = " …" if len(changed) > PACKAGES_NAMED else ""
            yield Change(
                name, "layers", f"{len(changed)} of {figures.plural(len(pairs), 'layer')} changed: {said}{more}"
            )


def _layer(old: LayerRecord, new: LayerRecord) -> str:
    """Which layer, in the words of its history, and its digests before and after."""
    what = (new.instruction or old.instruction or "unnamed").split("\n")[0]
    short = what if len(what) <= 60 else f"{what[:59]}…"
    return f"{short} {figures.digest(old.diff_id)} → {figures.digest(new.diff_id)}"


def _packages(name: str, old: VariantRecord, new: VariantRecord) -> Iterator[Change]:
    """Packages that came, went, or changed, heaviest difference first: these name the culprit of a growth."""
    if old.layers is None or new.layers is None or not (old.layers.packages and new.layers.packages):
        return
    before, after = _by_name(old.layers.packages), _by_name(new.layers.packages)
    found = [
        (_weight(after.get(key)) - _weight(before.get(key)), key)
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
    found.sort(key=lambda item: (-abs(item[0]), item[1]))
    for delta, key in found[:PACKAGES_NAMED]:
        yield Change(name, "packages", _package_text(before.get(key), after.get(key), delta), _direction(-delta))
    if len(found) > PACKAGES_NAMED:
        yield Change(name, "packages", f"{figures.plural(len(found) - PACKAGES_NAMED, 'more package')} changed")


def _by_name(packages: tuple[images.Package, ...]) -> dict[tuple[str, str], images.Package]:
    return {(package.kind, package.name): package for package in packages}


def _weight(package: images.Package | None) -> int:
    return package.size_bytes if package else 0


def _package_text(old: images.Package | None, new: images.Package | None, delta: int) -> str:
    weight = figures.signed_size(delta)
    if old is None and new is not None:
        return f"package {new.name} {new.version} added ({weight})"
    if new is None and old is not None:
        return f"package {old.name} {old.version} removed ({weight})"
    assert old is not None
    assert new is not None
    if old.version == new.version:
        return f"package {new.name} changed size ({weight})"
    return f"package {new.name} {old.version} → {new.version} ({weight})"


def _base(name: str, old: VariantRecord, new: VariantRecord) -> Iterator[Change]:
    """Base drift: the same reference under another digest, or another reference."""
    if old.build is None or new.build is None or old.base == new.base:
        return
    before, after = old.base, new.base
    if before is None or after is None:
        yield Change(
            name, "base", f"base {before.reference if before else 'none'} → {after.reference if after else 'none'}"
        )
    elif before.reference != after.reference or before.stand_in != after.stand_in:
        yield Change(
            name,
            "base",
            f"base {_named(before.reference, before.stand_in)} → {_named(after.reference, after.stand_in)}",
        )
    elif before.digest and after.digest and before.digest != after.digest:
        yield Change(name, "base", f"base {after.reference} moved: {before.digest} → {after.digest}")


def _named(reference: str, stand_in: bool) -> str:
    return f"{reference} ({figures.STAND_IN})" if stand_in else reference


def _startup(
    name: str, old: VariantRecord, new: VariantRecord, limits: ReportThresholds, notes: list[str]
) -> Iterator[Change]:
    before, after = old.startup_seconds, new.startup_seconds
    if before is None or after is None:
        if before is not None:
            notes.append(wording("report.measured_in_one", variant=name, figure="start-up", report="earlier"))
        return
    delta = after - before
    if startup_differs(old, new) is False:
        return  # the ranges of their starts overlap
    if not _beyond(abs(delta), before, limits.noise_seconds, limits.noise_startup_percent):
        return
    ratchet = limits.ratchet_startup_percent
    worse = ratchet is not None and _beyond(delta, before, limits.noise_seconds, ratchet)
    text = f"start-up {figures.seconds(before)} → {figures.seconds(after)} ({_percent(delta, before)})"
    yield Change(name, "startup", text, _direction(-delta), worse)


def _checks(name: str, old: VariantRecord, new: VariantRecord, lost: list[str]) -> Iterator[Change]:
    for check in sorted(old.checks.keys() | new.checks.keys()):
        before, after = old.checks.get(check), new.checks.get(check)
        if before is None or before.status == "not_measured":
            if after is not None and after.status != "not_measured":
                yield Change(
                    name, "checks", f"check {check}: now {after.status} ({after.reason})", regression=not after.expected
                )
        elif after is None:
            text = f"check {check}: {before.status} → no longer in the suite"
            yield Change(name, "checks", text, "worse", regression=before.expected)
        elif after.status == "not_measured":
            word = not_measured_word(after)
            lost.append(f"{name}: check {check}: {before.status} → {word}: {after.reason.removeprefix(f'{word}: ')}")
        elif before.status != after.status or before.expected != after.expected:
            gain = GRADES[after.status] - GRADES[before.status]
            text = f"check {check}: {before.status} → {after.status} ({after.reason})"
            yield Change(name, "checks", text, _direction(gain), regression=before.expected and not after.expected)


def _attacks(name: str, old: VariantRecord, new: VariantRecord, notes: list[str]) -> Iterator[Change]:
    for posture, before in sorted(old.attacks.items()):
        after = new.attacks.get(posture, {})
        known = {payload: item.outcome for payload, item in before.items() if item.outcome != "not_measured"}
        now_of = {payload: after[payload].outcome if payload in after else "not_measured" for payload in known}
        if gone := [payload for payload, now in now_of.items() if now == "not_measured"]:
            notes.append(wording("report.attacks_not_measured", variant=name, posture=posture, attacks=_some(gone)))
        for payload, was in sorted(known.items()):
            now = now_of[payload]
            if now in (was, "not_measured"):
                continue
            worse = now in {"succeeded", "crashed"} and was not in {"succeeded", "crashed"}
            better = was in {"succeeded", "crashed"} and now not in {"succeeded", "crashed"}
            text = f"attack {payload} in {posture}: {was.replace('_', ' ')} → {now.replace('_', ' ')}"
            # In `open` there are no walls to lose: an attack that works there now is news about the image, not a regression.
            yield Change(name, "attacks", text, _direction(better - worse), worse and posture != "open")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:PACKAGES_NAMED]) + (" …" if len(names) > PACKAGES_NAMED else "")


# What changed since an earlier report, as marks in the comparison's cells and as the page's list.

TEXT_LETTERS = 300
TOLD_PER_CELL = 6
LISTED = 40
_GRADES = ("changed", "better", "worse", "regression")


@dataclass(frozen=True)
class Mark:
    """``word``: ``regression``, ``worse``, ``better`` or ``changed``, the gravest of a cell; ``told``: its changes in words."""

    word: str
    told: tuple[str, ...]


@dataclass(frozen=True)
class Since:
    """What the page shows of a comparison. ``listed`` has at most ``LISTED`` changes, regressions first; ``more`` counts others."""

    when: str
    headline: str
    worse: bool
    cells: dict[str, dict[str, Mark]]
    listed: tuple[tuple[str, Change], ...]
    more: int
    unmeasured: tuple[str, ...]
    notes: tuple[str, ...]


def since(found: Comparison) -> Since:
    """All of it, for any comparison."""
    ordered = sorted(found.changes, key=lambda change: -_GRADES.index(word_of(change)))
    return Since(
        when=found.old_generated_at,
        headline=_headline(found),
        worse=bool(found.regressions or found.unmeasured),
        cells=_cells(found.changes),
        listed=tuple((word_of(change), change) for change in ordered[:LISTED]),
        more=max(0, len(ordered) - LISTED),
        unmeasured=found.unmeasured,
        notes=found.notes,
    )


def word_of(change: Change) -> str:
    """One of the words of a ``Mark``."""
    if change.regression:
        return "regression"
    return "changed" if change.direction == "other" else change.direction


def _headline(found: Comparison) -> str:
    count = figures.plural(len(found.changes), "change")
    if found.regressions:
        said = f"{figures.plural(len(found.regressions), 'regression')} among {count}"
    else:
        said = f"{count}, no regression" if found.changes else "nothing changed beyond noise"
    return said + (f"; {len(found.unmeasured)} no longer measured" if found.unmeasured else "")


def _cells(changes: Sequence[Change]) -> dict[str, dict[str, Mark]]:
    found: dict[str, dict[str, list[Change]]] = {}
    for change in changes:
        found.setdefault(change.variant, {}).setdefault(change.kind, []).append(change)
    return {name: {key: _mark(each) for key, each in cells.items()} for name, cells in found.items()}


def _mark(changes: Sequence[Change]) -> Mark:
    grave = sorted(changes, key=lambda change: -_GRADES.index(word_of(change)))
    told = [f"{word_of(each)}: {each.text}"[:TEXT_LETTERS] for each in grave[:TOLD_PER_CELL]]
    more = len(grave) - len(told)
    return Mark(word_of(grave[0]), (*told, *((f"and {more} more",) if more else ())))
