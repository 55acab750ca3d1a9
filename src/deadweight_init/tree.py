"""List a repository's files once, without those that no build reads."""

from __future__ import annotations

import json
import os
import posixpath
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight.records.paths import STATE_DIR
from deadweight_init.records import Known

T = TypeVar("T")

TABLES: Mapping[str, Any] = tomllib.loads(
    resources.files(__package__).joinpath("tables.toml").read_text(encoding="utf-8")
)
"""Names and patterns that tell what a file, folder, path or package is."""
MOST_FILES = 50_000
TREES = 8
"""Of so many repositories what readers made of them is remembered."""
_MOST_CODE = 500
MOST_BYTES = 512 * 1024
_CODE = tuple(TABLES["files"]["code"])
PASSED_OVER = frozenset((*TABLES["folders"]["passed_over"], STATE_DIR))
ASIDE = frozenset(TABLES["folders"]["aside"])
"""Folders whose programs are not what a repository is about."""


OF_THE_SYSTEM = frozenset(TABLES["folders"]["system"])
"""In memory these would hide what is not the service's: programs, libraries, authorities, names of hosts."""

_PROGRAMS = ("/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/etc/ssl/", "/etc/pki/", "/proc/", "/sys/", "/dev/")
_DATA = re.compile(r"/usr/(?:src|share/\w[\w.-]*)/.+|/usr/local/(?!s?bin|lib)\w[\w.-]*/.+")


def may_be_in_memory(folder: str) -> bool:
    """Whether a folder in memory hides nothing of the system: it is no folder of that, holds none and is in none."""
    return folder not in OF_THE_SYSTEM and (not folder.startswith(_PROGRAMS) or _DATA.fullmatch(folder) is not None)


class Lazy(dict[str, T]):
    """Values by path or pattern, each computed on first use."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make

    def __missing__(self, key: str) -> T:
        value = self[key] = self._make(key)
        return value


class Tree:
    """A repository: ``files`` are relative paths with forward slashes, sorted; what is in them is read once."""

    def __init__(self, root: Path, files: Collection[str]) -> None:
        self.root, self.files = root, files
        self.texts: Mapping[str, str] = Lazy(partial(_text, root))
        """Text by file path: only the start of a long file, empty if the file cannot be read."""
        self.documents: Mapping[str, list[dict[str, Any]]] = Lazy(lambda path: _documents(path, self.texts[path]))
        """The mappings in a JSON, TOML or YAML file; none where it is a template."""
        self.data: Mapping[str, dict[str, Any]] = Lazy(lambda path: next(iter(self.documents[path]), {}))
        """The first of these; empty without one."""
        self.named: Mapping[str, tuple[str, ...]] = Lazy(partial(_named, files))
        """The files whose name matches a regular expression, those of upper folders first."""
        self.inside: Mapping[str, tuple[str, ...]] = Lazy(partial(_inside, files))
        """The files in and below a folder."""
        self.code: Mapping[str, tuple[str, ...]] = Lazy(
            lambda folder: tuple(path for path in self.below(folder, *_CODE) if not aside(path))[:_MOST_CODE]
        )
        """Of these, those in which a service may name what it needs."""
        self.folders: Mapping[str, str] = Lazy(folder_of)
        """The folder of a file; ``.`` for the root."""
        self.above: Mapping[str, tuple[str, ...]] = Lazy(with_parents)
        """A folder itself and those that it lies in, the root last."""
        self.is_aside: Mapping[str, bool] = Lazy(aside)
        """Whether a file lies in a folder of examples, tests or tools."""

    def has_folder(self, path: str) -> bool:
        """Whether there is anything below it that is not passed over, or the folder itself."""
        return (self.root / path).exists()

    def below(self, folder: str, *endings: str) -> Iterator[str]:
        """The files in and below a folder with one of these endings."""
        return (path for path in self.inside[folder] if path.endswith(endings))

    def place_of(self, folder: str, pattern: re.Pattern[str]) -> str:
        """Where code below a folder matches first, as FILE:LINE, upper files before others; empty if nowhere."""
        paths = sorted(self.code[folder], key=lambda path: (path.count("/"), path))
        return next((known.origin for path in paths for known in self.values(path, pattern, "")), "")

    def values(self, path: str, pattern: re.Pattern[str], origin: str = "from ") -> Iterator[Known[str]]:
        """What the group of a pattern matches in a file, or all of it, each with its place."""
        text = self.texts[path]
        for match in pattern.finditer(text):
            group = match.lastindex or 0
            yield Known(match[group], f"{origin}{path}:{line_of(text, match.start(group))}")

    @cached_property
    def committed(self) -> frozenset[str]:
        """The files of variables that git has, so that everybody can read them already."""
        if not (self.root / ".git").exists():
            return frozenset()
        try:
            listed = _run.run(["git", "-C", self.root, "ls-files", "-z", "--", "*.env"], check=False, timeout=10).output
        except DeadweightError:
            return frozenset()
        return frozenset(listed.split("\0"))


def _text(root: Path, path: str) -> str:
    file = root / path
    with suppress(OSError):
        if _is_own(root, file):
            with file.open("rb") as opened:
                return opened.read(MOST_BYTES).decode("utf-8-sig", errors="replace")
    return ""


def _inside(files: Iterable[str], folder: str) -> tuple[str, ...]:
    start = "" if folder == "." else f"{folder}/"
    return tuple(path for path in files if path.startswith(start))


def _named(files: Iterable[str], pattern: str) -> tuple[str, ...]:
    wanted = re.compile(pattern, re.IGNORECASE)
    paths = [path for path in files if wanted.fullmatch(posixpath.basename(path))]
    return tuple(sorted(paths, key=lambda path: (aside(path), path.count("/"), path)))


def read_tree(root: Path) -> Tree:
    """List a repository. Links to folders are not followed, nor links that lead out of it."""
    paths: list[str] = []
    for folder, names, files in os.walk(root):
        known = sorted(set(names) - PASSED_OVER)
        names[:] = [name for name in known if not Path(folder, name, "pyvenv.cfg").is_file()]
        inside = Path(folder).relative_to(root).as_posix()
        own = (name for name in sorted(files) if _is_own(root, Path(folder, name)))
        paths += [name if inside == "." else f"{inside}/{name}" for name in own]
        if len(paths) > MOST_FILES:
            break
    return Tree(root, dict.fromkeys(paths))


def _is_own(root: Path, path: Path) -> bool:
    """Whether it is a file of the repository, wherever links lead. A device or a pipe may have no end."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def aside(path: str) -> bool:
    """Whether a file lies in a folder of examples, tests or tools."""
    return not ASIDE.isdisjoint(part.lower() for part in path.split("/")[:-1])


def folder_of(path: str) -> str:
    """The folder of a file; ``.`` for the root."""
    return posixpath.dirname(path) or "."


def with_parents(folder: str) -> tuple[str, ...]:
    """A folder and those that it lies in, the root last."""
    parts = [] if folder == "." else folder.split("/")
    return (*("/".join(parts[:depth]) for depth in range(len(parts), 0, -1)), ".")


def joined(folder: str, path: str) -> str:
    """A path seen from the root, tidied; it may lead above the root (``../x``)."""
    return posixpath.normpath(posixpath.join(folder, path))


def line_of(text: str, at: int) -> int:
    """The line of a place in a text, from 1."""
    return text.count("\n", 0, at) + 1


def as_list(value: Any) -> list[Any]:
    """A list as it is; nothing for what is none."""
    return value if isinstance(value, list) else []


def as_mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else an empty one."""
    return value if isinstance(value, dict) else {}


def as_mappings(value: Any) -> list[dict[str, Any]]:
    """The mappings in a list; none where it is none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _yaml(text: str) -> list[Any]:
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # the safe one


PARSERS: Mapping[str, tuple[str, Callable[[str], list[Any]]]] = {
    **dict.fromkeys((".json", ".lock"), ("JSON", lambda text: [json.loads(text)])),
    ".toml": ("TOML", lambda text: [tomllib.loads(text)]),
    **dict.fromkeys((".yaml", ".yml"), ("YAML", _yaml)),
}
"""The name of a format, and what parses it, by the endings of its files."""
NOT_PARSED = (ValueError, yaml.YAMLError, RecursionError)
"""What parsers raise."""


def _documents(path: str, text: str) -> list[dict[str, Any]]:
    ending = posixpath.splitext(path)[1]
    try:
        parsed = PARSERS[ending][1](text) if ending in PARSERS else []
    except NOT_PARSED:
        return []
    return as_mappings(parsed)
