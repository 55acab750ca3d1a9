"""Write a Dockerfile that copies only the run-time files and settings of the repository's own image onto scratch."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deadweight.sources.dockerfile_lines import arguments
from deadweight_init.derive.changes import Change, Code
from deadweight_init.derive.dockerfile import Parsed, name_of, with_more
from deadweight_init.derive.runtime import DPKG, RuntimeFiles
from deadweight_init.dockerfile import env_of

FILES, ROOT = "run-time-files", "/run-time-files"
_MADE = ("tmp", "var/tmp", "run", "root")
"""Folders that programs take for granted."""

_PARAGRAPHS = 'BEGIN{RS="";ORS="\\n\\n";n=split("%s",a," ");for(i=1;i<=n;i++)k[a[i]]=1} match($0,/(^|\\n)%s[^\\n]+/)'
_PARAGRAPHS += '{s=substr($0,RSTART,RLENGTH);sub(/^\\n?%s/,"",s);if(s in k)print}'
_MOST_NAMED = 12


def text(parsed: Parsed, found: RuntimeFiles, config: Mapping[str, Any]) -> str:
    """The Dockerfile. ``config`` is that of the own image."""
    lines = [
        "# What the image runs: what was put into it, what it was seen to open, and what these need.",
        f"FROM {name_of(parsed)} AS {FILES}",
        "USER 0",
        *_taken(found),
        "",
        "FROM scratch",
        f"COPY --from={FILES} {ROOT}/ /",
        "# As in the own image.",
        *_settings(parsed, config, checks_health=found.checks_health),
    ]
    return with_more(parsed, lines)


def changes(parsed: Parsed, found: RuntimeFiles) -> tuple[Change, ...]:
    """What it has otherwise than the own image."""
    told = [Change(Code.BASE, f"{parsed.base} -> scratch, with the files below", parsed.chain[0].line, parsed.own.path)]
    if found.gone:
        more = f" and {len(found.gone) - _MOST_NAMED} more" if len(found.gone) > _MOST_NAMED else ""
        told.append(
            Change(
                Code.PROGRAMS, f"{_names(found.gone)}{more}, of the base: a request that nobody recorded may start one"
            )
        )
    if found.left:
        told.append(
            Change(
                Code.FILES, f"{', '.join(f'/{each}' for each in found.left)}: of tools, and nothing in them was opened"
            )
        )
    if not found.checks_health:
        line = next((each.line for stage in parsed.chain for each in stage.said if each.word == "HEALTHCHECK"), 0)
        told.append(Change(Code.HEALTHCHECK, "what it runs is not there", line, parsed.own.path))
    return tuple(told)


_TELLING = ("sh", "bash", "apt-get", "apk", "dnf", "curl", "wget", "git", "python3", "perl", "ssh", "openssl")


def _names(gone: Sequence[str]) -> str:
    """Some of the programs: first those that services start."""
    first = [each for each in _TELLING if each in gone]
    return ", ".join([*first, *(each for each in gone if each not in first)][:_MOST_NAMED])


def _taken(found: RuntimeFiles) -> Iterator[str]:
    """The RUN that puts the files aside, links as links, with their owners."""
    steps = [
        f"mkdir -p {' '.join(f'{ROOT}/{each}' for each in _MADE)}",
        f"chmod 1777 {ROOT}/tmp {ROOT}/var/tmp",  # noqa: S108 - in the image
        f"chmod 700 {ROOT}/root",
        "cd /",
        " \\\n      ".join([f"tar -cf {ROOT}.tar", *(shlex.quote(each) for each in found.paths)]),
        f"tar -xpf {ROOT}.tar -C {ROOT}",
        f"rm {ROOT}.tar",
        *(step for each in found.folders for step in _as_it_was(each.path, each.mode, each.uid, each.gid)),
        *_databases(found.packages),
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
    said = [each for stage in parsed.chain for each in stage.said]
    declared = {name: each.text for each in said if each.word == "ARG" for name in arguments(each.text)}
    used = {name for name in declared if any(_uses(name, each.text) for each in said if each.word in ("ENV", "LABEL"))}
    yield from (declared[name] for name in declared if name in used)
    named = {"ENV": _values(said, "ENV", used), "LABEL": _values(said, "LABEL", used)}
    env = dict(each.partition("=")[::2] for each in config.get("Env") or ())
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
    if checks_health and (test := config.get("Healthcheck")):
        yield _health(test)
    yield from ([f"ENTRYPOINT {json.dumps(config['Entrypoint'])}"] if config.get("Entrypoint") else [])
    yield from ([f"CMD {json.dumps(config['Cmd'])}"] if config.get("Cmd") else [])


def _uses(name: str, text: str) -> bool:
    return re.search(rf"\$\{{?{name}\b", text) is not None


def _values(said: Sequence[Any], word: str, used: set[str]) -> dict[str, str]:
    """The values that name an ARG, as they are written, in quotes."""
    pairs = (pair for each in said if each.word == word for pair in env_of(each.text.split(None, 1)[-1]).items())
    return {
        name: '"' + value.replace('"', '\\"') + '"' for name, value in pairs if any(_uses(arg, value) for arg in used)
    }


def _quoted(value: str) -> str:
    """A value in quotes, in which nothing is a variable."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _health(test: Mapping[str, Any]) -> str:
    if test.get("Test") == ["NONE"]:
        return "HEALTHCHECK NONE"
    flags = [
        f"--{flag}={test[key] // 1_000_000}ms"
        for flag, key in (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"))
        if test.get(key)
    ]
    flags += [f"--retries={test['Retries']}"] if test.get("Retries") else []
    words = test.get("Test") or []
    command = json.dumps(words[1:]) if words[:1] == ["CMD"] else " ".join(words[1:])
    return " ".join(["HEALTHCHECK", *flags, "CMD", command])
