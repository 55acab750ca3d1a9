"""Map which repository files an image holds, from its Dockerfile, and drop Compose mounts that would hide them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from deadweight_init.languages.table import is_pages
from deadweight_init.records import ImageWords, OwnDockerfile, Service
from deadweight_init.tree import Tree, joined

_MADE = frozenset(
    ("node_modules", ".venv", "venv", "vendor", "target", ".next", ".cache", "__pycache__", ".gradle", ".m2")
)
"""Folders that an image or a build fills: a volume only keeps them from what is mounted around them."""


_CODE = re.compile(r"/(?:app|code|src|usr/src|workspaces?|home/node|var/www|opt/app|go/src)(?:/|$)")
"""Where images of others are given code: one that is made here has its own there."""


def with_own_mounts(service: Service) -> Service:
    """The service with what its platform gives it: data and settings, and no code that its image has already."""
    own = [each.words for each in service.dockerfiles]
    around = service.around
    made = service.project is not None and not is_pages(service.project)
    files = {
        target: known
        for target, known in around.files.items()
        if not any(_is_in(target, place) for words in own for place in _places(words))
        and (own or not _CODE.match(target))
        and not ((made or not own) and known.value in (".", service.folder))
    }
    volumes = (each for each in around.volumes if _is_data(each.value, own) and (own or not _CODE.match(each.value)))
    env = {name: known for name, known in around.env.items() if not _is_path_in(name, known.value, own)}
    around = replace(around, files=files, volumes=tuple(volumes), env=env)
    images = tuple(
        replace(
            each,
            words=replace(
                each.words, volumes=tuple(known for known in each.words.volumes if _is_data(known.value, own))
            ),
        )
        for each in service.dockerfiles
    )
    return replace(service, around=around, dockerfiles=images)


_SEARCHED = re.compile(r"(?:PYTHON|NODE_|GO|CLASS|LD_LIBRARY_)?PATH|VIRTUAL_ENV")


def _is_path_in(name: str, value: str, own: Sequence[ImageWords]) -> bool:
    """Whether a variable says where programs or packages lie in an image that says so itself, or in one that is not there: in
    others it would lead past their own."""
    told = not own or all(name in each.env for each in own)
    return _SEARCHED.fullmatch(name) is not None and value.startswith("/") and told


def _is_data(folder: str, own: Iterable[ImageWords]) -> bool:
    """Whether nothing of the image is hidden where this folder is empty."""
    if posixpath.basename(folder) in _MADE or folder in ("/", "/tmp"):  # noqa: S108 - in the container
        return False
    return not any(_is_in(place, folder) for words in own for place in _places(words))


def _places(words: ImageWords) -> tuple[str, ...]:
    return tuple(place for place in (words.workdir, *words.taken) if place != "/")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def beside(tree: Tree, context: str, words: ImageWords) -> Iterator[tuple[str, str]]:
    """What the image has of the context as it is there: (source, absolute path in the image)."""
    return ((source, _place(tree, context, source, target, words)) for source, target in words.copied)


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
