"""Where files of the repository lie in the image of its own Dockerfile."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from deadweight_init.records import ImageWords, OwnDockerfile
from deadweight_init.tree import Tree, joined


def beside(tree: Tree, context: str, words: ImageWords) -> Iterator[tuple[str, str]]:
    """What the image has of the context as it is there: (source, absolute path in the image)."""
    copied = [(source, _place(tree, context, source, target, words)) for source, target in words.copied]
    yield from copied
    places = {target for _, target in copied}
    for source, target in words.brought:
        place = _place(tree, context, source, target, words)
        if place not in places and _is_data(tree, joined(context, source)):
            places.add(place)
            yield source, place


def beside_binary(tree: Tree, own: OwnDockerfile) -> OwnDockerfile:
    """Without what no binary alone needs, or can have: what another build makes, and scripts for a shell."""

    def is_there(source: str) -> bool:
        path = joined(own.context, source)
        there = tree.has_folder(path) and not tree.text(path).startswith("#!")
        return there or bool(re.search(r"[*?$]", source))

    return replace(own, words=replace(own.words, copied=tuple(each for each in own.words.copied if is_there(each[0]))))


_PLAIN = re.compile(
    r"(?:alpine|debian|ubuntu|busybox|scratch|static|base|cc|wolfi-base|glibc-dynamic|ubi\d*)(?:[-:@].*)?$"
)
"""Bases that hold no program of their own, and build nothing when an image is made of them."""


def absent_program(tree: Tree, own: OwnDockerfile) -> str:
    """The program that an image starts, where only the repository could hold it and does not: nothing in its Dockerfile makes
    anything (``COPY . .`` and ``ENTRYPOINT ["bin/shop"]``). Empty otherwise."""
    words, runs = (
        own.words,
        re.search(r"^\s*(?:RUN|COPY\s+--from|ADD\s+https?:)", own.text, re.MULTILINE | re.IGNORECASE),
    )
    program = words.program[0] if words.program else ""
    if runs or "/" not in program or len(words.bases) != 1 or not _PLAIN.match(posixpath.basename(words.base)):
        return ""
    path = posixpath.normpath(posixpath.join("/", words.workdir, program))
    for source, said in words.copied:
        target = said.rstrip("/") or "/"
        inside = posixpath.relpath(path, target)
        place = joined(own.context, posixpath.join(source, inside))
        if not inside.startswith("..") and tree.has_folder(joined(own.context, source)) and not tree.has_folder(place):
            return posixpath.relpath(place, own.context)
    return ""


def _place(tree: Tree, context: str, source: str, said: str, words: ImageWords) -> str:
    """Where it lies: a file that is copied into a folder keeps its name there."""
    is_file, target = "*" not in source and tree.has(joined(context, source)), said.rstrip("/") or "/"
    into_folder = (
        said.endswith("/")
        or target == words.workdir.rstrip("/")
        or (posixpath.splitext(source)[1] and not posixpath.splitext(target)[1])
    )
    return posixpath.join(target, posixpath.basename(source)) if is_file and into_folder else target


def _is_data(tree: Tree, path: str) -> bool:
    """Whether the repository has this, and it is no source code: a compiler's result may have the name of its folder."""
    below = list(tree.below(path, "")) if not tree.has(path) else []
    code = (".go", ".rs", ".java", ".kt", ".ts")
    return (tree.has(path) and not path.endswith(code)) or (
        bool(below) and not any(each.endswith(code) for each in below)
    )
