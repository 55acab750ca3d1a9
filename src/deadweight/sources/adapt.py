"""Rewrite a copy of the user's melange.yaml or apko.yaml for another source. The user's file is never changed.

Such a file may name its own repositories, keyrings and architectures. Tools add the values from flags to those, so a build
from a mirror would still contact the public repository. The derived copy names none of them: flags give them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node

from deadweight._errors import ConfigError, wording
from deadweight.records.paths import content
from deadweight.sources.protocol import ApkFlavour
from deadweight.suite.yaml_nodes import compose

ALPINE_NAMES = ("alpine-base", "alpine-baselayout", "alpine-baselayout-data", "alpine-keys", "alpine-release", "musl")
MOST_INCLUDED = 16
"""A file that includes itself has no end."""

REPOSITORY_KEYS = ("repositories", "build_repositories", "runtime_repositories", "keyring")


def flavour_of(path: Path, root: Path) -> ApkFlavour:
    """Whose package names a file, and what it starts from, use: ``alpine`` if one asks for musl or an alpine-* package.

    A file that is missing or damaged counts as ``wolfi``: whoever reads it next tells what is wrong with it.
    """
    return "alpine" if any(map(_is_alpine, (path, *included(path, root)))) else "wolfi"


def _is_alpine(path: Path) -> bool:
    try:
        if not _says(path, rb"alpine|musl"):
            return False
        root = _compose(path)
    except ConfigError:
        return False
    names = (str(item.value) for contents in _contents(root) for item in _items(contents, "packages"))
    return any(re.split("[@=~]", name)[0] in ALPINE_NAMES for name in names)


def included(path: Path, root: Path) -> tuple[Path, ...]:
    """The files that an apko.yaml starts from (``include:``), one from the other; apko looks for them in the folder it runs in."""
    files: list[Path] = []
    while len(files) < MOST_INCLUDED:
        here = files[-1] if files else path
        try:
            fields = _compose(here).value if _says(here, rb"include") else ()
        except ConfigError:
            break
        name = next((str(value.value) for key, value in fields if key.value == "include" and value.value), None)
        if name is None or not (root / name).is_file():  # apko says what is missing
            break
        files.append(root / name)
    return tuple(files)


def derived(path: Path, include: str | None = None) -> str | None:
    """The same file without them, or None where it names none. Everything else stays as written, except comments.

    ``include`` is what it is to start from instead of the file that it names.
    Raises ConfigError with file and line where it is no YAML mapping.
    """
    root = _compose(path)
    before: str = yaml.serialize(root, Dumper=yaml.SafeDumper)
    _drop(root, ("archs",))
    for package in _mappings(root, "package"):
        _drop(package, ("target-architecture",))
    for contents in _contents(root):
        _drop(contents, REPOSITORY_KEYS)
        for item in _items(contents, "packages"):
            if isinstance(item.value, str):
                # ``gawk@edge`` is gawk from the repository tagged ``@edge``; with the repositories gone the tag means nothing
                item.value = item.value.split("@")[0]
    for key, value in root.value:
        if key.value == "include" and include is not None:
            value.value = include
    after: str = yaml.serialize(root, Dumper=yaml.SafeDumper)
    return after if after != before else None


def _says(path: Path, words: bytes) -> bool:
    """Whether a file has one of the words: only then it is worth parsing, which takes a hundred times as long."""
    return re.search(words, content(path)) is not None


def _compose(path: Path) -> MappingNode:
    root = compose(path)
    if not isinstance(root, MappingNode):
        raise ConfigError(wording("sources.no_mapping"), file=path, line=1)
    return root


def _contents(root: MappingNode) -> list[MappingNode]:
    """apko's ``contents``, melange's ``environment.contents``, and a melange test's."""
    tests = [environment for test in _mappings(root, "test") for environment in _mappings(test, "environment")]
    places = [root, *_mappings(root, "environment"), *tests]
    return [contents for place in places for contents in _mappings(place, "contents")]


def _mappings(node: MappingNode, name: str) -> list[MappingNode]:
    """The mapping under a key, if there is one."""
    return [value for key, value in node.value if key.value == name and value.id == "mapping"][:1]


def _items(node: MappingNode, name: str) -> list[Node]:
    """What is listed under a key."""
    lists = [value.value for key, value in node.value if key.value == name and value.id == "sequence"]
    return lists[0] if lists else []


def _drop(node: MappingNode, unwanted: Sequence[str]) -> None:
    node.value = [(key, value) for key, value in node.value if key.value not in unwanted]
