"""Judge a pull request: separate its own changes from those of base images and the vulnerability database.

A change is attributed to the base if the base moved and no input of the variant changed; to the database if the image is the same
or already had the package; to a new measurement if the image is otherwise the same; and else to the pull request.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deadweight._log_excerpt import plain
from deadweight._packages import images
from deadweight.report import figures
from deadweight.report.compare import Change, compare, same_image
from deadweight.report.markdown import escape, filled
from deadweight.report.model import LayerRecord, Report, VariantRecord
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
        return tuple(_from_lines(dockerfile))
    if change.kind == "checks" and change.text.startswith("check layers:"):
        brought = _secrets(new)
        known = _secrets(old)
        return tuple(
            f"{_place(name, dockerfile)}{_short(name)} ({path})" for path, name in brought if (path, name) not in known
        )[:NAMED]
    if change.kind not in ("size", "compressed", "layers") or old.image is None or new.image is None:
        return ()
    deltas = _by_instruction(new.image.layers)
    for name, size in _by_instruction(old.image.layers).items():
        deltas[name] = deltas.get(name, 0) - size
    heavy = sorted(deltas.items(), key=lambda item: -abs(item[1]))
    return tuple(
        f"{_place(name, dockerfile)}{_short(name)} ({figures.signed_size(delta)})"
        for name, delta in heavy[:NAMED]
        if abs(delta) >= WORTH_BYTES and name
    )


def _secrets(record: VariantRecord) -> list[tuple[str, str]]:
    """Paths of secrets that count for a gate, each with the instruction that brought it."""
    if record.layers is None:
        return []
    found: list[tuple[str, str | None, images.SecretMark | images.SecretFinding]] = [
        *((each.path or each.where, each.added_by, each) for each in record.layers.secrets),
        *((file.path, file.added_by, mark) for file in record.layers.hidden for mark in file.secrets),
    ]
    counted = [(path, by) for path, by, each in found if each.allowed is None and each.confidence != "low"]
    return list(dict.fromkeys((path, _plain(by or "")) for path, by in counted))


def _by_instruction(layers: tuple[LayerRecord, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for layer in layers:
        name = _plain(layer.instruction or "")
        found[name] = found.get(name, 0) + layer.size_bytes
    return found


def _plain(instruction: str) -> str:
    """History's words as the Dockerfile has them: BuildKit adds the shell, build arguments and a comment."""
    text = " ".join(instruction.removesuffix("# buildkit").split())
    return _FLAGS.sub("", _SHELL.sub("RUN ", text))


def _place(name: str, dockerfile: tuple[str, str] | None) -> str:
    if dockerfile is None:
        return ""
    file, text = dockerfile
    for each in instructions(text):
        word, _, rest = " ".join(each.text.split()).partition(" ")
        if _FLAGS.sub("", f"{word.upper()} {rest}") == name:
            return f"{file}:{each.line}: "
    return ""


def _from_lines(dockerfile: tuple[str, str]) -> list[str]:
    file, text = dockerfile
    found = [
        f"{file}:{each.line}: {_short(' '.join(each.text.split()))}"
        for each in instructions(text)
        if each.word == "FROM"
    ]
    return found[-1:]


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"


# Sizes before and after as a picture that a comment, a log and a terminal all show: bars of letters.
WIDTH = 40
SHOWN_BARS = 8
FULL, SOME = "█", "▏"


@dataclass(frozen=True)
class Sizes:
    """What a variant's image weighed and weighs now, in bytes."""

    variant: str
    before: int
    after: int


def size_bars(sizes: Sequence[Sizes]) -> str:
    """Two lines for each variant, those that changed most first; all bars have one scale."""
    chosen = sorted(sizes, key=lambda each: -abs(each.after - each.before))[:SHOWN_BARS]
    most = max((max(each.before, each.after) for each in chosen), default=0) or 1
    wide = max((len(each.variant) for each in chosen), default=0)
    lines = []
    for each in chosen:
        for name, word, size in ((each.variant, "before", each.before), ("", "now", each.after)):
            lines.append(f"{name:<{wide}}  {word:<6}  {_bar(size, most)} {figures.size(size)}")
    return "\n".join(lines)


def _bar(size: int, most: int) -> str:
    return FULL * round(WIDTH * size / most) or SOME


Level = Literal["fine", "look", "stop"]
Cause = Literal["change", "base", "database", "measuring"]
SHOWN = (60, 20, 5)
"""Lines of a section, fewer where that gets too long: a comment is not the report."""

SECTIONS: tuple[tuple[str, Cause], ...] = (
    ("Changes of base images since then", "base"),
    ("New entries of the vulnerability database since then", "database"),
    ("Different measurements with the same inputs", "measuring"),
)
MAX_BYTES, MAX_LINE = 60_000, 400
"""GitHub takes 65,536 characters."""

MARKER = "<!-- deadweight verdict: "


@dataclass(frozen=True)
class Item:
    """One change, whose doing it is, and the Dockerfile lines or packages that did it."""

    change: Change
    cause: Cause
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """``unmeasured`` and ``notes`` as in ``Comparison``; ``again`` are commands that repeat this by hand. ``sizes`` are of the
    images that this change made larger or smaller."""

    suite: str
    items: tuple[Item, ...]
    variants: int
    unmeasured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    sizes: tuple[Sizes, ...] = ()

    def of(self, cause: Cause) -> tuple[Item, ...]:
        """Regressions first."""
        return tuple(
            sorted((each for each in self.items if each.cause == cause), key=lambda one: not one.change.regression)
        )

    @property
    def level(self) -> Level:
        """``stop``: this change made something worse beyond the ratchet. ``look``: something is worse, or no longer measured."""
        mine = self.of("change")
        if any(each.change.regression for each in mine):
            return "stop"
        worse = any(each.change.direction == "worse" for each in mine)
        return "look" if worse or self.unmeasured or any(each.change.regression for each in self.items) else "fine"

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
        old = replace(old, variants={name: each for name, each in old.variants.items() if name in chosen})
        new = replace(new, variants={name: each for name, each in new.variants.items() if name in chosen})
    found = compare(old, new, thresholds)
    items, sizes = [], []
    for change in found.changes:
        before, after = old.variants.get(change.variant), new.variants.get(change.variant)
        cause = _cause(change, before, after, touched)
        file = (dockerfiles or {}).get(change.variant)
        by = culprits(change, before, after, file) if cause == "change" and before and after else ()
        items.append(Item(change, cause, by))
        if cause == "change" and change.kind == "size" and (size := _sizes(change.variant, before, after)):
            sizes.append(size)
    return Verdict(new.suite, tuple(items), len(new.variants), found.unmeasured, found.notes, again, tuple(sizes))


def _sizes(name: str, old: VariantRecord | None, new: VariantRecord | None) -> Sizes | None:
    before, after = (each.image.size_bytes if each and each.image else None for each in (old, new))
    return Sizes(name, before, after) if before is not None and after is not None else None


def _cause(
    change: Change, old: VariantRecord | None, new: VariantRecord | None, touched: Mapping[str, str] | None
) -> Cause:
    if old is None or new is None or change.kind in ("variant", "build"):
        return "change"
    if change.kind == "vulnerabilities" and (change.text.startswith("newly known") or same_image(old, new)):
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
    return before.digest is not None and after.digest is not None and before.digest != after.digest


def first_line(found: Verdict) -> str:
    """What to do, and why, in one line without markup."""
    mine = found.of("change")
    bad = sum(each.change.regression for each in mine)
    names = len({each.change.variant for each in mine})
    where = f"in {names} of {figures.plural(found.variants, 'variant')}"
    others = Counter(each.cause for each in found.items if each.cause in ("base", "database"))
    sources = {"base": "base images", "database": "vulnerability database"}
    aside = "".join(f"; {figures.plural(n, 'change')} from the {sources[cause]}" for cause, n in sorted(others.items()))
    lost = f"; {len(found.unmeasured)} no longer measured" if found.unmeasured else ""
    if found.level == "stop":
        return f"Stop: this change makes {figures.plural(bad, 'regression')} {where}{lost}{aside}."
    if found.level == "look":
        worse = sum(each.change.direction == "worse" for each in mine)
        told = (
            f"this change makes {figures.plural(worse, 'figure')} worse {where}"
            if worse
            else "no regression by this change"
        )
        return f"Please review: {told}{lost}{aside}."
    if mine:
        return f"Fine: {figures.plural(len(mine), 'change')} {where}, none of them worse{aside}."
    return f"Fine: this change changes no image beyond noise{aside}."


def markdown(found: Verdict, run: int = 0) -> str:
    """The comment: the marker that it is found by, the line that decides, what this change did, and the rest folded."""
    sections = {title: found.of(cause) for title, cause in SECTIONS}
    for shown in (*SHOWN, 1):
        text = plain(
            filled(
                "pull_request.md.j2",
                marker=marker(found.suite, run),
                first=first_line(found),
                found=found,
                sections=sections,
                bars=size_bars(found.sizes),
                shown=shown,
                safe=_safe,
            )
        )
        if len(text.encode()) <= MAX_BYTES:
            break
    return text


def marker(suite: str, run: int = 0) -> str:
    """Finds the comment of this suite again; ``run`` tells an older run not to write over a newer one's."""
    return f"{MARKER}{suite} run {run} -->"


def _safe(text: str) -> str:
    """Names of packages and instructions are others' words: no markup, and nobody is called by them (``@babel/core``)."""
    short = text if len(text) <= MAX_LINE else f"{text[: MAX_LINE - 1]}…"
    return escape(short).replace("@", "@<!-- -->")
