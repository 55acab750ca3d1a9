"""List the Dockerfile instructions that ko, Jib, melange and apko builds leave out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from deadweight.sources.dockerfile_lines import Instruction
from deadweight_init.derive.changes import Change, Code
from deadweight_init.derive.dockerfile import Parsed
from deadweight_init.records import Rung
from deadweight_init.stages import flags, reached

_FLAGS = re.compile(r"-ldflags[= ](?:'[^']*'|\"[^\"]*\"|\S+)|-tags[= ]\S+|GOEXPERIMENT=\S+|\s-[DP]\S+")
_COMPILES = re.compile(r"\b(?:go (?:build|install)|mvnw?|gradlew?)\b")
_FETCHES = re.compile(r"^RUN\s+(?:--\S+\s+)*go mod (?:download|verify|tidy)(?:\s+-x)?\s*$")
_SETTINGS = ("LABEL", "VOLUME", "STOPSIGNAL")
_MOST_LETTERS = 90


def lost(parsed: Parsed, rung: Rung, files: Mapping[str, str]) -> tuple[Change, ...]:
    """One for each instruction that has no counterpart in this rung, or in its ``files``."""
    kept = " ".join([*rung.keys.values(), *(files[name] for name in rung.files)])
    built = [each for stage in reached(parsed.stages, parsed.own.target) for each in stage.said if each.word == "RUN"]
    made = [each for stage in parsed.chain for each in stage.said]
    found = [*_runs(built), *_files(made, kept), *_settings(made)]
    return tuple(
        Change(code, _short(what), each.line, parsed.own.path)
        for code, what, each in sorted(found, key=lambda each: each[2].line)
    )


def _runs(runs: list[Instruction]) -> Iterator[tuple[Code, str, Instruction]]:
    for each in runs:
        told = _FLAGS.findall(each.text)
        if _COMPILES.search(each.text):
            if told:
                yield Code.FLAGS, " ".join(flag.strip() for flag in told), each
        elif not _FETCHES.match(each.text):
            yield Code.STEP, each.text, each


def _files(made: list[Instruction], kept: str) -> Iterator[tuple[Code, str, Instruction]]:
    """Files of the context; what comes out of another stage is the program, or was made by a step that is told already."""
    for each in made:
        said, rest = flags(each) if each.word in ("COPY", "ADD") else ({}, [])
        if "from" not in said and any(word.strip("./") not in kept for word in rest[:-1] if word.strip("./")):
            yield Code.FILES, each.text, each


def _settings(made: list[Instruction]) -> Iterator[tuple[Code, str, Instruction]]:
    for each in made:
        if each.word == "HEALTHCHECK":
            yield Code.HEALTHCHECK, each.text, each
        elif each.word in _SETTINGS:
            yield Code.SETTING, each.text, each


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_LETTERS else f"{plain[:_MOST_LETTERS]}…"
