"""Which line of a Dockerfile made a difference, told by the layers' history."""

from __future__ import annotations

import re

from deadweight._packages import images
from deadweight.report import figures
from deadweight.report.changes import Change
from deadweight.report.model import LayerRecord, VariantRecord
from deadweight.sources.dockerfile_lines import instructions

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
