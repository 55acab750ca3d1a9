"""A Dockerfile with plain FROM lines, made fit for another source. The user's file is never touched.

FROM, ``COPY --from`` and ``RUN --mount=…,from=`` name images; each public name is replaced by what stands for it. A
``# syntax=`` line would make BuildKit fetch a frontend from a public registry, and is left out (an empty comment stands for it
after the other directives, so that those still come first and line numbers in errors stay true).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deadweight.sources.dockerfile_lines import FROM, Instruction, arguments, directives, heredocs, instructions

_COPY_FROM = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=([^\s$]+)", re.IGNORECASE)
_RUN = re.compile(r"RUN\s+", re.IGNORECASE)
_RUN_FLAGS = re.compile(r"RUN\s+(?:--\S+\s+)+", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^\s,$]+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Use:
    """One place that names an image: the span of the name in the instruction, and the public reference meant."""

    instruction: Instruction
    start: int
    end: int
    reference: str

    def replaced(self, text: str, name: str) -> str:
        """The file with another name here. Where the old one goes on over lines, what joins them now stands before the new."""
        ends = [place + 1 for place in map(self.instruction.place, range(self.start, self.end))]
        joints = "".join(text[end : after - 1] for end, after in itertools.pairwise(ends))
        return text[: ends[0] - 1] + joints + name + text[ends[-1] :]


def images(text: str, given: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Public references that a Dockerfile stands on, each once; ``given`` are build arguments that will be given.

    Stages, ``scratch`` and names with an argument that has no value are not among them.
    """
    return tuple(places(text, given))


def places(text: str, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """The same references, each with the line that first names it, from 1."""
    found: dict[str, int] = {}
    for use in _uses(text, given or {}):
        found.setdefault(use.reference, use.instruction.line)
    return found


@dataclass(frozen=True)
class Run:
    """A RUN. ``stage`` is its stage's number, from 0; ``base`` the image that it stands on, empty where that is not known.

    ``plain``: words for the shell stand on its line, so that more can stand before them.
    """

    stage: int
    base: str
    command: str
    line: int = 0
    plain: bool = True


@dataclass(frozen=True)
class Added:
    """What a RUN's line gets: ``flags`` before its own, ``before`` in front of its command."""

    flags: Sequence[str] = ()
    before: str = ""


Addition = Callable[[Run], Added]


def derived(
    text: str,
    resolve: Callable[[str], str],
    given: Mapping[str, str] | None = None,
    add: Addition = lambda _run: Added(),
) -> str:
    """The same Dockerfile with every image's name replaced by ``resolve(reference)``, and what ``add`` says in its RUN lines.

    Line by line: numbers stay true.
    """
    edits: list[tuple[int, Use | None, str]] = [
        (use.instruction.place(use.start), use, "") for use in _uses(text, given or {})
    ]
    edits += [(place, None, words) for place, words in _words(text, given or {}, add)]
    for place, use, words in sorted(
        edits, key=lambda edit: edit[0], reverse=True
    ):  # so that the places before stay true
        text = use.replaced(text, resolve(use.reference)) if use else f"{text[:place]}{words}{text[place:]}"
    first = directives(text)
    lines = text.split("\n")
    kept = [lines[number] for number, (name, _) in first.items() if name != "syntax"]
    return "\n".join([*kept, *["#"] * (len(first) - len(kept)), *lines[len(first) :]])


def _words(text: str, given: Mapping[str, str], add: Addition) -> Iterator[tuple[int, str]]:
    """What to write into RUN lines, and where: before the first word after RUN, and before the command."""
    for run, each in runs(text, given):
        added = add(run)
        start, flags = _RUN.match(each.text), _RUN_FLAGS.match(each.text)
        if start is None:
            continue
        command = (flags or start).end()
        if added.before and flags:
            yield each.place(command), added.before
        words = "".join(f"{flag} " for flag in added.flags) + ("" if flags else added.before)
        if words:
            yield each.place(start.end()), words


def runs(text: str, given: Mapping[str, str] | None = None) -> Iterator[tuple[Run, Instruction]]:
    """Each RUN of a Dockerfile, with what it stands on."""
    bases, base, values, stage, shell = dict[str, str](), "", dict[str, str](), -1, True
    for each in instructions(text):
        first = FROM.match(each.text)
        if each.word == "ARG" and stage < 0:
            _learn(each.text, values, given or {})
        elif first:
            stage, shell = stage + 1, True
            name = _expanded(first[2], values) or ""
            base = bases.get(name.lower(), "" if name == "scratch" else name)
            if first[3]:
                bases[first[3].lower()] = base
        elif each.word == "SHELL":
            shell = re.search(r"\b(?:ba|da|a)?sh\b", each.text.lower().removeprefix("shell")) is not None
        elif each.word == "RUN":
            command = _RUN_FLAGS.sub("", each.text) if _RUN_FLAGS.match(each.text) else _RUN.sub("", each.text)
            plain = shell and not command.startswith("[") and not heredocs(each.text)
            yield Run(stage, base, f"{each.text}\n{each.body}", each.line, plain), each


def _uses(text: str, given: Mapping[str, str]) -> Iterator[Use]:
    stages, values, before_from = set[str](), dict[str, str](), True
    for each in instructions(text):
        if each.word == "ARG" and before_from:
            _learn(each.text, values, given)
        stage = FROM.match(each.text)
        if stage:
            before_from = False
            yield from _use(each, stage.span(2), _expanded(stage[2], values), stages)
            if stage[3]:
                stages.add(stage[3].lower())
        for match in _named_in(each.text):
            if not match[1].isdigit():
                yield from _use(each, match.span(1), match[1], stages)


def _named_in(instruction: str) -> Iterator[re.Match[str]]:
    """Images beside FROM. Those of mounts stand among RUN's flags, and not in its command."""
    copied, flags = _COPY_FROM.match(instruction), _RUN_FLAGS.match(instruction)
    if copied:
        yield copied
    if flags:
        yield from _MOUNT_FROM.finditer(instruction, 0, flags.end())


def _use(instruction: Instruction, span: tuple[int, int], name: str | None, stages: set[str]) -> Iterator[Use]:
    if name and name.lower() not in stages and name != "scratch":
        yield Use(instruction, *span, name)


def _learn(instruction: str, values: dict[str, str], given: Mapping[str, str]) -> None:
    for name, default in arguments(instruction).items():
        if name in given:
            values[name] = given[name]
        elif default is not None:
            expanded = _expanded(default, values)
            if expanded is not None or not default.strip("\"'"):
                values[name] = expanded or ""


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
        unknown = unknown or name not in values  # an empty one is known: ARG ARCH= before ${ARCH}node
        return found

    expanded = _VARIABLE.sub(value, word.strip("\"'"))
    return None if unknown or not expanded else expanded
