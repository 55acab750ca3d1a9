"""Derive Dockerfiles from the repository's own: same text, with one base replaced or stages added at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deadweight.sources.dockerfile_lines import directives
from deadweight_init.derive.changes import Change, Code
from deadweight_init.languages.common import HEADER
from deadweight_init.records import OwnDockerfile
from deadweight_init.stages import Stage, chain_of, filled, find_stage, stages_of

_ARGUMENTS = ("BASE", "RUN_BASE", "RUNTIME_BASE")
OWN = "own-image"


@dataclass(frozen=True)
class Parsed:
    """The own Dockerfile: its stages, those that its image stands on (itself last), and the reference below them."""

    own: OwnDockerfile
    stages: tuple[Stage, ...]
    chain: tuple[Stage, ...]
    base: str


def parse(own: OwnDockerfile) -> Parsed | None:
    """The own Dockerfile taken apart; None where its base cannot be told."""
    given, stages = stages_of(own.text, own.build_args)
    chain = chain_of(stages, own.target)
    if not chain:
        return None
    base = filled(chain[0].base, given)
    return (
        None if "$" in base or find_stage(stages, base) is not None else Parsed(own, tuple(stages), tuple(chain), base)
    )


def argument(own: OwnDockerfile) -> str:
    """A name for the base's argument that the file does not use."""
    return next(name for name in _ARGUMENTS if not re.search(rf"\b{name}\b", own.text))


def on_another_base(parsed: Parsed, config: Mapping[str, Any]) -> str:
    """The own Dockerfile with an argument in the place of the base below its image. ``config`` is the built image's: what it has
    from its own base is written down, as the other base may set it otherwise."""
    own, stage = parsed.own, parsed.chain[0]
    (begin, end), name = stage.span, argument(own)
    text = (
        f"{own.text[:begin]}${{{name}}}{own.text[end : stage.end]}{_inherited(parsed, config)}{own.text[stage.end :]}"
    )
    head = f"Copied from {own.path}. Only the base image differs: line {stage.line} there, the argument {name} here."
    return _headed(text, head, name, parsed.base)


_INHERITED = "# As the original base image has it."


def _inherited(parsed: Parsed, config: Mapping[str, Any]) -> str:
    """The instructions for the user and the working folder of the own base, if no instruction of the Dockerfile sets them."""
    words = {each.word for stage in parsed.chain for each in stage.said}
    values = {"USER": config.get("User"), "WORKDIR": config.get("WorkingDir")}
    lines = [
        f"\n{word} {value}"
        for word, value in values.items()
        if word not in words and value not in (None, "", "0", "root", "/")
    ]
    return "".join((f"\n{_INHERITED}", *lines)) if lines else ""


def instruction_lines(text: str) -> list[str]:
    """A Dockerfile's lines without comments and without what ``on_another_base`` added below the base."""
    plain = re.sub(rf"\n{_INHERITED}(?:\n(?:USER|WORKDIR) .*)+", "", text)
    return [line for line in plain.splitlines() if line.strip() and not line.startswith("#")]


def with_more(parsed: Parsed, lines: list[str]) -> str:
    """The own Dockerfile with stages after its own. The image's stage can be named: ``name_of``."""
    own, last = parsed.own, parsed.chain[-1]
    text = own.text if last.name else f"{own.text[: last.end]} AS {OWN}{own.text[last.end :]}"
    text = text if text.endswith("\n") else f"{text}\n"
    head = f"Copied from {own.path}. The stages at the end are new: they keep only the files that the service uses."
    return _headed(text, head, "", "") + "\n".join(["", *lines]) + "\n"


def name_of(parsed: Parsed) -> str:
    """The name of the image's own stage in what ``with_more`` writes."""
    return parsed.chain[-1].name or OWN


def _headed(text: str, comment: str, name: str, base: str) -> str:
    """With our first lines behind the parser's directives, which are directives only as the first lines of a file."""
    at = len(directives(text))
    lines = text.removeprefix("\ufeff").split("\n")
    head = [HEADER, f"# {comment}", *([f"ARG {name}={base}"] if name else [])]
    return "\n".join([*lines[:at], *head, *lines[at:]])


def base_change(parsed: Parsed, other: str) -> Change:
    """The one word that is another one."""
    return Change(Code.BASE, f"{parsed.base} -> {other}", parsed.chain[0].line, parsed.own.path)
