"""What a repository's own Dockerfile says of its image, and whether it can be built from a fresh checkout."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deadweight.project.init.records import ImageWords, Known
from deadweight.project.init.tree import Tree, folder_of, joined
from deadweight.records.ignore import Ignore
from deadweight.sources.dockerfile_lines import FROM, Instruction, arguments, instructions

_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+])([^}]*))?\}|(\w+))")
_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\$?\{?\w+\}?))?(/[^\s\"'|;)]*)?")
_SHELL = ("/bin/sh", "-c")
PLATFORM = {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": ""}


@dataclass
class _Stage:
    base: str
    name: str
    said: list[Instruction] = field(default_factory=list)


def read_words(text: str, name: str, target: str | None = None) -> ImageWords:
    """What the image of ``target`` (default: the last stage) is told to be. ``name`` is the file's, for origins."""
    given, stages = _stages(text)
    chain = _chain(stages, target)
    bases = tuple(_filled(each.base, given) for each in stages)
    words = ImageWords(base=_filled(chain[0].base, given) if chain else "", bases=bases)
    values = dict(given)
    for stage in chain:
        words = replace(words, taken=())
        for each in stage.said:
            words = _with(words, each, values, name)
    return words


def missing_sources(tree: Tree, text: str, context: str, ignore: Ignore, target: str | None = None) -> list[str]:
    """What its COPY and ADD take from the context and is not there: made by a build that ran before."""
    given, stages = _stages(text)
    present = [path[len(context) + 1 :] if context != "." else path for path in tree.below(context, "")]
    if (tree.root / context / ".git").exists():  # a checkout has it, though no list of files
        present.append(".git/HEAD")
    present = [path for path in present if not ignore.matches(path)]
    folders = {"/".join(path.split("/")[:depth]) for path in present for depth in range(1, path.count("/") + 1)}
    absent = []
    for stage in _reached(stages, target):
        values = {**given, **PLATFORM}
        for each in stage.said:
            _learn(each, values)
            for source in _sources(each, values):
                if not _is_there(source, present, folders):
                    absent.append(source)
    return list(dict.fromkeys(absent))


def _is_there(source: str, present: Sequence[str], folders: set[str]) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    if path == "." or path in folders:
        return True
    pattern = _glob(path)
    return any(pattern.fullmatch(each) for each in (*present, *folders))


def _glob(path: str) -> re.Pattern[str]:
    return re.compile(
        "".join(
            "[^/]*" if part == "*" else "[^/]" if part == "?" else re.escape(part) for part in re.split(r"([*?])", path)
        )
    )


def _sources(each: Instruction, values: Mapping[str, str]) -> Iterator[str]:
    """Sources of a COPY or ADD of the context. Those that a variable without value names cannot be told."""
    if each.word not in ("COPY", "ADD") or "<<" in each.text:
        return
    flags, rest = _flags(each)
    if "from" in flags or len(rest) < 2:
        return
    for source in rest[:-1]:
        filled = _filled(source, values)
        if "://" not in filled and not filled.startswith("git@"):
            yield filled


def _flags(each: Instruction) -> tuple[dict[str, str], list[str]]:
    body = each.text.split(None, 1)[1] if len(each.text.split(None, 1)) > 1 else ""
    flags: dict[str, str] = {}
    while found := re.match(r"--([\w-]+)(?:=(\S+))?\s+", body):
        flags[found[1]] = found[2] or ""
        body = body[found.end() :]
    return flags, list(_words(body))


def _words(body: str) -> tuple[str, ...]:
    """Exec form (a JSON list) or shell words."""
    if body.strip().startswith("["):
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if isinstance(parsed, list):
            return tuple(str(word) for word in parsed)
    try:
        return tuple(shlex.split(body))
    except ValueError:
        return tuple(body.split())


def _command(body: str) -> tuple[str, ...]:
    """ENTRYPOINT and CMD: the exec form as it is, the shell form as the shell's argument."""
    if body.strip().startswith("["):
        return _words(body)
    return (*_SHELL, body.strip()) if body.strip() else ()


def _with(words: ImageWords, each: Instruction, values: dict[str, str], name: str) -> ImageWords:
    """The words after one more instruction."""
    body = each.text.split(None, 1)[1] if len(each.text.split(None, 1)) > 1 else ""
    origin = f"from {name}:{each.line}"
    _learn(each, values)
    if each.word == "ENV":
        env = {key: values[key] for key in _env(body) if "$" not in values.get(key, "$")}
        return replace(words, env={**words.env, **env})
    if each.word == "EXPOSE":
        return replace(words, ports=(*words.ports, *_ports(_filled(body, values), origin)))
    if each.word == "VOLUME":
        # a list without quotes is no list: Docker makes a folder named "[/data]" of it
        plain = (path for path in _words(_filled(body, values)) if not re.search(r"[$\[\]]", path))
        named = (Known(posixpath.join("/", path), origin) for path in plain)
        return replace(words, volumes=(*words.volumes, *named))
    if each.word == "USER":
        return replace(words, user=Known(_filled(body.strip(), values), origin))
    if each.word == "WORKDIR":
        return replace(words, workdir=posixpath.join(words.workdir, _filled(body.strip(), values)))
    if each.word == "ENTRYPOINT":
        return replace(words, entrypoint=_command(body), command=())
    if each.word == "CMD":
        return replace(words, command=_command(body))
    if each.word == "HEALTHCHECK":
        return replace(words, health=tuple(Known(path, origin) for _, path in urls(_filled(body, values))))
    if each.word in ("COPY", "ADD"):
        target = posixpath.normpath(posixpath.join(words.workdir, _filled((_flags(each)[1] or ["."])[-1], values)))
        taken = () if target == "/" or "$" in target else (target,)
        copied = (*words.copied, *_copied(each, values, words.workdir))
        return replace(words, copied=copied, taken=(*words.taken, *taken))
    return words


def _copied(each: Instruction, values: Mapping[str, str], workdir: str) -> Iterator[tuple[str, str]]:
    rest = _flags(each)[1]
    for source in _sources(each, values):
        target = posixpath.join(workdir, _filled(rest[-1], values))
        yield source, posixpath.normpath(target)


def urls(text: str) -> Iterator[tuple[int | None, str]]:
    """Ports and paths of the service's own URLs in a command of a health check."""
    for found in _URL.finditer(text):
        port = found[1] if found[1] and found[1].isdigit() else None
        yield (int(port) if port else None), found[2] or "/"


def _ports(body: str, origin: str) -> Iterator[Known[int]]:
    for word in body.split():
        number, _, protocol = word.partition("/")
        if number.isdigit() and 0 < int(number) < 65536 and protocol in ("", "tcp"):
            yield Known(int(number), origin)


def _learn(each: Instruction, values: dict[str, str]) -> None:
    """ARG and ENV give later instructions their variables."""
    if each.word == "ARG":
        for key, value in arguments(each.text).items():
            if value is not None:
                values[key] = _filled(value, values)
    elif each.word == "ENV":
        for key, value in _env(each.text.split(None, 1)[1] if " " in each.text else "").items():
            values[key] = _filled(value, values)


def _env(body: str) -> dict[str, str]:
    """``A=b C=d``, or the old form ``A b``."""
    if re.match(r"\s*\w+\s+[^=\s]", body) and "=" not in body.split(None, 1)[0]:
        key, value = body.split(None, 1)
        return {key: value.strip()}
    return {word.partition("=")[0]: word.partition("=")[2] for word in _words(body) if "=" in word}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Variables put in as far as their values are known."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1] or found[4])
        if found[2] == "-" and not known:
            return found[3]
        if found[2] == "+":
            return found[3] if known else ""
        return found[0] if known is None else known

    return _VARIABLE.sub(value, text)


def _stages(text: str) -> tuple[dict[str, str], list[_Stage]]:
    given: dict[str, str] = {}
    stages: list[_Stage] = []
    for each in instructions(text):
        found = FROM.match(each.text) if each.word == "FROM" else None
        if found:
            base = _filled(found[2].strip("\"'"), {**PLATFORM, **given})
            stages.append(_Stage(base, (found[3] or "").lower()))
        elif stages:
            stages[-1].said.append(each)
        else:
            _learn(each, given)
    return given, stages


def _find(stages: Sequence[_Stage], name: str) -> int | None:
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower() and name]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def _chain(stages: Sequence[_Stage], target: str | None) -> list[_Stage]:
    """The stages that one stands on, itself last."""
    if not stages:
        return []
    at: int | None = len(stages) - 1 if target is None else _find(stages, target)
    chain: list[_Stage] = []
    while at is not None and stages[at] not in chain:
        chain.insert(0, stages[at])
        at = _find(stages[:at], stages[at].base)
    return chain


def _reached(stages: Sequence[_Stage], target: str | None) -> list[_Stage]:
    """All stages that BuildKit builds for one: those that it stands on and those that it copies from."""
    found: list[_Stage] = []
    todo = _chain(stages, target)
    while todo:
        stage = todo.pop()
        if stage in found:
            continue
        found.append(stage)
        for each in stage.said:
            for name in re.findall(r"(?:--from=|[,\s]from=)([\w.-]+)", each.text):
                at = _find(stages, name)
                todo += [] if at is None else _chain(stages[: at + 1], None)
    return found


def context_of(tree: Tree, dockerfile: str, told: Sequence[str], target: str | None) -> tuple[str, list[str]]:
    """The build context of a Dockerfile, and what of its sources is missing there.

    Of those that files of the repository tell, then the Dockerfile's folder, then the root: the first that has all sources.
    """
    text, best = tree.text(dockerfile), ("", list[str]())
    for context in dict.fromkeys((*told, folder_of(dockerfile), ".")):
        own = f"{dockerfile}.dockerignore"
        ignore = tree.text(own) if tree.has(own) else tree.text(joined(context, ".dockerignore"))
        lines = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
        absent = missing_sources(tree, text, context, Ignore(lines), target)
        if not absent:
            return context, []
        if not best[0] or len(absent) < len(best[1]):
            best = (context, absent)
    return best
