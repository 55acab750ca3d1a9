"""Derive variants from the repository's own Dockerfile: its image on another base (``bases.toml``), its run-time files on scratch.

What a variant has otherwise than the own image is listed, in any language.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from deadweight.records.reference import split
from deadweight.sources.adapt_dockerfile import Instruction, arguments as arguments_of, directives
from deadweight_init.derive.runtime import DPKG, RuntimeFiles
from deadweight_init.languages.common import HEADER, flow
from deadweight_init.records import Change, Code, Ladder, OwnDockerfile, Rung, wording
from deadweight_init.repository.dockerfiles import (
    Stage,
    built_stages,
    chain_of,
    env_of,
    find_stage,
    split_flags,
    stages_of,
    substitute,
)

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


def _flavours(base: str, chain: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    repository, tag = split(base)[:2]
    words = [step.word for stage in chain for step in stage.body]
    match = _TAG.fullmatch(tag or "latest")
    for entry in _table()["tags"]:
        if match is None or not re.fullmatch(entry["repository"], repository):
            continue
        version = "" if match["version"] in ("latest", "stable") else match["version"]
        stem = f"{version}{match['kind'] or ''}".strip("-")
        number = int(digits[0]) if (digits := re.match(r"\d+", version)) else 99
        for flavour in entry["flavours"]:
            wrong = (flavour == "alpine" and match["kind"] == "-apache") or number < entry.get("least", 0)
            if not wrong and not tag.endswith(f"-{flavour}"):
                yield flavour, f"{repository}:{'-'.join(part for part in (stem, flavour) if part)}"
    for entry in _table()["related"]:
        version_of = re.fullmatch(entry.get("version", ".*"), tag)
        if version_of is None or not re.fullmatch(entry["repository"], repository):
            continue
        if entry.get("needs") == "entrypoint" and "ENTRYPOINT" not in words:
            continue
        for name, other in entry["others"].items():
            yield name, other.replace("${version}", version_of[1] if version_of.groups() else "")


def _is_suitable(base: str, other: str, chain: Sequence[Stage]) -> bool:
    """Whether what the stages do works on the other base: its C library for what other stages compiled, its shell, its packages."""
    steps = [step for stage in chain for step in stage.body]
    runs = [step.text for step in steps if step.word == "RUN"]
    brings = any(step.word == "COPY" and "from" in split_flags(step)[0] for step in steps)
    if libc(base) not in ("none", libc(other)) and (brings or libc(other) == "none"):
        return False  # what another stage compiled wants the C library that it was compiled for
    if is_bare(other) and (runs or any(_needs_shell(step.word, step.text) for step in steps)):
        return False
    return all(
        re.fullmatch(where, other)
        for command, where in _table()["managers"].items()
        if any(re.search(command, run) for run in runs)
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
    base = substitute(chain[0].base, given)
    is_known = "$" not in base and find_stage(stages, base) is None
    return Parsed(own, tuple(stages), tuple(chain), base) if is_known else None


def argument_name(own: OwnDockerfile) -> str:
    """A name for the base's argument that the file does not use."""
    return next(name for name in _ARGUMENTS if not re.search(rf"\b{name}\b", own.text))


def on_another_base(parsed: Parsed, config: Mapping[str, Any]) -> str:
    """The own Dockerfile with an argument in the place of the base below its image. ``config`` is the built image's: what it has
    from its own base is written down, as the other base may set it otherwise."""
    own, stage = parsed.own, parsed.chain[0]
    (begin, end), name = stage.span, argument_name(own)
    text = (
        f"{own.text[:begin]}${{{name}}}{own.text[end : stage.end]}{_inherited(parsed, config)}{own.text[stage.end :]}"
    )
    head = wording("derived.base", file=own.path, line=stage.line, argument=name)
    return _with_header(text, head, name, parsed.base)


_INHERITED = "# As the original base image has it."


def _inherited(parsed: Parsed, config: Mapping[str, Any]) -> str:
    """The instructions for the user and the working folder of the own base, if no instruction of the Dockerfile sets them."""
    words = {step.word for stage in parsed.chain for step in stage.body}
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


def with_stages(parsed: Parsed, lines: list[str]) -> str:
    """The own Dockerfile with stages after its own. The image's stage can be named: ``stage_name``."""
    own, last = parsed.own, parsed.chain[-1]
    text = own.text if last.name else f"{own.text[: last.end]} AS {OWN}{own.text[last.end :]}"
    text = text if text.endswith("\n") else f"{text}\n"
    return _with_header(text, wording("derived.stages", file=own.path), "", "") + "\n".join(["", *lines]) + "\n"


def stage_name(parsed: Parsed) -> str:
    """The name of the image's own stage in what ``with_stages`` writes."""
    return parsed.chain[-1].name or OWN


def _with_header(text: str, comment: str, name: str, base: str) -> str:
    """With our first lines behind the parser's directives, which are directives only as the first lines of a file."""
    at = len(directives(text))
    lines = text.removeprefix("\ufeff").split("\n")
    head = [HEADER, f"# {comment}", *([f"ARG {name}={base}"] if name else [])]
    return "\n".join([*lines[:at], *head, *lines[at:]])


FILES, ROOT = "run-time-files", "/run-time-files"
_MADE = ("tmp", "var/tmp", "run", "root")
"""Folders that programs take for granted."""

_PARAGRAPHS = 'BEGIN{RS="";ORS="\\n\\n";n=split("%s",a," ");for(i=1;i<=n;i++)k[a[i]]=1} match($0,/(^|\\n)%s[^\\n]+/)'
_PARAGRAPHS += '{s=substr($0,RSTART,RLENGTH);sub(/^\\n?%s/,"",s);if(s in k)print}'
_MOST_NAMED = 12


def minimal_text(parsed: Parsed, runtime: RuntimeFiles, config: Mapping[str, Any]) -> str:
    """The Dockerfile. ``config`` is that of the own image."""
    lines = [
        "# What the image runs: what was put into it, what it was seen to open, and what these need.",
        f"FROM {stage_name(parsed)} AS {FILES}",
        "USER 0",
        *_set_aside(runtime),
        "",
        "FROM scratch",
        f"COPY --from={FILES} {ROOT}/ /",
        "# As in the own image.",
        *_settings(parsed, config, checks_health=runtime.checks_health),
    ]
    return with_stages(parsed, lines)


def minimal_changes(parsed: Parsed, runtime: RuntimeFiles) -> tuple[Change, ...]:
    """What it has otherwise than the own image."""
    changes = [Change(Code.BASE, wording("change.scratch", base=parsed.base), parsed.chain[0].line, parsed.own.path)]
    if runtime.gone:
        first = sorted(runtime.gone, key=lambda name: _TELLING.index(name) if name in _TELLING else len(_TELLING))
        more = f" and {len(runtime.gone) - _MOST_NAMED} more" if len(runtime.gone) > _MOST_NAMED else ""
        names = f"{', '.join(first[:_MOST_NAMED])}{more}"
        changes.append(Change(Code.PROGRAMS, wording("change.of_base", names=names)))
    if runtime.left:
        names = ", ".join(f"/{folder}" for folder in runtime.left)
        changes.append(Change(Code.FILES, wording("change.of_tools", names=names)))
    if not runtime.checks_health:
        line = next((step.line for stage in parsed.chain for step in stage.body if step.word == "HEALTHCHECK"), 0)
        changes.append(Change(Code.HEALTHCHECK, wording("change.not_there"), line, parsed.own.path))
    return tuple(changes)


_TELLING = ("sh", "bash", "apt-get", "apk", "dnf", "curl", "wget", "git", "python3", "perl", "ssh", "openssl")
"""Programs that services start: these are named first."""


def _set_aside(runtime: RuntimeFiles) -> Iterator[str]:
    """The RUN that puts the files aside, links as links, with their owners."""
    steps = [
        f"mkdir -p {' '.join(f'{ROOT}/{folder}' for folder in _MADE)}",
        f"chmod 1777 {ROOT}/tmp {ROOT}/var/tmp",  # noqa: S108 - in the image
        f"chmod 700 {ROOT}/root",
        "cd /",
        " \\\n      ".join([f"tar -cf {ROOT}.tar", *(shlex.quote(path) for path in runtime.paths)]),
        f"tar -xpf {ROOT}.tar -C {ROOT}",
        f"rm {ROOT}.tar",
        *(step for folder in runtime.folders for step in _as_it_was(folder.path, folder.mode, folder.uid, folder.gid)),
        *_databases(runtime.packages),
    ]
    yield "RUN " + " \\\n && ".join(steps)


def _as_it_was(path: str, mode: int, uid: int, gid: int) -> Iterator[str]:
    place = shlex.quote(f"{ROOT}/{path}")
    if uid or gid:
        yield f"chown {uid}:{gid} {place}"
    yield f"chmod {mode:o} {place}"


def _databases(packages: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What tells a scanner which packages of the OS are there: those alone."""
    for file, names in packages.items():
        field = "Package: " if file == DPKG else "P:"
        awk = _PARAGRAPHS % (" ".join(names), field, field)
        yield f"mkdir -p {ROOT}/{posixpath.dirname(file)}"
        yield f"awk '{awk}' /{file} > {ROOT}/{file}"


def _settings(parsed: Parsed, config: Mapping[str, Any], *, checks_health: bool) -> Iterator[str]:
    """The own image's settings. What an ARG of the Dockerfile gives stays with the ARG."""
    steps = [step for stage in parsed.chain for step in stage.body]
    declared = {name: step.text for step in steps if step.word == "ARG" for name in arguments_of(step.text)}
    used = {name for name in declared if any(_uses(name, step.text) for step in steps if step.word in ("ENV", "LABEL"))}
    yield from (declared[name] for name in declared if name in used)
    named = {"ENV": _values(steps, "ENV", used), "LABEL": _values(steps, "LABEL", used)}
    env = dict(pair.partition("=")[::2] for pair in config.get("Env") or ())
    for word, values in (("ENV", env), ("LABEL", config.get("Labels") or {})):
        for name, value in values.items():
            yield f"{word} {_quoted(name) if word == 'LABEL' else name}={named[word].get(name) or _quoted(value)}"
    if config.get("WorkingDir"):
        yield f"WORKDIR {config['WorkingDir']}"
    if config.get("User"):
        yield f"USER {config['User']}"
    ports, volumes = config.get("ExposedPorts") or {}, config.get("Volumes") or {}
    yield from ([f"EXPOSE {' '.join(sorted(ports))}"] if ports else [])
    yield from ([f"VOLUME {json.dumps(sorted(volumes))}"] if volumes else [])
    yield from ([f"STOPSIGNAL {config['StopSignal']}"] if config.get("StopSignal") else [])
    yield from ([f"SHELL {json.dumps(config['Shell'])}"] if config.get("Shell") else [])
    if checks_health and (test := config.get("Healthcheck")):
        yield _health(test, next((split_flags(step)[0] for step in reversed(steps) if step.word == "HEALTHCHECK"), {}))
    yield from ([f"ENTRYPOINT {json.dumps(config['Entrypoint'])}"] if config.get("Entrypoint") else [])
    yield from ([f"CMD {json.dumps(config['Cmd'])}"] if config.get("Cmd") else [])


def _uses(name: str, text: str) -> bool:
    return re.search(rf"\$\{{?{name}\b", text) is not None


def _values(steps: Sequence[Any], word: str, used: set[str]) -> dict[str, str]:
    """The values that name an ARG, as they are written, in quotes."""
    pairs = (pair for step in steps if step.word == word for pair in env_of(step.text.split(None, 1)[-1]).items())
    named = {name: value for name, value in pairs if any(_uses(arg, value) for arg in used)}
    return {name: '"' + value.replace('"', '\\"') + '"' for name, value in named.items()}


def _quoted(value: str) -> str:
    """A value in quotes, in which nothing is a variable."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _health(test: Mapping[str, Any], options: Mapping[str, str]) -> str:
    """The image's check. Engines before 25 do not keep the interval of its start: that is as in ``options``."""
    if test.get("Test") == ["NONE"]:
        return "HEALTHCHECK NONE"
    names = ("interval", "timeout", "start-period", "start-interval")
    spans = {name: test.get(name.title().replace("-", "")) for name in names}
    flags = [f"--{name}={span // 1_000_000}ms" for name, span in spans.items() if span]
    if "start-interval" in options and not spans["start-interval"]:
        flags.append(f"--start-interval={options['start-interval']}")
    flags += [f"--retries={test['Retries']}"] if test.get("Retries") else []
    words = test.get("Test") or []
    command = json.dumps(words[1:]) if words[:1] == ["CMD"] else " ".join(words[1:])
    return " ".join(["HEALTHCHECK", *flags, "CMD", command])


_VALUE = r"[= ](?:'[^']*'|\"[^\"]*\"|\S+)"
_VARIABLES = rf"\bCGO_ENABLED[= ]1\b|\bGO(?:EXPERIMENT|FLAGS|AMD64|ARM64|FIPS140){_VALUE}"
_FLAGS = re.compile(rf"{_VARIABLES}|-ldflags{_VALUE}|-tags[= ]\S+|\s-[DP]\S+")
"""What changes the program. ``-trimpath`` is none: ko and melange pass it too."""
_COMPILES = re.compile(r"\b(?:go (?:build|install)|mvnw?|gradlew?)\b")
_FETCHES = re.compile(r"^RUN\s+(?:--\S+\s+)*go mod (?:download|verify|tidy)(?:\s+-x)?\s*$")
_SETTINGS = ("LABEL", "VOLUME", "STOPSIGNAL")
_OF_BASES = re.compile(r"/?etc/(?:ssl|passwd|group)|ca-certificates|zoneinfo")
_MOST_LETTERS = 120


def lost_instructions(parsed: Parsed, rung: Rung, files: Mapping[str, str]) -> tuple[Change, ...]:
    """One for each instruction that has no counterpart in this rung, or in its ``files``, and one for another base: apko puts
    packages on nothing."""
    kept = " ".join([flow(rung.keys), *(files[name] for name in rung.files)])
    built = [step for stage in built_stages(parsed.stages, parsed.own.target) for step in stage.body]
    made = [step for stage in parsed.chain for step in stage.body]
    program = next(iter(parsed.own.words.program), "")
    losses = [*_lost_steps(built), *_lost_copies(made, kept, posixpath.basename(program))]
    lost = {"HEALTHCHECK": Code.HEALTHCHECK, **dict.fromkeys(_SETTINGS, Code.SETTING)}
    losses += [(step.line, lost[step.word], step.text) for step in made if step.word in lost]
    if (base := rung.keys.get("base", "scratch")) != parsed.base:
        bare = wording("change.bare") if is_bare(base) and not is_bare(parsed.base) else ""
        losses.append((parsed.chain[0].line, Code.BASE, f"{parsed.base} -> {base}{bare}"))
    losses.sort(key=lambda loss: loss[0])
    return tuple(Change(code, _short(what), line, parsed.own.path) for line, code, what in losses)


def _lost_steps(built: list[Instruction]) -> Iterator[tuple[int, Code, str]]:
    for step in built:
        sets = step.word == "ENV"
        if sets or (step.word == "RUN" and _COMPILES.search(step.text)):
            if flags := re.findall(_VARIABLES if sets else _FLAGS, step.text):
                yield step.line, Code.FLAGS, " ".join(flag.strip() for flag in flags)
        elif step.word == "RUN" and not _FETCHES.match(step.text):
            yield step.line, Code.STEP, step.text


def _lost_copies(made: list[Instruction], kept: str, program: str) -> Iterator[tuple[int, Code, str]]:
    """Files of the context, and of other stages what is neither the program nor what each base has."""
    for instruction in made:
        flags, rest = split_flags(instruction) if instruction.word in ("COPY", "ADD") else ({}, [])
        names = [word.strip("./") for word in rest[:-1] if word.strip("./")]
        if "from" in flags:
            mine = (name for name in names if not fnmatch.fnmatchcase(program, posixpath.basename(name)))
            names = [name for name in mine if not _OF_BASES.search(name)]
        if any(name not in kept for name in names):
            yield instruction.line, Code.FILES, instruction.text


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _MOST_LETTERS else f"{plain[:_MOST_LETTERS]}…"


MINIMAL = "minimal"


def ladder(
    own: OwnDockerfile, place: str, keys: Mapping[str, Any], runtime: RuntimeFiles | str, config: Mapping[str, Any]
) -> Ladder:
    """The own Dockerfile on other bases, and its run-time files on nothing. ``keys`` are those of the own rung; ``runtime`` is
    its run-time files, or why they are not known; ``config`` is that of the built image, empty if it is not known."""
    parsed = parse(own)
    if parsed is None:
        return Ladder(())
    rungs, files = list[Rung](), dict[str, str]()
    if not is_bare(parsed.base):
        rung = _minimal(parsed, place, keys, runtime)
        rungs.append(rung)
        if isinstance(runtime, RuntimeFiles):
            files[rung.files[0]] = minimal_text(parsed, runtime, config)
    rungs += _on_others(parsed, f"{place}/Dockerfile", keys)
    if any(f"{place}/Dockerfile" in rung.files for rung in rungs):
        files[f"{place}/Dockerfile"] = on_another_base(parsed, config)
    if own.ignored:
        files |= {f"{name}.dockerignore": own.ignored for name in tuple(files)}
    return Ladder(tuple(rungs), files)


def _minimal(parsed: Parsed, place: str, keys: Mapping[str, Any], runtime: RuntimeFiles | str) -> Rung:
    files = _files(parsed, f"{place}/minimal.Dockerfile")
    made = {**{key: value for key, value in keys.items() if key != "target"}, "dockerfile": files[0]}
    what = wording("rung.minimal", file=parsed.own.path, base=parsed.base)
    if isinstance(runtime, str):
        return Rung(MINIMAL, "dockerfile", what, made, files, runtime)
    return Rung(MINIMAL, "dockerfile", what, made, files, changes=minimal_changes(parsed, runtime))


def _on_others(parsed: Parsed, file: str, keys: Mapping[str, Any]) -> Iterator[Rung]:
    own, name_of_base = parsed.own, argument_name(parsed.own)
    flavours, base = _flavours(parsed.base, parsed.chain), parsed.base
    bases = {name: other for name, other in flavours if other != base and _is_suitable(base, other, parsed.chain)}
    for name in sorted(bases, key=lambda name: (libc(bases[name]) != libc(parsed.base), tuple(bases).index(name))):
        made = {**keys, "dockerfile": file, "bases": {name_of_base: bases[name]}}
        change = Change(Code.BASE, f"{parsed.base} -> {bases[name]}", parsed.chain[0].line, own.path)
        what = wording("rung.on", what=own.path, base=bases[name])
        yield Rung(name, "dockerfile", what, made, _files(parsed, file), changes=(change,))


def _files(parsed: Parsed, file: str) -> tuple[str, ...]:
    """A Dockerfile, with the ignore file that the own one has for itself."""
    return (file, f"{file}.dockerignore") if parsed.own.ignored else (file,)


def changed_settings(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Change]:
    """What another image is started with otherwise. Both are configurations (OCI: ``User``, ``WorkingDir``, ``Env``).

    Of the environment, bases differ in much that no service reads; a locale and a time zone change what it answers (POSIX, 8.2).
    """
    users = [re.sub(r"^(?:0|root)?(?::.*)?$", "root", config.get("User") or "") for config in (own, other)]
    users = [user.partition(":")[0] for user in users]
    folders = [config.get("WorkingDir") or "/" for config in (own, other)]
    for code, (before, after) in ((Code.USER, users), (Code.WORKDIR, folders)):
        if before != after:
            yield Change(code, f"{before} -> {after}")
    (before, after) = (dict(pair.partition("=")[::2] for pair in config.get("Env") or ()) for config in (own, other))
    for name in sorted(name for name in {**before, **after} if re.fullmatch(r"LANG|LANGUAGE|LC_[A-Z]+|TZ", name)):
        if before.get(name) != after.get(name):
            yield Change(Code.LOCALE, f"{name}={before.get(name, '')} -> {name}={after.get(name, '')}")
