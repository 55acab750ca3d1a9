"""Parse a Dockerfile for planning: ARGs before FROM, stages, and the base the final image stands on.

Source of the rules: Docker's Dockerfile reference (ARG before FROM, FROM … AS).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import ConfigError, wording
from deadweight.records.paths import content
from deadweight.sources.adapt_dockerfile import FROM, Instruction, arguments, instructions

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-+][^}]*)?\}|(\w+))")
_ASKS_GIT = r"\bgit\s+(?:-[cC]\s+\S+\s+|-\S+\s+)*(?:describe|rev-parse|rev-list|log|show|status)\b"
_GIT = re.compile(rf"""(?:^|[\s/=,"'])\.git(?:$|[\s/,"'])|{_ASKS_GIT}""")
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
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
    text: str
    args: Mapping[str, str | None]
    stages: tuple[Stage, ...]

    def base_argument(self, target: str | None) -> tuple[str | None, str]:
        """What the image of ``target`` (default: the last stage) stands on: the ARG that names it if one does, and the
        reference as far as the file itself tells it."""
        base = self.stages[self.chain(target)[-1]].base
        variable = _VARIABLE.fullmatch(base)
        if variable is None:
            return None, base
        name = variable[1] or variable[2]
        return name, self.args.get(name) or ""

    def chain(self, target: str | None) -> tuple[int, ...]:
        """The numbers of the stages that the image of ``target`` (default: the last stage) is made of, from its own down.

        Raises ConfigError naming the stages where there is no such one.
        """
        numbers = [self._number(target)]
        while (below := self._named(self.stages[numbers[-1]].base, before=numbers[-1])) is not None:
            numbers.append(below)
        return tuple(numbers)

    @property
    def has_cache_mounts(self) -> bool:
        """Whether an instruction works on a folder that outlives the build; nobody tells what lies in it."""
        return re.search(r"--mount=\S*\btype=cache\b", self.text) is not None

    def lines(self) -> dict[str, int]:
        """The line of each instruction, by its text with single blanks; those that stand there twice are left out."""
        found: dict[str, list[int]] = {}
        for instruction in instructions(self.text):
            found.setdefault(" ".join(instruction.text.split()), []).append(instruction.line)
        return {text: lines[0] for text, lines in found.items() if len(lines) == 1}

    def _named(self, name: str, *, before: int) -> int | None:
        """The last stage of that name above another one."""
        alike = (number for number in range(before) if (self.stages[number].name or "").lower() == name.lower())
        return max(alike, default=None)

    def _number(self, target: str | None) -> int:
        if target is None:
            return len(self.stages) - 1
        named = self._named(target, before=len(self.stages))
        if named is not None:
            return named
        if target.isdigit() and int(target) < len(self.stages):
            return int(target)
        choices = ", ".join(stage.name for stage in self.stages if stage.name) or "none has a name"
        raise ConfigError(wording("dockerfile.no_such_stage", name=target, stages=choices), file=self.file)


def read_dockerfile(file: Path) -> Dockerfile:
    """Raises ConfigError, with its line, for what is no Dockerfile: no FROM, an unknown instruction before it, not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(wording("dockerfile.not_utf8"), file=file) from None
    args: dict[str, str | None] = {}
    stages: list[Stage] = []
    for instruction in instructions(text):
        _check(instruction, file, first=not stages)
        if instruction.word == "FROM":
            stages.append(_stage(instruction, file))
        elif not stages:
            args.update(arguments(instruction.text))
    if not stages:
        raise ConfigError(wording("dockerfile.no_from"), file=file, line=1)
    return Dockerfile(file, text, args, tuple(stages))


def names_git(text: str, source: Path | None = None) -> bool:
    """Whether an instruction copies or mounts the folder of version control, or asks git about it: by itself, or by the Makefile or
    script of the context ``source`` that it runs."""
    own = any(
        _GIT.search(instruction.text)
        for instruction in instructions(text)
        if instruction.word in ("ADD", "COPY", "RUN")
    )
    files = (source / name for name in _run_by(text)) if source is not None else ()
    return own or any(re.search(_ASKS_GIT, content(file).decode("utf-8", "replace")) for file in files)


def _run_by(text: str) -> Iterator[str]:
    """The files that RUN lines run, as they are called in the context."""
    for instruction in instructions(text):
        if instruction.word == "RUN":
            yield from (
                _MAKEFILES
                if re.search(r"(?:^(?:RUN\b)?|[;&|(])\s*(?:--\S+\s+|\w+=\S*\s+)*make\b", instruction.text)
                else ()
            )
            yield from re.findall(
                r"(?:^|[\s;&(])(?:\./)?([\w-][\w./-]*\.(?:sh|bash)|(?<=\./)[\w/-]+)(?=$|[\s;&)])", instruction.text
            )


def _check(each: Instruction, file: Path, *, first: bool) -> None:
    if each.word not in _INSTRUCTIONS:
        raise ConfigError(wording("dockerfile.unknown_instruction", name=each.word[:30]), file=file, line=each.line)
    if first and each.word not in ("ARG", "FROM"):
        raise ConfigError(wording("dockerfile.before_from", name=each.word), file=file, line=each.line)
    if each.unended is not None:
        raise ConfigError(wording("dockerfile.open_heredoc", name=each.unended), file=file, line=each.line)


def _stage(each: Instruction, file: Path) -> Stage:
    found = FROM.match(each.text)
    if found is None:
        told = wording("dockerfile.from_with_comment" if " #" in each.text else "dockerfile.incomplete_from")
        raise ConfigError(told, file=file, line=each.line)
    return Stage(found[2].strip("\"'"), found[3], each.line)
