"""List the other base images that a Dockerfile's last stage can run on, from ``bases.toml`` and the stage's needs."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from deadweight.records.reference import split
from deadweight_init.stages import Stage, flags

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
