"""Which mounts of a Compose file are the service's own, and which are a developer's who edits its code while it runs."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from deadweight_init.languages.table import is_compiled, is_pages
from deadweight_init.records import ImageWords, Service
from deadweight_init.tree import joined

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
        if (not _in_image(target, own) or _is_left_out(known.value, target, service))
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


_SETTINGS = re.compile(r"\.(?:toml|ya?ml|json|conf|cfg|ini|ron|env|properties|hcl)$")
_OF_BUILDS = re.compile(
    r"(?:package|package-lock|tsconfig[\w.-]*|nest-cli|components|composer|deno|angular|turbo|nx)\.json|pnpm-[\w-]+\.yaml"
    r"|(?:pyproject|Cargo|poetry|\.air|air|clippy|rustfmt)\.toml|setup\.cfg|\.[\w.-]+|(?:alembic|pytest|tox|uwsgi)\.ini"
)


def _is_left_out(path: str, target: str, service: Service) -> bool:
    """Whether a file of settings is mounted beside a compiled program whose image does not have it: it has the binary alone."""
    name = posixpath.basename(path)
    if not is_compiled(service.project) or not _SETTINGS.search(name) or _OF_BUILDS.fullmatch(name):
        return False
    copied = [(each.context, *pair) for each in service.dockerfiles for pair in each.words.copied]
    there = (joined(context, source) for context, source, _ in copied)
    taken = {place for each in service.dockerfiles for place in each.words.taken}
    return target not in taken and not any(each == "." or _is_in(path, each) for each in there)


def _in_image(target: str, own: Iterable[ImageWords]) -> bool:
    """Whether its image has something at this place already, as far as its Dockerfile says."""
    return any(_is_in(target, place) for words in own for place in _places(words))


def _is_data(folder: str, own: Iterable[ImageWords]) -> bool:
    """Whether nothing of the image is hidden where this folder is empty."""
    if posixpath.basename(folder) in _MADE or folder in ("/", "/tmp"):  # noqa: S108 - in the container
        return False
    return not any(_is_in(place, folder) for words in own for place in _places(words))


def _places(words: ImageWords) -> tuple[str, ...]:
    return tuple(place for place in (words.workdir, *words.taken) if place != "/")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
