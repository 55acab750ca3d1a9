"""Derive Dockerfiles from the repository's own: on another base (``bases.toml``), or with stages added at the end."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from deadweight.records.reference import split
from deadweight.sources.dockerfile_lines import directives
from deadweight_init.derive.changes import Change, Code
from deadweight_init.dockerfile import Stage, chain_of, filled, find_stage, flags, stages_of
from deadweight_init.languages.common import HEADER
from deadweight_init.records import OwnDockerfile

_TAG = re.compile(
    r"(?P<version>\d[\w.]*|lts|latest|current|stable|bookworm|trixie|bullseye)(?P<kind>-(?:fpm|cli|apache|zts))?(?:-[\w.]+)*"
)


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("bases.toml").read_text(encoding="utf-8"))


def libc(reference: str) -> str:
    """The C library of an image: ``glibc``, ``musl`` or ``none``."""
    return next(str(name) for name, pattern in _table()["libc"].items() if re.fullmatch(pattern, reference))


def is_bare(reference: str) -> bool:
    """Whether an image has neither shell nor package manager."""
    return re.fullmatch(_table()["bare"]["pattern"], reference) is not None


def others(base: str, chain: Sequence[Stage]) -> dict[str, str]:
    """The other bases of the stages that an image is made of, by the name of their flavour."""
    return {name: other for name, other in _flavours(base, chain) if other != base and _suits(base, other, chain)}


def _flavours(base: str, chain: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    repository, tag = split(base)[:2]
    words = [each.word for stage in chain for each in stage.said]
    told = _TAG.fullmatch(tag or "latest")
    for entry in _table()["tags"]:
        if told is None or not re.fullmatch(entry["repository"], repository):
            continue
        version = "" if told["version"] in ("latest", "stable") else told["version"]
        stem = f"{version}{told['kind'] or ''}".strip("-")
        number = re.match(r"\d+", version)
        for flavour in entry["flavours"]:
            wrong = (flavour == "alpine" and told["kind"] == "-apache") or int(number[0] if number else 99) < entry.get(
                "least", 0
            )
            if not wrong and not tag.endswith(f"-{flavour}"):
                yield flavour, f"{repository}:{'-'.join(each for each in (stem, flavour) if each)}"
    for entry in _table()["related"]:
        version_of = re.fullmatch(entry.get("version", ".*"), tag)
        if version_of is None or not re.fullmatch(entry["repository"], repository):
            continue
        if entry.get("needs") == "entrypoint" and "ENTRYPOINT" not in words:
            continue
        for name, other in entry["others"].items():
            yield name, other.replace("${version}", version_of[1] if version_of.groups() else "")


def _suits(base: str, other: str, chain: Sequence[Stage]) -> bool:
    """Whether what the stages do works on the other base: its C library for what other stages compiled, its shell, its packages."""
    said = [each for stage in chain for each in stage.said]
    runs = [each.text for each in said if each.word == "RUN"]
    brings = any(each.word == "COPY" and "from" in flags(each)[0] for each in said)
    if libc(base) not in ("none", libc(other)) and (brings or libc(other) == "none"):
        return False  # what another stage compiled wants the C library that it was compiled for
    if is_bare(other) and (runs or any(_needs_shell(each.word, each.text) for each in said)):
        return False
    return all(
        re.fullmatch(where, other)
        for command, where in _table()["managers"].items()
        if any(re.search(command, each) for each in runs)
    )


def _needs_shell(word: str, text: str) -> bool:
    """Whether a command is in shell form, or starts a shell."""
    body = text.split(None, 1)[1].strip() if word in ("CMD", "ENTRYPOINT") and " " in text else "["
    return not body.startswith("[") or re.match(r'\[\s*"(?:/usr)?(?:/bin/)?(?:sh|bash|ash)"', body) is not None


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
    is_known = "$" not in base and find_stage(stages, base) is None
    return Parsed(own, tuple(stages), tuple(chain), base) if is_known else None


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
    return "".join(
        f"\n{_INHERITED}\n{word} {value}"
        for word, value in values.items()
        if word not in words and value not in (None, "", "0", "root", "/")
    )


def instruction_lines(text: str) -> list[str]:
    """A Dockerfile's lines without comments and without what ``on_another_base`` added below the base."""
    plain = re.sub(rf"\n{_INHERITED}\n.*", "", text)
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
