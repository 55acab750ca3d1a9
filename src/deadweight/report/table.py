"""Build the comparison's rows and cells once, for console, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deadweight.report import figures
from deadweight.report.attacks import by_ladder
from deadweight.report.model import CheckRecord, Report, RuntimeRecord, VariantRecord, VulnerabilitiesRecord

_NONE = "none"
NOT_ATTACKED, NOT_ASKED = "not attacked", "not scanned (not asked)"
_ABSENT = {_NONE, figures.NOTHING, NOT_ATTACKED, NOT_ASKED}
"""A column in which no variant has anything is left out of its ladder; what was not measured is told all the same."""


@dataclass(frozen=True)
class Cell:
    """``sort`` is what a sort compares (None: not measured, always last); ``tone`` is good, warn, bad, muted or empty.

    ``badge`` is a label that must not be lost wherever the cell is shown (``stand-in``).
    """

    text: str
    sort: float | str | None = None
    tone: str = ""
    badge: str = ""


@dataclass(frozen=True)
class Column:
    """``make`` gets a variant and the size of its ladder's largest image. The lower ``rank``, the sooner it gets the room that a
    terminal has. ``task`` gets its figure anew, for one variant; ``report`` stands for what is no measurement of ours.
    ``origin`` is whose provenance the figure has."""

    key: str
    title: str
    make: Callable[[str, VariantRecord, int | None], Cell]
    rank: int
    task: str
    origin: str = "image"
    numeric: bool = False


@dataclass(frozen=True)
class Row:
    variant: str
    record: VariantRecord
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Ladder:
    """Variants of one service; ratios are to the largest of the same ladder. A row has a cell for each of ``columns``."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    largest_bytes: int | None
    smallest_bytes: int | None


def ladders(report: Report) -> tuple[Ladder, ...]:
    """The variants by ladder, each in the suite's order."""
    return tuple(_ladder(name, members) for name, members in by_ladder(report.variants).items())


def _ladder(name: str, members: Mapping[str, VariantRecord]) -> Ladder:
    sizes = [size for record in members.values() if (size := size_of(record))]
    largest = max(sizes, default=None)
    made = [(column, [column.make(*member, largest) for member in members.items()]) for column in COLUMNS]
    shown = [(column, cells) for column, cells in made if any(cell.text not in _ABSENT for cell in cells)]
    columns, cells = zip(*shown, strict=True)
    rows = tuple(Row(*member, row) for member, row in zip(members.items(), zip(*cells, strict=True), strict=True))
    return Ladder(name, title_of(name), columns, rows, largest, min(sizes, default=None))


def title_of(ladder: str) -> str:
    """A ladder's name as a title: the suite's own word, with a capital letter where it has none."""
    return ladder[:1].upper() + ladder[1:] if ladder.islower() else ladder


def size_of(record: VariantRecord) -> int | None:
    """Uncompressed bytes of a variant's image, None where not measured."""
    return record.image.size_bytes if record.image else None


def compressed_of(record: VariantRecord) -> int | None:
    """Compressed bytes of a variant's image, None where not measured."""
    return record.image.compressed_bytes if record.image else None


def layer_count(record: VariantRecord) -> int | None:
    """Layers of a variant's image, None where not measured."""
    if record.image is None or record.image.size_bytes is None:
        return None
    return len(record.image.layers) or None


def _unmeasured(text: str = figures.NOT_MEASURED) -> Cell:
    return Cell(text, None, "muted")


def _figure(
    read: Callable[[VariantRecord], int | None], shown: Callable[[int | None], str], absent: str = figures.NOT_MEASURED
) -> Callable[..., Cell]:
    """Makes a column of a figure that there may not be."""

    def make(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
        value = read(record)
        return _unmeasured(absent) if value is None else Cell(shown(value), value)

    return make


def runtime_words(record: VariantRecord) -> str:
    """What runs the service (``Go 1.26``), empty if that is unknown. Reports of earlier versions know a Go version alone."""
    runtime = record.runtime or (record.go_version and RuntimeRecord("Go", record.go_version.removeprefix("go")))
    return figures.runtime(runtime.name, runtime.version) if runtime else ""


def _user(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    if record.image is None or record.image.user is None:
        return _unmeasured()
    user = record.image.user
    return Cell("root", user or "0", "warn") if is_root(user) else Cell(user, user)


def is_root(user: str) -> bool:
    """Of a user as an image names it: ``0:0``, ``root``, or nothing."""
    return user.partition(":")[0] in {"", "0", "root"}


def _build(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    if record.build is None:
        return _unmeasured("not built")
    seconds, beside = record.build.seconds, ", beside others" if record.build.alone is False else ""
    badge = "last build failed" if record.build.failed_at else (record.build.cache or "cache unknown") + beside
    return Cell(figures.seconds(seconds), seconds if record.build.comparable else None, badge=badge)


def _startup(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    """The badge tells what the median is of, ``0.28 to 0.35`` or ``one start``, and if it is not compared with others'."""
    runs, samples = record.checks.get("runs"), record.startup_samples
    if record.startup_seconds is None:
        if record.checks and not runs:
            return _unmeasured(figures.NOTHING)  # nobody asks whether it runs: it is no service
        return _unmeasured(runs.word) if runs and runs.why_not else _unmeasured()
    apart = "; not compared" if record.startup_alone else ""
    badge = f"{min(samples):.2f} to {max(samples):.2f}{apart}" if len(samples) > 1 else "one start"
    return Cell(figures.seconds(record.startup_seconds), record.startup_seconds, badge=badge)


def startup_differs(one: VariantRecord, other: VariantRecord) -> bool | None:
    """Whether two variants start in different times: their ranges do not overlap. None where one of them was started only once, or
    apart from the other: in a run or an engine of its own, whatever else that did falls on one of them alone."""
    left, right = one.startup_samples, other.startup_samples
    if len(left) < 2 or len(right) < 2 or one.startup_alone or other.startup_alone:
        return None
    return max(left) < min(right) or max(right) < min(left)


def _checks(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    cell = checks_cell(record.checks)
    if record.failed is None and (record.build is None or record.build.failed_at is None):
        return cell
    return Cell(f"FAILED: build; before: {cell.text}", cell.sort, "bad")  # the checks are of the image before


def checks_cell(checks: dict[str, CheckRecord]) -> Cell:
    """All checks in a few words: by name those that failed or could not be measured, and how many came out as expected."""
    if all(check.why_not == "not_run" for check in checks.values()):
        return _unmeasured()
    labels = ("FAILED", "measured", "expected failures", "warned", *figures.WHY_NOT.values())
    named = {label: [name for name, check in checks.items() if _labels(check).get(label)] for label in labels}
    judged = [check for check in checks.values() if not check.only_measured]
    fine = sum(check.expected and check.status != "not_measured" for check in judged)
    parts = [f"{label}: {', '.join(names)}" for label, names in named.items() if names]
    if judged:
        parts.insert(bool(named["FAILED"]), f"{fine}/{len(judged)} ok")
    unsure = any(named[label] for label in ("warned", *figures.WHY_NOT.values()))
    tone = "bad" if named["FAILED"] else "warn" if unsure else "good"
    return Cell("; ".join(parts), fine / len(judged) if judged else 1.0, tone)


def _labels(check: CheckRecord) -> dict[str, bool]:
    """Under which words the check's cell names it: one may have failed and be stale."""
    return {
        check.word: check.status == "not_measured",
        "FAILED": not check.expected,
        "measured": check.only_measured,
        "expected failures": check.status == "fail" and check.expected,
        "warned": check.status == "warn",
    }


def _vulnerabilities(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    if record.vulnerabilities.status == "not_scanned" and record.checks and "vulnerabilities" not in record.checks:
        return _unmeasured(NOT_ASKED)
    return vulnerabilities_cell(record.vulnerabilities)


def vulnerabilities_cell(scan: VulnerabilitiesRecord) -> Cell:
    """The total, or which of the two other things it is; partial coverage is told with the number."""
    if scan.status == "not_covered":
        return _unmeasured("not covered")
    if scan.status == "not_scanned" or scan.total is None:
        return Cell("not scanned", None, "muted", badge=scan.coverage.lacks(partly=False))
    return Cell(f"{scan.total:,}", scan.counted, badge=scan.coverage.lacks())


def _attacks(_name: str, record: VariantRecord, _largest: int | None) -> Cell:
    """Stopped of those that the ladder's variants share, in the posture of a plain ``docker run`` unless the badge says another."""
    split = record.attack_split
    if split is None:
        return _unmeasured() if record.attacks else _unmeasured(NOT_ATTACKED)
    return Cell(str(split), split.stopped / split.of, badge="" if split.posture == "default" else split.posture)


COLUMNS: tuple[Column, ...] = (
    Column("variant", "Variant", lambda name, _record, _largest: Cell(name, name), 1, ""),
    Column("size", "Size", _figure(size_of, figures.size), 2, "layers", numeric=True),
    Column("vulnerabilities", "CVEs", _vulnerabilities, 5, "scan", "vulnerabilities", numeric=True),
    Column("attacks", "Attacks stopped", _attacks, 4, "attack", "attacks", numeric=True),
    Column("startup", "Start-up", _startup, 6, "verify --check runs", "startup_seconds", numeric=True),
    Column("build", "Build", _build, 7, "build --force", "build", numeric=True),
    Column("user", "User", _user, 8, "layers"),
    Column("checks", "Checks", _checks, 3, "verify"),
)
"""Those that a decision needs: the first table that people see."""
BRIEF = ("variant", "size", "vulnerabilities", "attacks", "startup", "checks")
"""Those of a comment, which is narrower."""
