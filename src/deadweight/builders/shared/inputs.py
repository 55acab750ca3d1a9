"""Decide which files of a source folder are build inputs: one rule list for all builders, as in ``.dockerignore``.

The last rule that matches a path decides. In this order:

1. The user's rules: ``.dockerignore`` and ``.melangeignore`` of the source folder, for every builder. As with BuildKit,
   ``NAME.dockerignore`` next to a Dockerfile replaces both.
2. What a tool always needs: Go's sources and the files they embed (``go_files``). A ``*.yaml`` written for a
   Dockerfile must not hide ``openapi.yaml`` from a program that embeds it.
3. What is never input unless a ``!`` rule names it: version control, virtual environments (recognised by ``pyvenv.cfg``),
   Python tool caches, and the files that describe the project to us, including those that ``init`` wrote. So editing
   a check, or one variant's Dockerfile, rebuilds nothing else.
4. The state folder of any project, which holds signing keys. No rule can include it.

``node_modules`` is not in 3: a Dockerfile without network may copy it on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deadweight.builders.protocol import Site
from deadweight.records.ignore import Ignore, ignore_lines, literal, walk
from deadweight.records.paths import STATE_DIR, State, content

IGNORE_FILES = (".dockerignore", ".melangeignore")
_NEVER = (".git", ".nox", ".pytest_cache", "__pycache__", ".DS_Store", *IGNORE_FILES)


def _anywhere(name: str) -> tuple[str, str]:
    """What has this name in any folder, and all below it: engine 20.10 takes the first for the folder alone where a ``!`` rule
    keeps it from passing the whole folder over."""
    return f"**/{name}", f"**/{name}/**"


_ALWAYS_OUT = _anywhere(STATE_DIR)
_OUR_TASKS = ("tasks.py", "noxfile.py")


class Rules(NamedTuple):
    """``written`` are the user's own lines, ``all`` is what decides."""

    written: tuple[str, ...]
    all: tuple[str, ...]


def rules(
    source: Path, site: Site, *, own: Path | None = None, needed: Sequence[str] = (), asked: Collection[str] = ()
) -> Rules:
    """The rules for a source folder (absolute). ``own`` is an ignore file that replaces the folder's.

    ``needed`` are ``!`` rules of what a tool needs, ``asked`` names of 3. that something beside the rules asks for (``.git``).
    """
    files = [own] if own is not None else [source / name for name in IGNORE_FILES]
    lines = dict.fromkeys(line for file in files for line in ignore_lines(file))
    # engine 20.10 would send the folder that such a rule names, though empty
    written = tuple(line for line in lines if not (line.startswith("!") and STATE_DIR in line[1:].strip().split("/")))
    named = {part for line in written if line.startswith("!") for part in line[1:].strip().split("/")}
    never = _never(source, site)
    # where a ``!`` rule takes back a part of it, the rest stays out
    first = [pattern for name, pattern in never if name in named and name not in asked]
    last = [pattern for name, pattern in never if name not in named and name not in asked]
    return Rules(written, (*first, *written, *needed, *last, *_ALWAYS_OUT))


def never(source: Path, site: Site) -> tuple[str, ...]:
    """Rules 3 and 4 alone, for a tool that reads the folder where it lies, and may read any file of it."""
    return (*(pattern for _, pattern in _never(source, site)), *_ALWAYS_OUT)


def _never(source: Path, site: Site) -> list[tuple[str, str]]:
    """Rule 3: names, and the patterns that leave out what has them."""
    never = [(name, pattern) for name in _NEVER for pattern in _anywhere(name)]
    paths = (*site.environments(source), *_ours(source, site))
    return [*never, *((path.rpartition("/")[2], literal(path)) for path in paths)]


def _ours(source: Path, site: Site) -> Iterator[str]:
    """The suite file, what ``init`` wrote, and the task files beside it where they are ours (a service may have a ``tasks.py`` of
    its own)."""
    home, root = source.resolve(), site.root.resolve()
    for name in site.generated:
        if (root / name).is_relative_to(home):
            yield (root / name).relative_to(home).as_posix()
    if not root.is_relative_to(home):
        return
    for path in (root / site.suite.file.name, *(root / name for name in _OUR_TASKS)):
        if path.name == site.suite.file.name or b"deadweight" in content(path):
            yield path.relative_to(home).as_posix()


# Share one Go compile cache between ko and melange's sandbox, both of which compile on this machine.
#
# melange binds its ``--cache-dir`` to ``/var/cache/melange``, so a melange.yaml that sets
# ``GOCACHE: /var/cache/melange/go-build`` uses the same cache as ko. With the same Go version, tags and instruction set,
# ``-trimpath`` (takes folders out of Go's action ids) and ``-buildvcs=false``, every package is compiled once for both, the
# service's own included.
def melange_cache(state: State) -> Path:
    """What melange sees as /var/cache/melange."""
    return state.cache / "melange"


def go_environment(state: State) -> dict[str, str]:
    """Go's environment on this machine."""
    folder = melange_cache(state) / "go-build"
    folder.mkdir(parents=True, exist_ok=True)
    return {"GOCACHE": str(folder), "GOTOOLCHAIN": "local"}


def is_warm(state: State) -> bool:
    """Whether anything was ever compiled into the cache."""
    return (melange_cache(state) / "go-build/00").is_dir()


# What ``go build`` reads of a module, as rules that take it back from an ignore list that was written for something else.
_SUFFIXES = (
    *("c", "cc", "cpp", "cxx", "m", "h", "hh", "hpp", "hxx", "f", "F", "for", "f90", "s", "S", "sx", "syso", "a"),
    *("swig", "swigcxx"),
)
"""Files beside Go's own that a package may be compiled of ("go help packages", cgo, and libraries that it links)."""

_TEST = "_test"
_EMBED = re.compile(rb"^//go:embed[ \t]+(.+?)\s*$", re.MULTILINE)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)')


def needed_sources(source: Path, beside: Iterable[Path] = ()) -> tuple[str, ...]:
    """``!`` rules for the sources (without tests) and for what they embed; none where ``source`` has no user's rules, which
    leave nothing out. ``beside`` are other modules' folders that the same rules are used for.
    """
    if not any((source / name).is_file() for name in IGNORE_FILES):
        return ()
    embedded = (pattern for folder in (source, *beside) if folder.is_dir() for pattern in _embedded(folder))
    return tuple(f"!{pattern}" for pattern in dict.fromkeys((*_sources(), *embedded)))


def _sources() -> Iterator[str]:
    yield from ("**/go.mod", "**/go.sum", "**/go.work", "**/go.work.sum", "vendor/modules.txt")
    # every name but those that end in _test.go: the rules know no "but", so one for each letter that may differ
    for place, letter in enumerate(_TEST):
        rest = _TEST[place + 1 :]
        yield f"**/*[^{letter}]{rest}.go"
        yield f"**/{rest}.go"
    yield from (f"**/*.{suffix}" for suffix in _SUFFIXES)


def _embedded(folder: Path) -> Iterator[str]:
    """Patterns of ``//go:embed`` lines (package embed), relative to the folder."""
    for path in walk(folder, Ignore([f"**/{name}" for name in (".git", ".deadweight", "node_modules", "*_test.go")])):
        if path.suffix != ".go":
            continue
        here = path.parent.relative_to(folder).as_posix()
        for line in _EMBED.findall(content(path)):
            for quoted, raw, plain in _WORD.findall(line.decode("utf-8", "replace")):
                pattern = (quoted or raw or plain).removeprefix("all:")
                yield pattern if here == "." else f"{literal(here)}/{pattern}"
