"""Turn answers that several containers gave alike into what is expected of others.

What differs between builds or containers that answer alike (versions, times, host names) is left out.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from deadweight.engine.http import Answer
from deadweight.suite.checks import HttpExpect

MOST_JSON = 300
MOST_TEXT = 60
_OF_THE_BUILD = re.compile(
    r"version|revision|commit|\bgit|sha\d*$|build|built|compile|hostname|platform|arch$|^os$|^go(?:os)?$|^node$|python|^java|jdk|jvm"
    r"|runtime|kernel|uptime|memory|^cpus?$|^pid$|^uid$|^cwd$",
    re.IGNORECASE,
)
"""Names of values that a build or a base puts in: they differ between variants that answer alike."""


def media_type(answer: Answer) -> str:
    """Of its body; empty for what is no type."""
    kind = answer.headers.get("content-type", "").split(";")[0].strip()
    return kind if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else ""


def is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] in (b"{", b"[")


def short_json(answer: Answer) -> str | None:
    """The document where it is short; of a long mapping the values that are short."""
    try:
        value = answer.json()
    except ValueError:
        return None
    value = stable_part(value)
    if isinstance(value, dict) and len(json.dumps(value)) > MOST_JSON:
        value = {key: part for key, part in value.items() if isinstance(part, str | int | bool) and len(str(part)) < 60}
    if value in ({}, None):
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_JSON else None


def stable_part(value: Any) -> Any:
    """A document without what the build or the base puts in."""
    if isinstance(value, dict):
        return {key: stable_part(part) for key, part in value.items() if not _OF_THE_BUILD.search(key)}
    return [stable_part(part) for part in value] if isinstance(value, list) else value


def short_text(answer: Answer) -> str | None:
    """Its title, or its first line."""
    text = answer.text()
    title = re.search(r"<title>([^<\n]{1,60})</title>", text)
    line = title[0] if title else next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line[:MOST_TEXT] if line and line.isprintable() else None


_DIFFERS = object()
GRPC_STATUS = "grpc-status"


def alike(first: Answer, *others: Answer) -> HttpExpect:
    """What all these answers, of the same status, have in common."""
    every = (first, *others)
    headers = {"Content-Type": kind} if (kind := media_type(first)) and {kind} == set(map(media_type, every)) else {}
    if (grpc := first.headers.get(GRPC_STATUS)) is not None and {grpc} == {it.headers.get(GRPC_STATUS) for it in every}:
        headers[GRPC_STATUS] = grpc
    expected: dict[str, Any] = {"status": first.status, "headers": headers}
    if all(map(is_json, every)):
        try:
            common = functools.reduce(_common, (stable_part(it.json()) for it in every))
        except ValueError:
            common = _DIFFERS
        if common is not _DIFFERS and common is not None:
            return HttpExpect(**expected, json=common)
    text = first.text().strip()
    if {first.body} == {it.body for it in every} and len(text) <= MOST_TEXT and text.isprintable() and text:
        expected["body_contains"] = text
    elif all(it.text().strip() for it in every) and GRPC_STATUS not in headers:
        expected["body_matches"] = "."
    return HttpExpect(**expected)


def _common(first: Any, second: Any) -> Any:
    """The leaves that are equal in both, as a subset of either. A list is compared item by item, so it needs all its items."""
    if isinstance(first, dict) and isinstance(second, dict):
        parts = {key: _common(value, second[key]) for key, value in first.items() if key in second}
        return {key: part for key, part in parts.items() if part is not _DIFFERS}
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        entries = [_common(*pair) for pair in zip(first, second, strict=True)]
        return _DIFFERS if any(entry is _DIFFERS for entry in entries) else entries
    return first if type(first) is type(second) and first == second else _DIFFERS
