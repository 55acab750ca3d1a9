"""Rewrite a copy of the user's melange.yaml or apko.yaml for another source. The user's file is never changed.

Such a file may name its own repositories, keyrings and architectures. Tools add the values from flags to those, so a build
from a mirror would still contact the public repository. The derived copy names none of them: flags give them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import ConfigError, wording
from deadweight.sources.protocol import ApkFlavour

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

ALPINE_NAMES = ("alpine-base", "alpine-baselayout", "alpine-baselayout-data", "alpine-keys", "alpine-release", "musl")
MOST_INCLUDED = 16
"""A file that includes itself has no end."""

REPOSITORY_KEYS = ("repositories", "build_repositories", "runtime_repositories", "keyring")


def flavour_of(path: Path, root: Path) -> ApkFlavour:
    """Whose package names a file, and what it starts from, use."""
    return "alpine" if "alpine" in map(apk_flavour, (path, *included(path, root))) else "wolfi"


def apk_flavour(path: Path) -> ApkFlavour:
    """Whose package names one file uses: ``alpine`` if it asks for musl or an alpine-* package, else ``wolfi``.

    A file that is missing or damaged counts as ``wolfi``: whoever reads it next tells what is wrong with it.
    """
    try:
        found = path.stat()
    except OSError:
        return "wolfi"
    return _flavour(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=256)
def _flavour(path: Path, *_changes: int) -> ApkFlavour:
    try:
        root = _compose(path)
    except ConfigError:
        return "wolfi"
    names = {word.split("@")[0].split("=")[0].split("~")[0] for word in _packages(root)}
    return "alpine" if names & set(ALPINE_NAMES) else "wolfi"


def included(path: Path, root: Path) -> tuple[Path, ...]:
    """The files that an apko.yaml starts from (``include:``), one from the other; apko looks for them in the folder it runs in."""
    found: list[Path] = []
    while len(found) < MOST_INCLUDED:
        try:
            fields = _compose(found[-1] if found else path).value
        except ConfigError:
            break
        name = next((str(value.value) for key, value in fields if key.value == "include" and value.value), None)
        if name is None or not (root / name).is_file():  # apko says what is missing
            break
        found.append(root / name)
    return tuple(found)


def derived(path: Path, include: str | None = None) -> str | None:
    """The same file without them, or None where it names none. Everything else stays as written, except comments.

    ``include`` is what it is to start from instead of the file that it names.
    Raises ConfigError with file and line where it is no YAML mapping.
    """
    import yaml

    root = _compose(path)
    removed = [_drop(root, ("archs",))]
    package = _child(root, "package")
    if package is not None:
        removed.append(_drop(package, ("target-architecture",)))
    for contents in _contents(root):
        removed.append(_drop(contents, REPOSITORY_KEYS))
        removed.append(_unpin(contents))
    if not any(removed) and include is None:
        return None
    for key, value in root.value:
        if key.value == "include" and include is not None:
            value.value = include
    text: str = yaml.serialize(root, Dumper=yaml.SafeDumper)
    return text


def _compose(path: Path) -> MappingNode:
    """The file as nodes, not values: ``version: 1.10`` must stay what it is."""
    import yaml

    try:
        # the parser in C, where there is one: some files are read more than once for a plan
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(wording("suite.unreadable", problem=error), file=path) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(wording("suite.not_yaml", problem=error.problem), file=path, line=line) from error
    except yaml.YAMLError as error:
        raise ConfigError(wording("suite.not_yaml", problem=error), file=path) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(wording("sources.no_mapping"), file=path, line=1)
    return root


def _contents(root: MappingNode) -> list[MappingNode]:
    """apko's ``contents``, melange's ``environment.contents``, and a melange test's."""
    places = [root, _child(root, "environment")]
    test = _child(root, "test")
    places.append(_child(test, "environment") if test is not None else None)
    return [found for place in places if place is not None and (found := _child(place, "contents")) is not None]


def _packages(root: MappingNode) -> list[str]:
    return [
        item.value
        for contents in _contents(root)
        for item in _list(contents, "packages")
        if isinstance(item.value, str)
    ]


def _child(node: MappingNode, name: str) -> MappingNode | None:
    import yaml

    for key, value in node.value:
        if key.value == name and isinstance(value, yaml.MappingNode):
            return value
    return None


def _list(node: MappingNode, name: str) -> list[Node]:
    import yaml

    for key, value in node.value:
        if key.value == name and isinstance(value, yaml.SequenceNode):
            return list(value.value)
    return []


def _drop(node: MappingNode, unwanted: Sequence[str]) -> bool:
    before = len(node.value)
    node.value = [(key, value) for key, value in node.value if key.value not in unwanted]
    return len(node.value) != before


def _unpin(contents: MappingNode) -> bool:
    """``gawk@edge`` takes gawk from the repository tagged ``@edge``; with the repositories gone the tag means nothing."""
    changed = False
    for item in _list(contents, "packages"):
        if isinstance(item.value, str) and "@" in item.value:
            item.value, changed = item.value.split("@")[0], True
    return changed
