"""Judge a pull request: separate its own changes from those of base images and the vulnerability database.

A change is attributed to the base if the base moved and no input of the variant changed; to the database if the image is the same
or already had the package; to a new measurement if the image is otherwise the same; and else to the pull request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from deadweight._errors import wording
from deadweight._log_excerpt import plain
from deadweight._packages import images
from deadweight.report import charts, figures
from deadweight.report.compare import Change, compare, same_image
from deadweight.report.markdown import render_template
from deadweight.report.model import Report, VariantRecord
from deadweight.report.table import size_of
from deadweight.sources.adapt_dockerfile import instructions
from deadweight.suite.model import ReportThresholds

# Which line of a Dockerfile made a difference, told by the layers' history.

NAMED = 3
WORTH_BYTES = 4096
"""Layers that differ by less did not make a difference that anybody looks for."""

_SHELL = re.compile(r"^RUN (?:\|\d+ .*?)?/bin/\w*sh -c ")
_FLAGS = re.compile(r"(?<=\s)--[a-z]+(?:=\S+)?\s+")


def culprits(
    change: Change, old: VariantRecord, new: VariantRecord, dockerfile: tuple[str, str] | None
) -> tuple[str, ...]:
    """The instructions whose layers grew or shrank most, or that brought a secret; with file and line as far as they are known."""
    if change.kind == "base" and dockerfile is not None:
        file, text = dockerfile
        stages = [step for step in instructions(text) if step.word == "FROM"]
        return tuple(f"{file}:{step.line}: {_short(' '.join(step.text.split()))}" for step in stages[-1:])
    if change.kind == "checks" and change.about == "layers":
        known = _secrets(old)
        brought = [secret for secret in _secrets(new) if secret not in known]
        return tuple(f"{_place(step, dockerfile)}{_short(step)} ({path})" for path, step in brought)[:NAMED]
    if change.kind not in ("size", "compressed", "layers") or old.image is None or new.image is None:
        return ()
    growth = Counter[str]()
    for sign, image in ((1, new.image), (-1, old.image)):
        for layer in image.layers:
            growth[_plain(layer.instruction or "")] += sign * layer.size_bytes
    heavy = sorted(growth.items(), key=lambda item: -abs(item[1]))[:NAMED]
    return tuple(
        f"{_place(step, dockerfile)}{_short(step)} ({figures.signed_size(delta)})"
        for step, delta in heavy
        if abs(delta) >= WORTH_BYTES and step
    )


def _secrets(record: VariantRecord) -> list[tuple[str, str]]:
    """Paths of secrets that count for a gate, each with the instruction that brought it."""
    if record.layers is None:
        return []
    secrets: list[tuple[str, str | None, images.SecretMark | images.SecretFinding]] = [
        *((secret.path or secret.where, secret.added_by, secret) for secret in record.layers.secrets),
        *((file.path, file.added_by, mark) for file in record.layers.hidden for mark in file.secrets),
    ]
    counted = [(path, step) for path, step, mark in secrets if mark.allowed is None and mark.confidence != "low"]
    return list(dict.fromkeys((path, _plain(step or "")) for path, step in counted))


def _plain(instruction: str) -> str:
    """History's words as the Dockerfile has them: BuildKit adds the shell, build arguments and a comment."""
    text = " ".join(instruction.removesuffix("# buildkit").split())
    return _FLAGS.sub("", _SHELL.sub("RUN ", text))


def _place(name: str, dockerfile: tuple[str, str] | None) -> str:
    file, text = dockerfile or ("", "")
    for step in instructions(text):
        word, _, rest = " ".join(step.text.split()).partition(" ")
        if _FLAGS.sub("", f"{word.upper()} {rest}") == name:
            return f"{file}:{step.line}: "
    return ""


def _short(text: str) -> str:
    return figures.cut(text, 100)


SHOWN_BARS = 8

Level = Literal["fine", "look", "stop"]
Cause = Literal["change", "base", "database", "measuring"]
SHOWN = (60, 20, 5, 1)
"""Lines of a section, fewer where that gets too long: a comment is not the report."""

SECTIONS: tuple[tuple[str, Cause], ...] = (
    ("Changes of base images since then", "base"),
    ("New entries of the vulnerability database since then", "database"),
    ("Different measurements with the same inputs", "measuring"),
)
MAX_BYTES = 60_000
"""GitHub takes 65,536 characters."""

MARKER = "<!-- deadweight verdict: "
"""With the suite's name it finds the comment again; ``run`` after it tells an older run not to write over a newer one's."""


@dataclass(frozen=True)
class Item:
    """One change, whose doing it is, and the Dockerfile lines or packages that did it."""

    change: Change
    cause: Cause
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """``unmeasured`` and ``notes`` as in ``Comparison``; ``again`` are commands that repeat this by hand. ``sizes`` are those of
    images that this change made larger or smaller: variant, bytes before and now."""

    suite: str
    items: tuple[Item, ...]
    variants: int
    unmeasured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    sizes: tuple[tuple[str, int, int], ...] = ()

    def of(self, cause: Cause) -> tuple[Item, ...]:
        """Regressions first."""
        items = (item for item in self.items if item.cause == cause)
        return tuple(sorted(items, key=lambda item: not item.change.regression))

    @property
    def level(self) -> Level:
        """``stop``: this change made something worse beyond the ratchet. ``look``: something is worse, or not measured."""
        mine = [item.change for item in self.of("change")]
        if any(change.regression for change in mine):
            return "stop"
        worse = any(change.direction == "worse" for change in mine)
        return "look" if worse or self.unmeasured or any(item.change.regression for item in self.items) else "fine"

    @property
    def silent(self) -> bool:
        """Whether there is nothing to tell anybody."""
        return not self.items and not self.unmeasured


def verdict(
    old: Report,
    new: Report,
    thresholds: ReportThresholds | None = None,
    *,
    touched: Mapping[str, str] | None = None,
    dockerfiles: Mapping[str, tuple[str, str]] | None = None,
    again: tuple[str, ...] = (),
) -> Verdict:
    """Judge a change. ``touched`` are the variants whose inputs it changed (None: not known, so all count). ``dockerfiles`` maps
    variants to the name and text of their Dockerfile. Variants that the new report is not for (``scope``) are left out of both.
    """
    if new.scope is not None:
        chosen = set(new.scope.chosen)
        old, new = (
            replace(report, variants={name: record for name, record in report.variants.items() if name in chosen})
            for report in (old, new)
        )
    compared = compare(old, new, thresholds)
    items, sizes = [], []
    for change in compared.changes:
        before, after = old.variants.get(change.variant), new.variants.get(change.variant)
        cause = _cause(change, before, after, touched)
        own = cause == "change" and before is not None and after is not None
        file = (dockerfiles or {}).get(change.variant)
        items.append(Item(change, cause, culprits(change, before, after, file) if own and before and after else ()))
        if own and change.kind == "size":
            was, now = (size_of(record) for record in (before, after) if record)
            sizes.append((change.variant, was or 0, now or 0))
    return Verdict(new.suite, tuple(items), len(new.variants), compared.unmeasured, compared.notes, again, tuple(sizes))


def _cause(
    change: Change, old: VariantRecord | None, new: VariantRecord | None, touched: Mapping[str, str] | None
) -> Cause:
    if old is None or new is None or change.kind in ("variant", "build"):
        return "change"
    if change.kind == "vulnerabilities" and (change.about == "database" or same_image(old, new)):
        return "database"
    is_touched = touched is None or change.variant in touched
    if _base_moved(old, new) and (change.kind == "base" or not is_touched):
        return "base"
    if same_image(old, new) and not (is_touched and change.kind in ("checks", "attacks")):
        return "measuring"
    return "change" if is_touched else "measuring"


def _base_moved(old: VariantRecord, new: VariantRecord) -> bool:
    """The same reference under another digest."""
    before, after = old.base, new.base
    if before is None or after is None or before.reference != after.reference:
        return False
    return None not in (before.digest, after.digest) and before.digest != after.digest


def first_line(verdict: Verdict) -> images.Message:
    """What to do, and why, in one line without markup."""
    mine = [item.change for item in verdict.of("change")]
    where = f"in {len({change.variant for change in mine})} of {figures.plural(verdict.variants, 'variant')}"
    rest = f"; {len(verdict.unmeasured)} not measured" if verdict.unmeasured else ""
    sources: dict[Cause, str] = {"base": "base images", "database": "vulnerability database"}
    for cause, source in sources.items():
        if count := len(verdict.of(cause)):
            rest += f"; {figures.plural(count, 'change')} from the {source}"
    bad, worse = sum(change.regression for change in mine), sum(change.direction == "worse" for change in mine)
    if verdict.level == "stop":
        return wording("report.stop", regressions=figures.plural(bad, "regression"), where=where, rest=rest)
    if verdict.level == "look" and worse:
        return wording("report.look_worse", figures=figures.plural(worse, "figure"), where=where, rest=rest)
    if verdict.level == "look":
        return wording("report.look", rest=rest)
    if mine:
        return wording("report.fine_better", changes=figures.plural(len(mine), "change"), where=where, rest=rest)
    return wording("report.fine", rest=rest)


def markdown(verdict: Verdict, run: int = 0) -> str:
    """The comment: the marker that it is found by, the line that decides, what this change did, and the rest folded."""
    parts = {
        "marker": f"{MARKER}{verdict.suite} run {run} -->",
        "first": first_line(verdict),
        "found": verdict,
        "sections": {title: verdict.of(cause) for title, cause in SECTIONS},
        "chart": charts.changed(verdict.sizes, SHOWN_BARS),
    }
    for shown in SHOWN:
        text = plain(render_template("pull_request.md.j2", shown=shown, **parts))
        if len(text.encode()) <= MAX_BYTES:
            break
    return text
