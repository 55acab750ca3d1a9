"""Read an image's settings from a Dockerfile, and check if it can be built from a fresh checkout."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from deadweight.records.ignore import Ignore
from deadweight.sources.dockerfile_lines import Instruction
from deadweight_init.records import ImageWords, Known
from deadweight_init.stages import (
    PLATFORM,
    Stage,
    chain_of,
    env_of,
    filled,
    find_stage,
    flags,
    learn,
    reached,
    stages_of,
    words_of,
)
from deadweight_init.tree import Tree, folder_of, joined

_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\$\{\w+(?::?-\w*)?\}|\$?\w+))?(/[^\s\"'|;)]*)?"
)
_SHELL = ("/bin/sh", "-c")


_OF_BASES = {"golang": {"GOPATH": "/go"}, "rust": {"CARGO_HOME": "/usr/local/cargo"}}
"""Variables of well-known bases by which Dockerfiles name folders."""


def read_words(text: str, name: str, target: str | None = None, args: Mapping[str, str] | None = None) -> ImageWords:
    """What the image of ``target`` (default: the last stage) is told to be. ``name`` is the file's, for origins; ``args`` are
    build arguments without a default."""
    given, stages = stages_of(text, args or {})
    bases = tuple(filled(each.base, given) for each in stages)
    words = _of_chain(chain_of(stages, target), given, name)
    names = tuple(each.name for each in stages)
    brought = tuple(_brought(stages, target, given, name))
    return replace(words, bases=bases, stages=names, brought=brought)


def _of_chain(chain: Sequence[Stage], given: Mapping[str, str], name: str) -> ImageWords:
    words = ImageWords(base=filled(chain[0].base, given) if chain else "")
    known = re.match(r"(?:.*/)?(golang|rust)\b", words.base)
    values = {**(_OF_BASES[known[1]] if known else {}), **given}
    for stage in chain:
        words = replace(words, taken=())
        for each in stage.said:
            words = _with(words, each, values, name)
    return words


def _brought(
    stages: Sequence[Stage], target: str | None, given: Mapping[str, str], name: str
) -> Iterator[tuple[str, str]]:
    """Files of the context that come into the image by way of an earlier stage: (source, absolute path in the image)."""
    values, workdir = dict(given), "/"
    for stage in chain_of(stages, target):
        for each in stage.said:
            learn(each, values)
            if each.word == "WORKDIR":
                workdir = posixpath.join(workdir, filled(each.text.split(None, 1)[-1].strip(), values))
            said, rest = flags(each) if each.word == "COPY" else ({}, [])
            at = find_stage(stages[: stages.index(stage)], said["from"]) if said.get("from") else None
            if at is None or len(rest) < 2:
                continue
            there = _of_chain(chain_of(stages[: at + 1], None), given, name).copied
            for source in rest[:-1]:
                for found in _before(posixpath.join("/", filled(source, values)), there):
                    yield found, posixpath.normpath(posixpath.join(workdir, filled(rest[-1], values)))


def _before(path: str, copied: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Where a path of a stage may come from in the context."""
    for source, said in reversed(copied):
        target = said.rstrip("/") or "/"
        if "*" in posixpath.basename(path):  # of a folder's files those of one kind
            path = posixpath.dirname(path)
        if path == target or target == "/" or path.startswith(f"{target}/"):
            yield posixpath.normpath(posixpath.join(source, posixpath.relpath(path, target)))


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
    pattern = _glob(path)
    return any(pattern.fullmatch(each) for each in (*present, *folders))


_KEPT = ("vendor", "third_party")
"""Folders of other people's code that a repository holds: it is no service of its own, and the list of files has none of it."""


def _is_kept(tree: Tree, context: str, source: str) -> bool:
    path = posixpath.normpath(source.lstrip("/") or ".")
    return any(each in _KEPT for each in path.split("/")) and (tree.root / context / path).exists()


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
    if each.word in ("USER", "STOPSIGNAL"):
        plain = filled(body.strip(), values)
        return replace(words, user=Known(plain, origin)) if each.word == "USER" else replace(words, stop=plain)
    if each.word == "WORKDIR":
        return replace(words, workdir=posixpath.join(words.workdir, filled(body.strip(), values)))
    if each.word in ("ENTRYPOINT", "CMD"):
        said = _command(body)
        return replace(words, command=said) if each.word == "CMD" else replace(words, entrypoint=said, command=())
    if each.word == "HEALTHCHECK":
        return replace(words, health=tuple(Known(path, origin) for _, path in urls(filled(body, values))))
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


def urls(text: str) -> Iterator[tuple[int | None, str]]:
    """Ports and paths of the service's own URLs in a command of a health check; a variable without a value is empty."""
    for found in _URL.finditer(text):
        port = found[1] if found[1] and found[1].isdigit() else None
        yield (int(port) if port else None), re.sub(r"\$(?:\{\w+(?::?-([^}]*))?\}|\w+)", r"\1", found[2] or "/") or "/"


def _ports(body: str, origin: str) -> Iterator[Known[int]]:
    for word in body.split():
        number, _, protocol = word.partition("/")
        if number.isdigit() and 0 < int(number) < 65536 and protocol in ("", "tcp"):
            yield Known(int(number), origin)


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
