"""Parse a Dockerfile for planning: ARGs before FROM, stages, and the base the final image stands on.

Source of the rules: Docker's Dockerfile reference (ARG before FROM, FROM … AS).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import ConfigError, wording
from deadweight.records.paths import content
from deadweight.sources.adapt_dockerfile import FROM, Instruction, arguments, instructions

_ASKS_GIT = r"\bgit\s+(?:-[cC]\s+\S+\s+|-\S+\s+)*(?:describe|rev-parse|rev-list|log|show|status)\b"
_GIT = re.compile(rf"""(?:^|[\s/=,"'])\.git(?:$|[\s/,"'])|{_ASKS_GIT}""")
_MAKE = re.compile(r"(?:^(?:RUN\b)?|[;&|(])\s*(?:--\S+\s+|\w+=\S*\s+)*make\b")
_SCRIPT = re.compile(r"(?:^|[\s;&(])(?:\./)?([\w-][\w./-]*\.(?:sh|bash)|(?<=\./)[\w/-]+)(?=$|[\s;&)])")
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
        lines = [(" ".join(instruction.text.split()), instruction.line) for instruction in instructions(self.text)]
        times = Counter(text for text, _ in lines)
        return {text: line for text, line in lines if times[text] == 1}

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
        first = FROM.match(instruction.text)
        if problem := _problem(instruction, before_from=not stages):
            raise ConfigError(problem, file=file, line=instruction.line)
        if first:
            stages.append(Stage(first[2].strip("\"'"), first[3], instruction.line))
        elif not stages:
            args.update(arguments(instruction.text))
    if not stages:
        raise ConfigError(wording("dockerfile.no_from"), file=file, line=1)
    return Dockerfile(file, text, args, tuple(stages))


def names_git(text: str, source: Path | None = None) -> bool:
    """Whether an instruction copies or mounts the folder of version control, or asks git about it: by itself, or by the Makefile or
    script of the context ``source`` that it runs."""
    steps = [step for step in instructions(text) if step.word in ("ADD", "COPY", "RUN")]
    run_by = (name for step in steps if step.word == "RUN" for name in _run_by(step.text))
    files = (content(source / name).decode("utf-8", "replace") for name in run_by) if source is not None else ()
    return any(_GIT.search(step.text) for step in steps) or any(re.search(_ASKS_GIT, text) for text in files)


def _run_by(command: str) -> Iterator[str]:
    """The files that a RUN runs, as they are called in the context."""
    yield from _MAKEFILES if _MAKE.search(command) else ()
    yield from _SCRIPT.findall(command)


def _problem(instruction: Instruction, *, before_from: bool) -> str:
    """What is wrong with an instruction; empty where nothing is."""
    word, text = instruction.word, instruction.text
    if word not in _INSTRUCTIONS:
        return wording("dockerfile.unknown_instruction", name=word[:30])
    if before_from and word not in ("ARG", "FROM"):
        return wording("dockerfile.before_from", name=word)
    if instruction.unended is not None:
        return wording("dockerfile.open_heredoc", name=instruction.unended)
    if word == "FROM" and not FROM.match(text):
        return wording("dockerfile.from_with_comment" if " #" in text else "dockerfile.incomplete_from")
    return ""
