"""Scan an image's config (environment, labels, entry point, history) for secrets, and redact texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from deadweight_images.archive.documents import parsed
from deadweight_images.archive.model import Image
from deadweight_images.errors import wording
from deadweight_images.findings import SecretFinding, SkippedItem
from deadweight_images.layers.gaps import candidates
from deadweight_images.secrets.config_text import MOST, scan_text
from deadweight_images.secrets.model import Budget
from deadweight_images.secrets.text_encodings import base64_end

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport
    from deadweight_images.secrets.model import Match
    from deadweight_images.secrets.scanner import Scanner


_MAX_TEXTS = 20_000
_SHOWN = 20  # bytes of an instruction that is all secrets
_DECODED = 256 << 20  # bytes, of all texts together: each may hold a bomb


def config_secrets(image: Image, scanner: Scanner) -> tuple[list[SecretFinding], list[SkippedItem]]:
    """What a scanner finds in the image's config, each with the place where it stands."""
    findings: dict[tuple[str, str, str], SecretFinding] = {}
    skipped: list[SkippedItem] = []
    budget = Budget(_DECODED, _MAX_TEXTS)
    made = _layers_by_step(image)
    for number, (where, text, kind) in enumerate(_texts(image)):
        many = "secrets" if len(findings) >= MOST else "texts" if number >= _MAX_TEXTS else ""
        if many:
            most = MOST if many == "secrets" else _MAX_TEXTS
            reason = wording("skip.config_too_long", most=most, what=many)
            skipped.append(SkippedItem(None, None, "", reason, len(image.raw_config), True))
            break
        scan = scan_text(scanner, where=where, text=text, kind=kind, within=budget)
        shown = ""
        if scan.matches:  # a label's key stands in both
            data = text.encode("utf-8", "surrogateescape")
            shown = _cut(data, _cuts(data, scan.matches))
            where = _cut(where.encode("utf-8", "surrogateescape"), _cuts(data, scan.matches))
        for match in scan.matches:
            finding = SecretFinding(
                rule=match.rule,
                fingerprint=match.fingerprint,
                where=where,
                layer=made.get(where),
                added_by=shown if kind == "history" else None,
                description=match.description,
                redacted=match.redacted,
                inner=match.inner,
                line=match.line,
            )
            findings.setdefault((match.rule, match.fingerprint, where), finding)
        for item in scan.skipped:
            skipped.append(SkippedItem(None, None, item.inner, f"{where}: {item.reason}", item.size_bytes, True))
    return list(findings.values()), skipped


def _layers_by_step(image: Image) -> dict[str, str]:
    """Which layer (by its diff id) each instruction made; nothing where the history does not tell of just these layers."""
    steps = [f"history[{number}].created_by" for number, step in enumerate(image.config.history) if not step.empty]
    if len(steps) != len(image.layers):
        return {}
    return {step: layer.diff_id for step, layer in zip(steps, image.layers, strict=True)}


def shown_instruction(text: str, scanner: Scanner, within: Budget | None = None) -> str:
    """An instruction as it may be printed and published: each secret that is found in it cut down to its redacted form.

    Of an encoded secret the whole encoded text is cut: whoever can read it can decode it.
    """
    data = text.encode("utf-8", "surrogateescape")
    scan = scan_text(scanner, where="", text=text, kind="history", within=within)
    if len(scan.matches) >= MOST:
        return f"{_cut(data[:_SHOWN], _cuts(data, scan.matches))}… ({len(data)} bytes with {MOST} secrets and more)"
    return _cut(data, _cuts(data, scan.matches))


def shown_text(text: str, scanner: Scanner, *forms: str) -> str:
    """Any other text of an image, in the same way; what other ``forms`` of it show to be a secret is cut out of it too."""
    cuts: dict[bytes, bytes] = {}
    for form in (text, *forms):
        matches = scan_text(scanner, where="", text=form, kind="text").matches
        cuts |= _cuts(form.encode("utf-8", "surrogateescape"), matches)
    return _cut(text.encode("utf-8", "surrogateescape"), cuts)


def shown_arguments(arguments: Sequence[str], scanner: Scanner) -> tuple[str, ...]:
    """The arguments of an entry point or command as they may be published; ``--password`` names the argument behind it."""
    cuts: dict[bytes, bytes] = {}
    for text in _with_flags(arguments):
        matches = scan_text(scanner, where="", text=text, kind="text").matches
        cuts |= _cuts(text.encode("utf-8", "surrogateescape"), matches)
    return tuple(_cut(argument.encode("utf-8", "surrogateescape"), cuts) for argument in arguments)


def _cuts(data: bytes, matches: Iterable[Match]) -> dict[bytes, bytes]:
    """What is to be cut out of a text, and what is to stand there instead."""
    cuts: dict[bytes, bytes] = {}
    for match in matches:
        if not match.inner:
            start, stop, instead = match.offset, match.offset + match.length, match.redacted
        else:
            kind, _, place = match.inner.partition("!")[0].partition("@")
            start = int(place) if place.isdigit() else 0
            stop = base64_end(data, start) if kind == "base64" else len(data)
            instead = f"… ({stop - start} bytes, {kind}, with a secret in it)"
        if stop > start:
            cuts[data[start:stop]] = instead.encode()
    return cuts


def _cut(data: bytes, cuts: Mapping[bytes, bytes]) -> str:
    for secret in sorted(cuts, key=len, reverse=True):  # each is told once, wherever else it stands
        data = data.replace(secret, cuts[secret])
    return data.decode("utf-8", "surrogateescape")


def _with_flags(arguments: Sequence[str]) -> Iterator[str]:
    """Each argument, with the flag in front of it that says what it is (``--password``). ``-p`` says so of some programs only."""
    for number, argument in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        flag = before.startswith("-") and not {"=", " "} & set(before)
        text = f"{before} {argument}" if flag else argument
        program = arguments[: min(2, number - flag)] if text.startswith("-p") else ()
        yield " ".join((*program, text))


def with_shown_instructions(image: Image, scanner: Scanner) -> Image:
    """The same image; what its layers say of their instructions may be printed. The config stays as it is."""
    budget = Budget(_DECODED, _MAX_TEXTS)
    shown = [layer.instruction and shown_instruction(layer.instruction, scanner, budget) for layer in image.layers]
    layers = zip(image.layers, shown, strict=True)
    return replace(image, layers=tuple(replace(layer, instruction=text) for layer, text in layers))


def _texts(image: Image) -> Iterator[tuple[str, str, str]]:
    """Every text of the config: those whose form is known first, then all others by their place in the JSON."""
    config = image.config
    for number, text in enumerate(config.env):
        yield f"config.Env[{number}]", text, "env"
    for key, value in config.labels:
        yield f"config.Labels[{key}]", f"{key}={value}", "env"
        if "=" in key:
            yield f"config.Labels[{key}]", key, "env"
    for number, step in enumerate(config.history):
        yield f"history[{number}].created_by", step.instruction, "history"
        if step.comment:
            yield f"history[{number}].comment", step.comment, "text"
    for where, text in _others(parsed(image.raw_config, "the config"), ""):
        yield where, text, "text"


_TAKEN = re.compile(r"config\.Env|config\.Labels|rootfs|history\[\d+\]\.(?:created_by|comment)")


def _others(value: object, place: str) -> Iterator[tuple[str, str]]:
    if _TAKEN.fullmatch(place):
        return
    if isinstance(value, str):
        if len(value) >= 8:
            yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if len(key) >= 8 and not key.replace("_", "").isalpha():
                yield place, key
            yield from _others(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        texts = _with_flags([inner if isinstance(inner, str) else "" for inner in value])
        for number, (inner, text) in enumerate(zip(value, texts, strict=True)):
            yield from _others(text if isinstance(inner, str) else inner, f"{place}[{number}]")


# Names and places as they may be printed and published: a secret in a path or a user is cut like one in an instruction.

_T = TypeVar("_T")
_ONE_SLASH = re.compile(r"(?<=[A-Za-z0-9]):/+")
# The fields of the report's items in which names of the image stand.
_NAMES = {
    "hidden": ("path",),
    "secrets": ("path", "where", "inner"),
    "setuid": ("path", "target"),
    "shells": ("path", "target"),
    "package_managers": ("path", "target"),
    "packages": ("name", "version", "path"),
    "heaviest": ("path", "target"),
    "folders": ("folder",),
    "skipped": ("path", "inner", "reason"),
    "duplicates": ("path",),
}


def withheld(report: LayersReport, scanner: Scanner) -> LayersReport:
    """The same report without secrets in its names."""
    user = shown_text(report.user, scanner)
    cuts = published(dict.fromkeys(_names(report)), scanner)
    if not cuts:
        return replace(report, user=user)
    changed: dict[str, Any] = {
        key: tuple(_with_cuts(item, fields, cuts) for item in getattr(report, key)) for key, fields in _NAMES.items()
    }
    changed["hidden"] = tuple(
        replace(file, secrets=tuple(_with_cuts(mark, ("inner",), cuts) for mark in file.secrets))
        for file in changed["hidden"]
    )
    return replace(report, user=user, **changed)


def published(texts: Iterable[str], scanner: Scanner) -> dict[str, str]:
    """Those of many texts that hold a secret, each with what may be published of it. All are looked at in one pass."""
    forms = [(form, text) for text in texts for form in dict.fromkeys((text, _as_url(text)))]
    places = candidates([form.encode("utf-8", "surrogateescape") for form, _text in forms], scanner)
    public = {
        text: shown_text(text, scanner, _as_url(text)) for text in dict.fromkeys(forms[place][1] for place in places)
    }
    return {text: shown for text, shown in public.items() if shown != text}


def _as_url(path: str) -> str:
    """A path as it was before it was made clean: the two slashes of a URL became one, and no rule would know it."""
    return _ONE_SLASH.sub("://", path)


def _names(report: LayersReport) -> Iterator[str]:
    for key, fields in _NAMES.items():
        for item in getattr(report, key):
            yield from (text for field in fields if (text := getattr(item, field)))
    for file in report.hidden:
        yield from (mark.inner for mark in file.secrets)


def _with_cuts(item: _T, fields: tuple[str, ...], cuts: Mapping[str, str]) -> _T:
    changed = {field: cuts[text] for field in fields if (text := getattr(item, field)) in cuts}
    return replace(item, **changed) if changed else item  # type: ignore[type-var]
