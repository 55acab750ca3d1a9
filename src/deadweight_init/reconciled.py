"""Recorded checks after another build of the service answered otherwise: what a build puts into an answer is held no longer.

A version in a title, or one of several values of a JSON document, is what ``-ldflags`` or an argument of the own build put
there. It is no reason to leave the other builds out. The rest of the answer stays held; where none of it would be left, the
check stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from deadweight.records.evidence import Evidence
from deadweight_init.draft import Recorded

LEAST_LETTERS = 4
_VALUE = re.compile(r'(\$[^:]*): expected ("(?:[^"\\]|\\.)*"), got "(?:[^"\\]|\\.)*"')
_TEXT = re.compile(r'body: expected to contain "(?:[^"\\]|\\.)*", got "((?:[^"\\]|\\.)*)')


def reconciled(api: Sequence[Recorded], found: Evidence) -> tuple[Recorded, ...] | None:
    """The checks without what this evidence of theirs has otherwise; None where more than the build's own marks differ."""
    failed = {each["request"]: each["reason"] for each in found.data.get("items") or () if each["status"] != "pass"}
    if not failed:
        return None
    made = [_without(each, failed[f"GET {each.path}"]) if f"GET {each.path}" in failed else each for each in api]
    kept = tuple(each for each in made if each is not None)
    return kept if len(kept) == len(made) else None


def _without(check: Recorded, reason: str) -> Recorded | None:
    if check.text is not None and (said := _TEXT.match(reason)):
        shared = _shared(check.text, said[1].replace('\\"', '"').replace("\\n", "\n"))
        return replace(check, text=shared, differs=True) if shared else None
    if check.json is None:
        return None
    document, places = json.loads(check.json), list(_places(reason))
    if not places or not all(_taken(document, place) for place in places) or not _leaves(document):
        return None
    return replace(check, json=json.dumps(document, ensure_ascii=False), differs=True)


def _shared(wanted: str, got: str) -> str:
    """What both begin, or end, with: whole words of a title, or of the first line."""
    title = re.search(r"<title>[^<\n]*(?:</title>)?", got) if wanted.startswith("<title>") else None
    other = title[0] if title else got.strip().partition("\n")[0]
    first = re.sub(r"[^\s>]*$", "", _beginning(wanted, other)).rstrip()
    last = re.sub(r"^[^\s<]*", "", _beginning(wanted[::-1], other[::-1])[::-1]).lstrip()
    best = max((first, last), key=_letters)
    return best if _letters(best) >= LEAST_LETTERS else ""


def _beginning(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))]


def _letters(text: str) -> int:
    return sum(map(str.isalpha, re.sub(r"</?title>", "", text)))


def _places(reason: str) -> Iterator[list[str]]:
    """The keys that lead to each value that differs; nothing where anything else does, too."""
    said = reason.split("; ")
    matches = [_VALUE.fullmatch(each) for each in said]
    if all(matches):
        yield from (match[1].removeprefix("$.").split(".") for match in matches if match)


def _taken(document: Any, place: list[str]) -> bool:
    """Whether the text at this place could be taken out of the document."""
    for key in place[:-1]:
        document = document.get(key) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(document.get(place[-1], ""), str):
        return False
    document.pop(place[-1], None)  # it is gone already where another build differed in it
    return True


def _leaves(document: Any) -> int:
    if isinstance(document, dict):
        return sum(map(_leaves, document.values()))
    return sum(map(_leaves, document)) if isinstance(document, list) else 1
