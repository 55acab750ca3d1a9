"""Print an image's layers and findings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadweight_images.archive.model import format_bytes, printable
from deadweight_images.errors import CheckFailed, wording
from deadweight_images.findings import MINE, format_place

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight_images.findings import HiddenFile, LayersReport, PathFigure, SecretFinding


MOST = 20
HISTORY = "history["


def print_layers(report: LayersReport, title: str, out: Console) -> None:
    """Print layers, hidden files, secrets, and what stands about. Secrets are redacted."""
    _say(out, f"{title}: {report.config_digest}")
    overwritten = format_bytes(report.overwritten_bytes)
    files = "1 file or link" if report.files == 1 else f"{report.files:,} files and links"
    _say(
        out,
        f"{format_bytes(report.size_bytes)} in {_counted(len(report.layers), 'layer')}, {files}; hidden "
        f"{format_bytes(report.hidden_bytes)} in {_counted(report.hidden_files, 'file')} (overwritten {overwritten}); "
        f"stored twice {format_bytes(report.duplicated_bytes)}; user {report.user or 'root'}",
    )
    for note in report.notes:
        _say(out, f"note: {note}", "bold")
    _layers(report, out)
    _hidden(report, out)
    _secrets(report, out)
    for name, things in (
        ("set-uid files", report.setuid),
        ("shells", report.shells),
        ("package managers", report.package_managers),
    ):
        _say(out, f"{name}: {_paths(things)}")
    _table(
        out,
        "heaviest",
        ((format_bytes(entry.size_bytes), entry.path) for entry in report.heaviest[:10] if entry.kind == "file"),
    )
    _table(out, "duplicates", _copies(report))
    packages = sorted(report.packages, key=lambda package: -package.size_bytes)
    _table(out, "packages", ((format_bytes(p.size_bytes), f"{p.kind} {p.name} {p.version}") for p in packages[:10]))
    for item in report.skipped[:MOST]:
        place = format_place(item.path or item.layer or "", item.inner)
        _say(out, f"{'… ' if item.was_looked_at else 'not scanned: '}{place}{': ' if place else ''}{item.reason}")
    if len(report.skipped) > MOST:
        _say(out, f"not scanned: … and {len(report.skipped) - MOST} more (--json has all)")


def raise_for_findings(report: LayersReport, title: str, *, allow_unread: bool = False) -> None:
    """Raises CheckFailed for secrets, and for what could not be looked at."""
    if count := report.counted_secrets:
        raise CheckFailed(wording("secrets.one" if count == 1 else "secrets.several", secrets=count, what=title))
    if (count := sum(report.unread.values())) and not allow_unread:
        raise CheckFailed(wording("secrets.unread", what=title, places=count))


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _say(out: Console, text: str, style: str = "") -> None:
    """One line. Most of it is text of an image: whoever made that must not command the terminal."""
    out.print(printable(text), markup=False, style=style)


def _layers(report: LayersReport, out: Console) -> None:
    from rich.table import Table

    table = Table("", "size", "compressed", "files", "hidden", "instruction", box=None, padding=(0, 1))
    for number, layer in enumerate(report.layers, 1):
        packed = format_bytes(layer.compressed_bytes) if layer.compressed_bytes is not None else "not measured"
        hidden = format_bytes(layer.hidden_bytes) if layer.hidden_bytes else ""
        text = printable(_short(layer.instruction or "(no history)"))
        table.add_row(str(number), format_bytes(layer.size_bytes), packed, str(layer.files), hidden, text)
    out.print(table, markup=False)


def _hidden(report: LayersReport, out: Console) -> None:
    with_secrets = [file for file in report.hidden if file.secrets]
    others = [file for file in report.hidden if not file.secrets]
    for file in (*with_secrets, *others[: max(0, MOST - len(with_secrets))]):
        text = f"hidden: {file.path} ({format_bytes(file.size_bytes)}, {file.how})"
        _say(out, text, "bold" if file.secrets else "")
        for line in _story(file):
            _say(out, f"    {line}")
    left = len(report.hidden) - min(len(report.hidden), max(MOST, len(with_secrets)))
    if left:
        _say(out, f"… and {left} more hidden files (--json has all)")


def _story(file: HiddenFile) -> Iterator[str]:
    yield f"added by layer {file.index + 1}: {_short(file.added_by or 'unknown')}"
    yield f"hidden by layer {file.hidden_index + 1}: {_short(file.hidden_by or 'unknown')}"
    for mark in file.secrets:
        allowed = f" (allowed: {mark.allowed})" if mark.allowed else ""
        inside = f" in {mark.inner}" if mark.inner else ""
        yield f"SECRET {mark.rule}{inside}: {mark.redacted} fingerprint {mark.fingerprint}{allowed}"


def _secrets(report: LayersReport, out: Console) -> None:
    numbers = {layer.diff_id: number for number, layer in enumerate(report.layers, 1)}
    for secret in report.secrets:
        place = format_place(secret.path or _place(secret, numbers), secret.inner)
        allowed = f" (allowed: {secret.allowed})" if secret.allowed else ""
        rank = "SECRET" if secret.confidence != "low" else "possible secret:"
        of = "" if secret.owner == MINE else f" (of {secret.owner})"
        text = f"{rank} {secret.rule} in {place}: {secret.redacted} fingerprint {secret.fingerprint}{of}{allowed}"
        _say(out, text, "bold red" if secret.confidence != "low" else "")
        if secret.added_by and not secret.where.startswith(HISTORY):
            _say(out, f"    added by {_short(secret.added_by)}")


def _place(secret: SecretFinding, numbers: dict[str, int]) -> str:
    """Where a secret of the config stands, as one says it: an instruction by its layer and its text."""
    if not secret.where.startswith(HISTORY) or not secret.added_by:
        return secret.where
    number = numbers.get(secret.layer or "")
    whose = f"layer {number}'s instruction" if number else "an instruction that made no layer"
    return f"{whose} ({_short(secret.added_by)})"


def _table(out: Console, title: str, rows: Iterator[tuple[str, str]]) -> None:
    for number, (figure, text) in enumerate(rows):
        _say(out, f"{title if number == 0 else '':<10}{figure:>10}  {text}")


def _copies(report: LayersReport) -> Iterator[tuple[str, str]]:
    """The contents that waste most by being stored more than once: what a copy weighs, and where the first few are."""
    for _, group in itertools.islice(itertools.groupby(report.duplicates, key=lambda copy: copy.group), 5):
        first, *others = group
        places = [f"{copy.path} (layer {copy.index + 1})" for copy in (first, *others[:2])]
        more = first.copies - len(places)
        yield format_bytes(first.size_bytes), ", ".join(places) + (f" and {more} more" if more else "")


def _paths(things: tuple[PathFigure, ...]) -> str:
    shown = ", ".join(
        thing.described + (" (hidden by the specification only)" if thing.why else "") for thing in things[:8]
    )
    return f"{shown}{f' and {len(things) - 8} more' if len(things) > 8 else ''}" if things else "none"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 110 else f"{line[:107]}…"
