"""Parse a Dockerfile into stages, with the variables known in each, and find which stage builds on which."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deadweight.sources.dockerfile_lines import FROM, Instruction, arguments, instructions

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+])([^}]*))?\}|(\w+))")
PLATFORM = {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": ""}


@dataclass
class Stage:
    """One stage: what it stands on, its name in small letters (empty without one), the line of its FROM, and its instructions.

    ``span`` is where the base stands in the file, as written; ``end`` is where the FROM ends.
    """

    base: str
    name: str
    line: int
    span: tuple[int, int]
    end: int
    said: list[Instruction] = field(default_factory=list)


def flags(each: Instruction) -> tuple[dict[str, str], list[str]]:
    """The flags of an instruction, and its other words."""
    body = each.text.split(None, 1)[1] if len(each.text.split(None, 1)) > 1 else ""
    said: dict[str, str] = {}
    while found := re.match(r"--([\w-]+)(?:=(\S+))?\s+", body):
        said[found[1]] = found[2] or ""
        body = body[found.end() :]
    return said, list(words_of(body))


def words_of(body: str) -> tuple[str, ...]:
    """Exec form (a JSON list) or shell words."""
    if body.strip().startswith("["):
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            return tuple(str(word) for word in parsed)
    try:
        return tuple(shlex.split(body))
    except ValueError:
        return tuple(body.split())


def learn(each: Instruction, values: dict[str, str]) -> None:
    """ARG and ENV give later instructions their variables."""
    if each.word == "ARG":
        for key, value in arguments(each.text).items():
            if value is not None:
                values[key] = filled(value, values)
    elif each.word == "ENV":
        for key, value in env_of(each.text.split(None, 1)[1] if " " in each.text else "").items():
            values[key] = filled(value, values)


def env_of(body: str) -> dict[str, str]:
    """``A=b C=d``, or the old form ``A b``."""
    if re.match(r"\s*\w+\s+[^=\s]", body) and "=" not in body.split(None, 1)[0]:
        key, value = body.split(None, 1)
        return {key: value.strip()}
    return {word.partition("=")[0]: word.partition("=")[2] for word in words_of(body) if "=" in word}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Variables put in as far as their values are known."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1] or found[4])
        if found[2] == "-" and not known:
            return found[3]
        if found[2] == "+":
            return found[3] if known else ""
        return found[0] if known is None else known

    return _VARIABLE.sub(value, text)


def stages_of(text: str, args: Mapping[str, str]) -> tuple[dict[str, str], list[Stage]]:
    """The variables that are known before the first stage, and the stages. ``args`` are build arguments without a default."""
    given: dict[str, str] = dict(args)
    stages: list[Stage] = []
    for each in instructions(text):
        found = FROM.match(each.text) if each.word == "FROM" else None
        if found:
            base = filled(found[2].strip("\"'"), {**PLATFORM, **given})
            span = (each.place(found.start(2)), each.place(found.end(2) - 1) + 1)
            end = each.place(len(each.text.rstrip()) - 1) + 1
            stages.append(Stage(base, (found[3] or "").lower(), each.line, span, end))
        elif stages:
            stages[-1].said.append(each)
        else:
            learn(each, given)
    return given, stages


def find_stage(stages: Sequence[Stage], name: str) -> int | None:
    """The number of a stage by its name or number; None without it."""
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower() and name]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def chain_of(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """The stages that one stands on, itself last."""
    if not stages:
        return []
    at: int | None = len(stages) - 1 if target is None else find_stage(stages, target)
    chain: list[Stage] = []
    while at is not None and stages[at] not in chain:
        chain.insert(0, stages[at])
        at = find_stage(stages[:at], stages[at].base)
    return chain


def reached(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """All stages that BuildKit builds for one: those that it stands on and those that it copies from."""
    found: list[Stage] = []
    todo = chain_of(stages, target)
    while todo:
        stage = todo.pop()
        if stage in found:
            continue
        found.append(stage)
        for each in stage.said:
            for name in re.findall(r"(?:--from=|[,\s]from=)([\w.-]+)", each.text):
                at = find_stage(stages, name)
                todo += [] if at is None else chain_of(stages[: at + 1], None)
    return found


def without_default(text: str) -> set[str]:
    """The build arguments that a Dockerfile declares and gives no value."""
    found = (arguments(each.text) for each in instructions(text) if each.word == "ARG")
    return {name for said in found for name, value in said.items() if value is None}


def unknown_bases(text: str, target: str | None, args: Mapping[str, str]) -> list[str]:
    """The bases of those stages that are built whose reference has a variable without a value."""
    given, stages = stages_of(text, args)
    bases = (filled(each.base, {**PLATFORM, **given}) for each in reached(stages, target))
    return [each for each in bases if "$" in each or not each]
