"""Parse a Dockerfile into stages, read its image's settings, and check if it can be built from a fresh checkout."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from deadweight.records.ignore import Ignore
from deadweight.sources.adapt_dockerfile import FROM, Instruction, arguments, instructions
from deadweight_init.records import ImageWords, Known
from deadweight_init.tree import Tree, folder_of, joined

VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?([-+?])([^}]*))?\}|(\w+))")
PLATFORM = {"TARGETPLATFORM": "linux/amd64", "TARGETOS": "linux", "TARGETARCH": "amd64", "TARGETVARIANT": ""}


@dataclass
class Stage:
    """One stage: what it stands on, its name in small letters (empty without one), the line of its FROM, and its instructions.

    ``span`` is where the base stands in the file, as written; ``end`` is where the FROM ends.
    """

    base: str
    name: str
    line: int
    span: tuple[int, int]
    end: int
    said: list[Instruction] = field(default_factory=list)


def flags(each: Instruction) -> tuple[dict[str, str], list[str]]:
    """The flags of an instruction, and its other words."""
    body = each.text.split(None, 1)[1] if len(each.text.split(None, 1)) > 1 else ""
    said: dict[str, str] = {}
    while found := re.match(r"--([\w-]+)(?:=(\S+))?\s+", body):
        said[found[1]] = found[2] or ""
        body = body[found.end() :]
    return said, list(words_of(body))


def words_of(body: str) -> tuple[str, ...]:
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


def learn(each: Instruction, values: dict[str, str]) -> None:
    """ARG and ENV give later instructions their variables."""
    if each.word == "ARG":
        for key, value in arguments(each.text).items():
            if value is not None:
                values[key] = filled(value, values)
    elif each.word == "ENV":
        for key, value in env_of(each.text.split(None, 1)[1] if " " in each.text else "").items():
            values[key] = filled(value, values)


def env_of(body: str) -> dict[str, str]:
    """``A=b C=d``, or the old form ``A b``."""
    if re.match(r"\s*\w+\s+[^=\s]", body) and "=" not in body.split(None, 1)[0]:
        key, value = body.split(None, 1)
        return {key: value.strip()}
    return {word.partition("=")[0]: word.partition("=")[2] for word in words_of(body) if "=" in word}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Variables put in as far as their values are known."""

    def value(found: re.Match[str]) -> str:
        known = values.get(found[1] or found[4])
        if found[2] == "-" and not known:
            return found[3]
        if found[2] == "+":
            return found[3] if known else ""
        return found[0] if known is None else known

    return VARIABLE.sub(value, text)


def stages_of(text: str, args: Mapping[str, str]) -> tuple[dict[str, str], list[Stage]]:
    """The variables that are known before the first stage, and the stages. ``args`` are build arguments without a default."""
    given: dict[str, str] = dict(args)
    stages: list[Stage] = []
    for each in instructions(text):
        found = FROM.match(each.text) if each.word == "FROM" else None
        if found:
            base = filled(found[2].strip("\"'"), {**PLATFORM, **given})
            span = (each.place(found.start(2)), each.place(found.end(2) - 1) + 1)
            end = each.place(len(each.text.rstrip()) - 1) + 1
            stages.append(Stage(base, (found[3] or "").lower(), each.line, span, end))
        elif stages:
            stages[-1].said.append(each)
        else:
            learn(each, given)
    return given, stages


def find_stage(stages: Sequence[Stage], name: str) -> int | None:
    """The number of a stage by its name or number; None without it."""
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower() and name]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def chain_of(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """The stages that one stands on, itself last."""
    if not stages:
        return []
    at: int | None = len(stages) - 1 if target is None else find_stage(stages, target)
    chain: list[Stage] = []
    while at is not None and stages[at] not in chain:
        chain.insert(0, stages[at])
        at = find_stage(stages[:at], stages[at].base)
    return chain


def reached(stages: Sequence[Stage], target: str | None) -> list[Stage]:
    """All stages that BuildKit builds for one: those that it stands on and those that it copies from."""
    found: list[Stage] = []
    todo = chain_of(stages, target)
    while todo:
        stage = todo.pop()
        if stage in found:
            continue
        found.append(stage)
        for each in stage.said:
            for name in re.findall(r"(?:--from=|[,\s]from=)([\w.-]+)", each.text):
                at = find_stage(stages, name)
                todo += [] if at is None else chain_of(stages[: at + 1], None)
    return found


def without_default(text: str) -> set[str]:
    """The build arguments that a Dockerfile declares and gives no value."""
    found = (arguments(each.text) for each in instructions(text) if each.word == "ARG")
    return {name for said in found for name, value in said.items() if value is None}


def unknown_bases(text: str, target: str | None, args: Mapping[str, str]) -> list[str]:
    """The bases of those stages that are built whose reference has a variable without a value."""
    given, stages = stages_of(text, args)
    bases = (filled(each.base, {**PLATFORM, **given}) for each in reached(stages, target))
    return [each for each in bases if "$" in each or not each]


_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(?:\$\{\w+(?::?-\w*)?\}|\$?\w+))?(/[^\s\"'|;)]*)?"
)
_SHELL = ("/bin/sh", "-c")


def read_words(text: str, name: str, target: str | None = None, args: Mapping[str, str] | None = None) -> ImageWords:
    """What the image of ``target`` (default: the last stage) is told to be. ``name`` is the file's, for origins; ``args`` are
    build arguments without a default."""
    given, stages = stages_of(text, args or {})
    bases = tuple(filled(each.base, given) for each in stages)
    words = _of_chain(chain_of(stages, target), given, name)
    return replace(words, bases=bases)


def _of_chain(chain: Sequence[Stage], given: Mapping[str, str], name: str) -> ImageWords:
    words = ImageWords(base=filled(chain[0].base, given) if chain else "")
    values = dict(given)
    for stage in chain:
        words = replace(words, taken=())
        for each in stage.said:
            words = _with(words, each, values, name)
    return words


def missing_sources(tree: Tree, text: str, context: str, ignore: Ignore, target: str | None = None) -> list[str]:
    """What its COPY and ADD take from the context and is not there: made by a build that ran before."""
    given, stages = stages_of(text, {})
    present = [path[len(context) + 1 :] if context != "." else path for path in tree.below(context, "")]
    if (tree.root / context / ".git").exists():  # a checkout has it, though no list of files
        present.append(".git/HEAD")
    present = [path for path in present if not ignore.matches(path)]
    folders = {"/".join(path.split("/")[:depth]) for path in present for depth in range(1, path.count("/") + 1)}
    absent = []
    for stage in reached(stages, target):
        values = {**given, **PLATFORM}
        for each in stage.said:
            learn(each, values)
            sources = {
                source: _is_there(source, present, folders) or _is_kept(tree, context, source)
                for source in _sources(each, values)
            }
            # a pattern that nothing matches copies nothing, which is meant so beside a file (``pyproject.toml poetry.lock*``)
            some = any(sources.values())
            absent += [source for source, there in sources.items() if not there and not (some and "*" in source)]
    return list(dict.fromkeys(absent))


def _is_there(source: str, present: Sequence[str], folders: set[str]) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    if path == "." or path in folders:
        return True
    pattern = re.compile(re.escape(path).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
    return any(pattern.fullmatch(each) for each in (*present, *folders))


_KEPT = ("vendor", "third_party")
"""Folders of other people's code that a repository holds: it is no service of its own, and the list of files has none of it."""


def _is_kept(tree: Tree, context: str, source: str) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    return any(each in _KEPT for each in path.split("/")) and (tree.root / context / path).exists()


def _sources(each: Instruction, values: Mapping[str, str]) -> Iterator[str]:
    """Sources of a COPY or ADD of the context. Those that a variable without value names cannot be told."""
    if each.word not in ("COPY", "ADD") or "<<" in each.text:
        return
    said, rest = flags(each)
    if "from" in said or len(rest) < 2:
        return
    for source in rest[:-1]:
        plain = filled(source, values)
        if "://" not in plain and not plain.startswith("git@"):
            yield plain


def _command(body: str) -> tuple[str, ...]:
    """ENTRYPOINT and CMD: the exec form as it is, the shell form as the shell's argument."""
    if body.strip().startswith("["):
        return words_of(body)
    return (*_SHELL, body.strip()) if body.strip() else ()


def _with(words: ImageWords, each: Instruction, values: dict[str, str], name: str) -> ImageWords:
    """The words after one more instruction."""
    body = each.text.split(None, 1)[1] if len(each.text.split(None, 1)) > 1 else ""
    origin = f"from {name}:{each.line}"
    learn(each, values)
    if each.word == "ENV":
        env = {key: values[key] for key in env_of(body) if "$" not in values.get(key, "$")}
        return replace(words, env={**words.env, **env})
    if each.word == "EXPOSE":
        return replace(words, ports=(*words.ports, *_ports(filled(body, values), origin)))
    if each.word == "VOLUME":
        # a list without quotes is no list: Docker makes a folder named "[/data]" of it
        paths = (path for path in words_of(filled(body, values)) if not re.search(r"[$\[\]]", path))
        named = (Known(posixpath.normpath(posixpath.join("/", path)), origin) for path in paths)
        return replace(words, volumes=(*words.volumes, *named))
    if each.word == "STOPSIGNAL":
        return replace(words, stop=filled(body.strip(), values))
    if each.word == "WORKDIR":
        return replace(words, workdir=posixpath.join(words.workdir, filled(body.strip(), values)))
    if each.word in ("ENTRYPOINT", "CMD"):
        said = _command(body)
        return replace(words, command=said) if each.word == "CMD" else replace(words, entrypoint=said, command=())
    if each.word == "HEALTHCHECK":
        return replace(words, health=tuple(Known(path, origin) for path in url_paths(filled(body, values))))
    if each.word in ("COPY", "ADD"):
        target = posixpath.normpath(posixpath.join(words.workdir, filled((flags(each)[1] or ["."])[-1], values)))
        taken = () if target == "/" or "$" in target else (target,)
        copied = (*words.copied, *_copied(each, values, words.workdir))
        return replace(words, copied=copied, taken=(*words.taken, *taken))
    return words


def _copied(each: Instruction, values: Mapping[str, str], workdir: str) -> Iterator[tuple[str, str]]:
    """(source, absolute path in the image), which ends with a slash where it is said to be a folder."""
    rest = flags(each)[1]
    into_folder = len(rest) > 2 or (len(rest) == 2 and filled(rest[-1], values).endswith(("/", "/.")))
    for source in _sources(each, values):
        target = posixpath.normpath(posixpath.join(workdir, filled(rest[-1], values)))
        yield source, f"{target}/" if into_folder and target != "/" else target


def url_paths(text: str) -> Iterator[str]:
    """Paths of the service's own URLs in a command of a health check; a variable without a value is empty."""
    for path in _URL.findall(text):
        yield re.sub(r"\$(?:\{\w+(?::?-([^}]*))?\}|\w+)", r"\1", path or "/") or "/"


def _ports(body: str, origin: str) -> Iterator[Known[int]]:
    for word in body.split():
        number, _, protocol = word.partition("/")
        if number.isdigit() and 0 < int(number) < 65536 and protocol in ("", "tcp"):
            yield Known(int(number), origin)


def context_of(tree: Tree, dockerfile: str, told: Sequence[str], target: str | None) -> tuple[str, list[str]]:
    """The build context of a Dockerfile, and what of its sources is missing there.

    Of those that files of the repository tell, then the Dockerfile's folder, then the root: the first that has all sources.
    """
    text, best = tree.texts[dockerfile], ("", list[str]())
    for context in dict.fromkeys((*told, folder_of(dockerfile), ".")):
        own = f"{dockerfile}.dockerignore"
        ignore = tree.texts[own] if own in tree.files else tree.texts[joined(context, ".dockerignore")]
        lines = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
        absent = missing_sources(tree, text, context, Ignore(lines), target)
        if not absent:
            return context, []
        if not best[0] or len(absent) < len(best[1]):
            best = (context, absent)
    return best
