"""Compares an HTTP answer with what is expected of it, and says in words where they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight import _patterns
from deadweight.engine.http import MAX_BODY_BYTES, Answer
from deadweight.suite.requests import HttpExpect

SHOWN = 120
MOST_PROBLEMS = 10


def problems(expect: HttpExpect, answer: Answer) -> list[str]:
    """What differs, at most ten differences; empty where the answer is as expected."""
    found = []
    if answer.truncated:
        found.append(f"body: longer than {MAX_BODY_BYTES // 2**20} MiB, so only its beginning was read")
    if answer.status != expect.status:
        found.append(f"status: expected {expect.status}, got {answer.status} ({_cut(answer.text())})")
    found += [problem for name, wanted in expect.headers.items() for problem in _header(name, wanted, answer.headers)]
    if expect.json_subset is not None:
        found += _json(expect.json_subset, answer)
    text = answer.text()
    if expect.body_contains is not None and expect.body_contains not in text:
        found.append(f"body: expected to contain {_cut(expect.body_contains)}, got {_cut(text)}")
    if expect.body_matches is not None and not _patterns.found(expect.body_matches, text):
        found.append(f"body: expected a match of /{expect.body_matches}/, got {_cut(text)}")
    return found[:MOST_PROBLEMS]


def subset_problems(expected: Any, actual: Any, path: str = "$") -> Iterator[str]:
    """Where ``actual`` is not a superset of ``expected``: each named key must be there and equal; lists match item by item.

    Numbers are equal by value (1 and 1.0), but never to booleans.
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            if key in actual:
                yield from subset_problems(value, actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {_cut(value)}, but there is no such key (keys: {', '.join(actual) or 'none'})"
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: expected {len(expected)} items, got {len(actual)}: {_cut(actual)}"
        for index, (wanted, found) in enumerate(zip(expected, actual, strict=False)):
            yield from subset_problems(wanted, found, f"{path}[{index}]")
    elif isinstance(expected, str) and isinstance(actual, str):
        if expected != actual:
            yield f"{path}: {_text_difference(expected, actual)}"
    elif isinstance(expected, bool) != isinstance(actual, bool) or expected != actual:
        yield f"{path}: expected {_cut(expected)}, got {_cut(actual)}"


def _json(expected: Any, answer: Answer) -> list[str]:
    try:
        actual = answer.json()
    except ValueError as error:
        return [f"body: expected JSON, got {_cut(answer.text())} ({error})"]
    return list(subset_problems(expected, actual))


def _header(name: str, wanted: str, headers: Mapping[str, str]) -> Iterator[str]:
    actual = headers.get(name.lower())
    if actual is None:
        yield f"header {name}: expected {wanted!r}, but it is not there"
    elif actual != wanted and actual.split(";", 1)[0].strip() != wanted:
        yield f"header {name}: expected {wanted!r}, got {actual!r}"


def _text_difference(expected: str, actual: str) -> str:
    """Short texts whole; of long ones the surroundings of the first difference."""
    if len(expected) <= SHOWN and len(actual) <= SHOWN:
        return f"expected {_quoted(expected)}, got {_quoted(actual)}"
    pairs = enumerate(zip(expected, actual, strict=False))
    at = next((index for index, (one, other) in pairs if one != other), min(len(expected), len(actual)))
    near = slice(max(0, at - 20), at + 40)
    return (
        f"differs from character {at + 1} on: expected …{_quoted(expected[near])}…, got …{_quoted(actual[near])}… "
        f"({len(expected)} and {len(actual)} characters)"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cut(value: Any) -> str:
    """A value as JSON, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
