"""Names and places as they may be printed and published: a secret in a path or a user is cut like one in an instruction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from deadweight_images.layers.gaps import candidates
from deadweight_images.secrets.config import shown_text

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport
    from deadweight_images.secrets.scanner import Scanner

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
        key: tuple(_cut(item, fields, cuts) for item in getattr(report, key)) for key, fields in _NAMES.items()
    }
    changed["hidden"] = tuple(
        replace(file, secrets=tuple(_cut(mark, ("inner",), cuts) for mark in file.secrets))
        for file in changed["hidden"]
    )
    return replace(report, user=user, **changed)


def published(texts: Iterable[str], scanner: Scanner) -> dict[str, str]:
    """Those of many texts that hold a secret, each with what may be published of it. All are looked at in one pass."""
    forms = [(form, text) for text in texts for form in dict.fromkeys((text, _as_url(text)))]
    places = candidates([form.encode("utf-8", "surrogateescape") for form, _text in forms], scanner)
    found = {
        text: shown_text(text, scanner, _as_url(text)) for text in dict.fromkeys(forms[place][1] for place in places)
    }
    return {text: shown for text, shown in found.items() if shown != text}


def _as_url(path: str) -> str:
    """A path as it was before it was made clean: the two slashes of a URL became one, and no rule would know it."""
    return _ONE_SLASH.sub("://", path)


def _names(report: LayersReport) -> Iterator[str]:
    for key, fields in _NAMES.items():
        for item in getattr(report, key):
            yield from (text for field in fields if (text := getattr(item, field)))
    for file in report.hidden:
        yield from (mark.inner for mark in file.secrets)


def _cut(item: _T, fields: tuple[str, ...], cuts: Mapping[str, str]) -> _T:
    changed = {field: cuts[text] for field in fields if (text := getattr(item, field)) in cuts}
    return replace(item, **changed) if changed else item  # type: ignore[type-var]
