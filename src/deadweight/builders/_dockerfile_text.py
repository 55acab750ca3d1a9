"""Read just as much of a Dockerfile as planning needs: its ARGs before FROM, its stages, and which base the image stands on.

Source of the rules: Docker's Dockerfile reference (parser directives, line continuation, ARG before FROM, FROM … AS).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import ConfigError

_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)
_ARG = re.compile(r"ARG\s+(.+)$", re.IGNORECASE | re.DOTALL)
_FROM = re.compile(r"FROM\s+((?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-+][^}]*)?\}|(\w+))")
_HEREDOC = re.compile(r"<<-?\s*([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1")
_INSTRUCTIONS = frozenset(
    (
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
        "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One FROM. ``base`` is as written (``${BASE}``, ``ubuntu:23.10``, another stage's name); ``line`` counts from 1."""

    base: str
    name: str | None
    line: int


@dataclass(frozen=True)
class Dockerfile:
    """``args`` are the ARGs before the first FROM, with their default or None."""

    file: Path
    args: Mapping[str, str | None]
    stages: tuple[Stage, ...]

    def base_argument(self, target: str | None) -> tuple[str | None, str]:
        """What the image of ``target`` (default: the last stage) stands on: the ARG that names it if one does, and the
        reference as far as the file itself tells it."""
        stage = self._stage(target)
        seen: set[str] = set()
        while True:
            above = next((each for each in self.stages if each.name and each.name.lower() == stage.base.lower()), None)
            if above is None or stage.base in seen:
                break
            seen.add(stage.base)
            stage = above
        variable = _VARIABLE.fullmatch(stage.base)
        if variable is None:
            return None, stage.base
        name = variable[1] or variable[2]
        return name, self.args.get(name) or ""

    def _stage(self, target: str | None) -> Stage:
        if target is None:
            return self.stages[-1]
        named = {stage.name.lower(): stage for stage in self.stages if stage.name}
        if target.lower() in named:
            return named[target.lower()]
        if target.isdigit() and int(target) < len(self.stages):
            return self.stages[int(target)]
        choices = ", ".join(stage.name for stage in self.stages if stage.name) or "none has a name"
        raise ConfigError(f"no stage {target!r}", file=self.file, hint=f"stages: {choices}")

    def check_target(self, target: str | None) -> None:
        """Raises ConfigError naming the stages where there is no such one."""
        self._stage(target)


def read_dockerfile(file: Path) -> Dockerfile:
    """Raises ConfigError, with its line, for what is no Dockerfile: no FROM, an unknown instruction before it, not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", file=file) from None
    args: dict[str, str | None] = {}
    stages: list[Stage] = []
    for line, instruction in _instructions(text):
        word = instruction.split(None, 1)[0].upper()
        if word not in _INSTRUCTIONS:
            raise ConfigError(f"unknown instruction {word[:30]!r}", file=file, line=line)
        if word == "FROM":
            found = _FROM.match(instruction)
            if found is None:
                raise ConfigError("FROM needs an image, and AS a name", file=file, line=line)
            stages.append(Stage(found[2].strip("\"'"), found[3], line))
        elif not stages:
            if word != "ARG":
                raise ConfigError(f"{word} stands before the first FROM; only ARG may", file=file, line=line)
            args.update(_arguments(instruction))
    if not stages:
        raise ConfigError("has no FROM", file=file, line=1)
    return Dockerfile(file, args, tuple(stages))


def _instructions(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first line; comments and the bodies of heredocs are left out."""
    escape = "\\"
    parts: list[str] = []
    first, ends = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if ends:
            if line.lstrip("\t") == ends[0]:
                ends.pop(0)
            continue
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            directive = _ESCAPE.match(stripped)
            if directive and not parts:
                escape = directive[1]
            continue
        first = first if parts else number
        if stripped.endswith(escape):
            parts.append(stripped[:-1])
            continue
        whole = " ".join([*parts, stripped])
        parts = []
        if whole.split(None, 1)[0].upper() in ("RUN", "COPY", "ADD"):
            ends = [found[2] for found in _HEREDOC.finditer(whole)]
        yield first, whole
    if parts:
        yield first, " ".join(parts)


def _arguments(instruction: str) -> dict[str, str | None]:
    found = _ARG.match(instruction)
    result: dict[str, str | None] = {}
    text = found[1] if found else ""
    try:
        words = shlex.split(text)
    except ValueError:  # an open quote: BuildKit says so
        words = text.split()
    for word in words:
        name, equals, value = word.partition("=")
        result[name] = value if equals else None
    return result
