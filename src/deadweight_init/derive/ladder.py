"""List all variants derived from a repository's own Dockerfile, in any language, and what others leave out of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight.sources.dockerfile_lines import Instruction
from deadweight_init.derive import dockerfile, minimal
from deadweight_init.derive.changes import Change, Code
from deadweight_init.derive.dockerfile import Parsed, is_bare, libc, others
from deadweight_init.derive.runtime import RuntimeFiles
from deadweight_init.dockerfile import flags, reached
from deadweight_init.languages.common import flow
from deadweight_init.records import Ladder, OwnDockerfile, Rung

_FLAGS = re.compile(r"-ldflags[= ](?:'[^']*'|\"[^\"]*\"|\S+)|-tags[= ]\S+|GOEXPERIMENT=\S+|\s-[DP]\S+")
_COMPILES = re.compile(r"\b(?:go (?:build|install)|mvnw?|gradlew?)\b")
_FETCHES = re.compile(r"^RUN\s+(?:--\S+\s+)*go mod (?:download|verify|tidy)(?:\s+-x)?\s*$")
_SETTINGS = ("LABEL", "VOLUME", "STOPSIGNAL")
_OF_BASES = re.compile(r"/?etc/(?:ssl|passwd|group)|ca-certificates|zoneinfo")
_MOST_LETTERS = 90


def lost(parsed: Parsed, rung: Rung, files: Mapping[str, str]) -> tuple[Change, ...]:
    """One for each instruction that has no counterpart in this rung, or in its ``files``."""
    kept = " ".join([*rung.keys.values(), *(files[name] for name in rung.files)])
    built = [each for stage in reached(parsed.stages, parsed.own.target) for each in stage.said if each.word == "RUN"]
    made = [each for stage in parsed.chain for each in stage.said]
    program = next(iter(parsed.own.words.program), "")
    found = [*_runs(built), *_copies(made, kept, posixpath.basename(program)), *_settings(made)]
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


def _copies(made: list[Instruction], kept: str, program: str) -> Iterator[tuple[Code, str, Instruction]]:
    """Files of the context, and of other stages what is neither the program nor what each base has."""
    for instruction in made:
        said, rest = flags(instruction) if instruction.word in ("COPY", "ADD") else ({}, [])
        names = [word.strip("./") for word in rest[:-1] if word.strip("./")]
        if "from" in said:
            names = [name for name in names if posixpath.basename(name) != program and not _OF_BASES.search(name)]
        if any(name not in kept for name in names):
            yield Code.FILES, instruction.text, instruction


def _settings(made: list[Instruction]) -> Iterator[tuple[Code, str, Instruction]]:
    for each in made:
        if each.word == "HEALTHCHECK":
            yield Code.HEALTHCHECK, each.text, each
        elif each.word in _SETTINGS:
            yield Code.SETTING, each.text, each


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_LETTERS else f"{plain[:_MOST_LETTERS]}…"


MINIMAL = "minimal"


def ladder(
    own: OwnDockerfile, place: str, keys: Mapping[str, str], found: RuntimeFiles | str, config: Mapping[str, Any]
) -> Ladder:
    """The own Dockerfile on other bases, and its run-time files on nothing. ``keys`` are those of the own rung; ``found`` are the
    run-time files, or why they are not known; ``config`` is that of the built image, empty if it is not known."""
    parsed = dockerfile.parse(own)
    if parsed is None:
        return Ladder(())
    rungs, files = list[Rung](), dict[str, str]()
    if not is_bare(parsed.base):
        rung = _minimal(parsed, place, keys, found)
        rungs.append(rung)
        if isinstance(found, RuntimeFiles):
            files[rung.files[0]] = minimal.text(parsed, found, config)
    rungs += _on_others(parsed, f"{place}/Dockerfile", keys)
    if any(f"{place}/Dockerfile" in each.files for each in rungs):
        files[f"{place}/Dockerfile"] = dockerfile.on_another_base(parsed, config)
    if own.ignored:
        files |= {f"{name}.dockerignore": own.ignored for name in tuple(files)}
    return Ladder(tuple(rungs), files)


def _minimal(parsed: dockerfile.Parsed, place: str, keys: Mapping[str, str], found: RuntimeFiles | str) -> Rung:
    files = _files(parsed, f"{place}/minimal.Dockerfile")
    file = files[0]
    made = {**{key: value for key, value in keys.items() if key != "target"}, "dockerfile": file}
    what = f"{parsed.own.path}: what it runs, without the rest of {parsed.base}"
    if isinstance(found, str):
        return Rung(MINIMAL, "dockerfile", what, made, files, found)
    return Rung(MINIMAL, "dockerfile", what, made, files, changes=minimal.changes(parsed, found))


def _on_others(parsed: dockerfile.Parsed, file: str, keys: Mapping[str, str]) -> Iterator[Rung]:
    own, argument = parsed.own, dockerfile.argument(parsed.own)
    found = others(parsed.base, parsed.chain)
    for name in sorted(found, key=lambda each: (libc(found[each]) != libc(parsed.base), tuple(found).index(each))):
        made = {**keys, "dockerfile": file, "bases": flow({argument: found[name]})}
        change = dockerfile.base_change(parsed, found[name])
        yield Rung(name, "dockerfile", f"{own.path} on {found[name]}", made, _files(parsed, file), changes=(change,))


def _files(parsed: dockerfile.Parsed, file: str) -> tuple[str, ...]:
    """A Dockerfile, with the ignore file that the own one has for itself."""
    return (file, f"{file}.dockerignore") if parsed.own.ignored else (file,)
