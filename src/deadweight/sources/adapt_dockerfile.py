"""A Dockerfile with plain FROM lines, made fit for another source. The user's file is never touched.

FROM, ``COPY --from`` and ``RUN --mount=…,from=`` name images; each public name is replaced by what stands for it. A
``# syntax=`` line would make BuildKit fetch a frontend from a public registry, and is left out (as an empty comment, so that
line numbers in errors stay true).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_FROM = re.compile(r"^(\s*FROM\s+(?:--\S+\s+)*)(\S+)((?:\s+AS\s+(\S+))?\s*)$", re.IGNORECASE)
_ARG = re.compile(r"^\s*ARG\s+(.*)$", re.IGNORECASE)
_COPY_FROM = re.compile(r"^(\s*(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=)([^\s$]+)", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"(--mount=\S*?\bfrom=)([^\s,$]+)")
_SYNTAX = re.compile(r"^#\s*syntax\s*=.*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Use:
    """One place that names an image: ``line`` from 0, the span of the name in it, and the public reference meant."""

    line: int
    start: int
    end: int
    reference: str


def images(text: str, arguments: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Public references that a Dockerfile stands on, each once; ``arguments`` are build arguments that will be given.

    Stages, ``scratch`` and names with an argument that has no value are not among them.
    """
    return tuple(dict.fromkeys(use.reference for use in _uses(text, dict(arguments or {}))))


def derived(text: str, resolve: Callable[[str], str], arguments: Mapping[str, str] | None = None) -> str:
    """The same Dockerfile with every image's name replaced by ``resolve(reference)``, line by line."""
    lines = text.splitlines()
    for use in sorted(_uses(text, dict(arguments or {})), key=lambda use: (use.line, -use.start)):
        line = lines[use.line]
        lines[use.line] = line[: use.start] + resolve(use.reference) + line[use.end :]
    for number, line in enumerate(lines):
        if not line.startswith("#"):
            break
        lines[number] = "#" if _SYNTAX.match(line) else line
    return "\n".join(lines) + ("\n" if text.endswith("\n") else "")


def _uses(text: str, given: dict[str, str]) -> Iterator[Use]:
    stages, values, before_from = set[str](), dict[str, str](), True
    for number, line in enumerate(text.splitlines()):
        argument = _ARG.match(line)
        if argument and before_from:
            _learn(argument.group(1), values, given)
        stage = _FROM.match(line)
        if stage:
            before_from = False
            yield from _use(number, stage.span(2), _expanded(stage.group(2), values), stages)
            if stage.group(4):
                stages.add(stage.group(4).lower())
            continue
        for match in (*_COPY_FROM.finditer(line), *_MOUNT_FROM.finditer(line)):
            if not match.group(2).isdigit():
                yield from _use(number, match.span(2), match.group(2), stages)


def _use(number: int, span: tuple[int, int], name: str | None, stages: set[str]) -> Iterator[Use]:
    if name and name.lower() not in stages and name != "scratch":
        yield Use(number, *span, name)


def _learn(words: str, values: dict[str, str], given: Mapping[str, str]) -> None:
    for word in words.split():
        name, equals, default = word.partition("=")
        if name in given:
            values[name] = given[name]
        elif equals:
            values[name] = _expanded(default.strip("\"'"), values) or ""


def _expanded(word: str, values: Mapping[str, str]) -> str | None:
    """With its variables replaced; None where one has no value."""
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        name = match.group(1) or match.group(4)
        mark, other = match.group(2) or "", match.group(3) or ""
        found = values.get(name, "")
        if mark.endswith("+"):
            return other if found else ""
        if not found and mark.endswith("-"):
            return other
        unknown = unknown or not found
        return found

    expanded = _VARIABLE.sub(value, word.strip("\"'"))
    return None if unknown or not expanded else expanded
