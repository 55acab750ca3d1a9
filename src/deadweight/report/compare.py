"""Compare two reports: list the changes and decide which are regressions.

Two thresholds of the suite's (``report.thresholds``) filter noise. Below ``noise_*`` a difference is not a change; above
``ratchet_*`` growth is a regression.
Figures that rest on a stand-in in only one of the reports are not compared: they describe two different bases.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.checks.scan.model import SEVERITIES
from deadweight.report import figures
from deadweight.report.model import BaseRecord, Finding, LayerRecord, Report, VariantRecord
from deadweight.report.table import compressed_of, layer_count, size_of, startup_differs
from deadweight.report.verdict import Point, stand_ins
from deadweight.suite.model import ReportThresholds

# One difference between two reports.

Kind = Literal[
    "variant", "build", "size", "compressed", "layers", "packages", "base", "startup", "checks", "attacks", "vulnerabilities"
]  # fmt: skip
"""Also the column of the comparison whose cell is marked."""
Direction = Literal["better", "worse", "other"]


@dataclass(frozen=True)
class Change:
    """``text`` says all of it in one line; ``regression`` means beyond the ratchet. ``about``: the check, or ``database`` for
    findings that only the vulnerability database learnt of."""

    variant: str
    kind: Kind
    text: str
    direction: Direction = "other"
    regression: bool = False
    about: str = ""

    def __str__(self) -> str:
        return f"{self.variant}: {self.text}"

    @property
    def word(self) -> str:
        """One of ``WORDS``."""
        return "regression" if self.regression else "changed" if self.direction == "other" else self.direction


WORDS = ("regression", "worse", "better", "changed")
"""What the page says of a change, the gravest first."""


# Vulnerabilities that were fixed and that are new. A database that moved is told apart from an image that changed.

NAMED = 20


@dataclass(frozen=True)
class _Pair:
    """One variant in both reports. ``notes`` and ``lost`` gather what could not be compared, and what is not measured now."""

    name: str
    old: VariantRecord
    new: VariantRecord
    limits: ReportThresholds
    notes: list[str]
    lost: list[str]

    def change(self, kind: Kind, text: str, gain: float = 0, regression: bool = False, about: str = "") -> Change:
        direction: Direction = "better" if gain > 0 else "worse" if gain < 0 else "other"
        return Change(self.name, kind, text, direction, regression, about)


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
        text = wording("report.places", before=before.copies, after=after.copies)
        yield pair.change("vulnerabilities", text, -1 if more else 1)
    yield from _listed(pair, fixed, "fixed: ", 1)
    learnt = [f for f in fresh if moved and (same_image(old, new) or (f.kind, f.package, f.version) in known)]
    caused = [finding for finding in fresh if finding not in learnt]
    yield from _listed(pair, caused, "new: ", -1, pair.limits.grave)
    yield from _listed(pair, learnt, "newly known: ", -1, about="database")


def _by_key(findings: Sequence[Finding]) -> dict[tuple[str, str, str], Finding]:
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
    pair: _Pair, findings: Sequence[Finding], prefix: str, gain: int, grave: Sequence[str] = (), about: str = ""
) -> Iterator[Change]:
    ordered = sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id, finding.package))
    for finding in ordered[:NAMED]:
        package = f"{finding.package} {finding.version}" if finding.version else finding.package
        text = f"{prefix}{finding.id} ({finding.severity}) in {package}"
        yield pair.change("vulnerabilities", text, gain, finding.severity in grave, about)
    rest = ordered[NAMED:]
    if rest:
        text = f"{prefix}{figures.plural(len(rest), 'more finding')}"
        yield pair.change("vulnerabilities", text, gain, any(finding.severity in grave for finding in rest), about)


PACKAGES_NAMED = 5
HARMFUL = ("succeeded", "crashed")
GRAVITY = ("variant", "build", "checks", "vulnerabilities", "attacks", "size")
GRADES = {"pass": 2, "warn": 1, "fail": 0}


@dataclass(frozen=True)
class Comparison:
    """All changes, in the order of the new report's variants. ``notes`` tell what could not be compared, and why.

    ``unmeasured`` names what nobody could measure now: images that cannot be had, builds that failed before too, checks without a
    result. ``stand_in_note`` tells what of the new report rests on stand-ins, empty where nothing does.
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

    @functools.cached_property
    def gravest_first(self) -> list[Change]:
        return sorted(self.changes, key=lambda change: WORDS.index(change.word))

    @property
    def worse(self) -> tuple[Point, ...]:
        """The regressions, for the verdict, the gravest first."""
        ordered = sorted(self.regressions, key=lambda change: (*GRAVITY, change.kind).index(change.kind))
        return tuple(Point(change.variant, change.kind, change.text, "WORSE") for change in ordered)


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
        kinds += [_figures, _layers, _packages, _vulnerabilities] if _comparable(pair) else []
        changes += [change for kind in kinds for change in kind(pair)]
    gone = [name for name in old.variants if name not in new.variants]
    same = old.suite == new.suite  # another suite need not have the same variants
    changes += [Change(name, "variant", wording("report.variant_removed"), "worse", regression=same) for name in gone]
    return Comparison(old.generated_at, new.generated_at, tuple(changes), tuple(notes), stand_ins(new), tuple(lost))


def _build(pair: _Pair) -> Iterator[Change]:
    """A build that came to nothing is no image to be compared, whatever lies there of an earlier one."""
    if pair.new.failed is not None and pair.old.failed is not None:
        pair.lost.append(f"{pair.name}: {pair.new.failed}; it failed before, too")
    elif pair.new.failed is not None:
        shown = "; the previous image and figures are compared" if pair.new.build else ""
        yield pair.change("build", f"{pair.new.failed}{shown}", -1, regression=True)
    elif pair.new.build is None and pair.old.build is not None:
        pair.lost.append(f"{pair.name}: not built; `invoke build --variant {pair.name}` builds it")


def _comparable(pair: _Pair) -> bool:
    if pair.old.build is None or pair.new.build is None or pair.old.stand_in == pair.new.stand_in:
        return True
    which = "earlier" if pair.old.stand_in else "new"
    pair.notes.append(wording("report.one_on_stand_in", variant=pair.name, report=which, stand_in=figures.STAND_IN))
    return False


def _figures(pair: _Pair) -> Iterator[Change]:
    """Sizes and start-up: a change beyond the noise, a regression beyond the ratchet."""
    old, new, limits = pair.old, pair.new, pair.limits
    size = (figures.size, limits.noise_bytes, limits.noise_percent, limits.ratchet_bytes, limits.ratchet_percent)
    start = (figures.seconds, limits.noise_seconds, limits.noise_startup_percent)
    rows: tuple[tuple[Kind, str, float | None, float | None, tuple[Any, ...]], ...] = (
        ("size", "size", size_of(old), size_of(new), size),
        ("compressed", "compressed size", compressed_of(old), compressed_of(new), size),
        ("startup", "start-up", old.startup_seconds, new.startup_seconds,
         (*start, limits.noise_seconds, limits.ratchet_startup_percent)),
    )  # fmt: skip
    for kind, word, before, after, (shown, noise, noise_percent, ratchet, ratchet_percent) in rows:
        if before is None or after is None:
            if (before is None) != (after is None):
                which = "new" if before is None else "earlier"
                pair.notes.append(wording("report.measured_in_one", variant=pair.name, figure=word, report=which))
            continue
        delta = after - before
        overlap = kind == "startup" and startup_differs(old, new) is False  # the ranges of their starts
        if overlap or not _beyond(abs(delta), before, noise, noise_percent):
            continue
        worse = ratchet_percent is not None and _beyond(delta, before, ratchet, ratchet_percent)
        sign, percent = "+" if delta >= 0 else "-", f"{delta * 100 / before:+.1f} %" if before else "from nothing"
        text = f"{word} {shown(before)} → {shown(after)} ({sign}{shown(abs(delta))}, {percent})"
        yield pair.change(kind, text, -delta, worse)


def _beyond(delta: float, before: float, amount: float, percent: float) -> bool:
    return delta > amount and delta * 100 > before * percent


def _layers(pair: _Pair) -> Iterator[Change]:
    before, after = layer_count(pair.old), layer_count(pair.new)
    if before is not None and after is None:
        why = pair.new.notes[-1] if pair.new.notes else "no image archive"
        pair.lost.append(wording("report.image_gone", variant=pair.name, reason=why))
    elif before is not None and after is not None and before != after:
        worse = after - before > pair.limits.ratchet_layers
        yield pair.change("layers", f"layers {before} → {after}", before - after, worse)
    elif before is not None and pair.old.image is not None and pair.new.image is not None:
        pairs = zip(pair.old.image.layers, pair.new.image.layers, strict=True)
        changed = [_layer(old, new) for old, new in pairs if old.diff_id and new.diff_id and old.diff_id != new.diff_id]
        if changed:
            count = figures.plural(before, "layer")
            yield pair.change("layers", f"{len(changed)} of {count} changed: {_some(changed)}")


def _layer(old: LayerRecord, new: LayerRecord) -> str:
    """Which layer, in the words of its history, and its digests before and after."""
    what = figures.cut((new.instruction or old.instruction or "unnamed").split("\n")[0], 60)
    return f"{what} {figures.digest(old.diff_id)} → {figures.digest(new.diff_id)}"


def _packages(pair: _Pair) -> Iterator[Change]:
    """Packages that came, went, or changed, heaviest difference first: these name the culprit of a growth."""
    before, after = (
        {(package.kind, package.name): package for package in (record.layers.packages if record.layers else ())}
        for record in (pair.old, pair.new)
    )
    if not before or not after:
        return
    changed = [(before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys())]
    changed = sorted(((old, new) for old, new in changed if old != new), key=lambda two: -abs(_growth(*two)))
    for old, new in changed[:PACKAGES_NAMED]:
        yield pair.change("packages", _package_text(old, new), -_growth(old, new))
    if len(changed) > PACKAGES_NAMED:
        yield pair.change("packages", f"{figures.plural(len(changed) - PACKAGES_NAMED, 'more package')} changed")


def _growth(old: images.Package | None, new: images.Package | None) -> int:
    return (new.size_bytes if new else 0) - (old.size_bytes if old else 0)


def _package_text(old: images.Package | None, new: images.Package | None) -> str:
    weight = figures.signed_size(_growth(old, new))
    if old and new:
        moved = "changed size" if old.version == new.version else f"{old.version} → {new.version}"
        return f"package {new.name} {moved} ({weight})"
    package = new or old
    return f"package {package.name} {package.version} {'added' if new else 'removed'} ({weight})" if package else ""


def _base(pair: _Pair) -> Iterator[Change]:
    """Base drift: the same reference under another digest, or another reference."""
    before, after = pair.old.base, pair.new.base
    if pair.old.build is None or pair.new.build is None or before == after:
        return
    if before is None or after is None or (before.reference, before.stand_in) != (after.reference, after.stand_in):
        yield pair.change("base", f"base {_named(before)} → {_named(after)}")
    elif before.digest and after.digest and before.digest != after.digest:
        yield pair.change("base", f"base {after.reference} moved: {before.digest} → {after.digest}")


def _named(base: BaseRecord | None) -> str:
    if base is None:
        return "none"
    return f"{base.reference} ({figures.STAND_IN})" if base.stand_in else base.reference


def _checks(pair: _Pair) -> Iterator[Change]:
    for check in sorted(pair.old.checks.keys() | pair.new.checks.keys()):
        before, after = pair.old.checks.get(check), pair.new.checks.get(check)
        if before is None or before.status == "not_measured":
            if after is not None and after.status != "not_measured":
                text = f"check {check}: now {after.status} ({after.reason})"
                yield pair.change("checks", text, regression=not after.expected, about=check)
        elif after is None:
            text = f"check {check}: {before.status} → not asked"
            yield pair.change("checks", text, -1, regression=before.expected, about=check)
        elif after.status == "not_measured":
            # the reason of what is stale begins with the word
            outcome = after.reason if after.why_not == "stale" else f"{after.word}: {after.reason}"
            pair.lost.append(f"{pair.name}: check {check}: {before.status} → {outcome}")
        elif before.status != after.status or before.expected != after.expected:
            gain = GRADES[after.status] - GRADES[before.status]
            text = f"check {check}: {before.status} → {after.status} ({after.reason})"
            yield pair.change("checks", text, gain, before.expected and not after.expected, about=check)


def _attacks(pair: _Pair) -> Iterator[Change]:
    for posture, before in sorted(pair.old.attacks.items()):
        after = pair.new.attacks.get(posture, {})
        known = [payload for payload, cell in before.items() if cell.outcome != "not_measured"]
        gone = [payload for payload in known if payload not in after or after[payload].outcome == "not_measured"]
        if gone:
            lacking = {"variant": pair.name, "posture": posture, "attacks": _some(gone)}
            pair.notes.append(wording("report.attacks_not_measured", **lacking))
        for payload in sorted(known):
            was, now = before[payload].outcome, after[payload].outcome if payload in after else "not_measured"
            if now in (was, "not_measured"):
                continue
            gain = (was in HARMFUL) - (now in HARMFUL)
            text = f"attack {payload} in {posture}: {was.replace('_', ' ')} → {now.replace('_', ' ')}"
            # In `open` there are no walls to lose: an attack that works there now is news about the image, not a regression.
            yield pair.change("attacks", text, gain, gain < 0 and posture != "open")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:PACKAGES_NAMED]) + (" …" if len(names) > PACKAGES_NAMED else "")
