"""Share one Go compile cache between ko and melange's sandbox, both of which compile on this machine.

melange binds its ``--cache-dir`` to ``/var/cache/melange``, so a melange.yaml that sets
``GOCACHE: /var/cache/melange/go-build`` uses the same cache as ko. With the same Go version, tags and instruction set,
``-trimpath`` (takes folders out of Go's action ids) and ``-buildvcs=false``, every package is compiled once for both, the
service's own included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from deadweight.builders.shared import inputs
from deadweight.builders.shared.archive import last_built
from deadweight.records.ignore import Ignore, literal, walk
from deadweight.records.paths import State, content
from deadweight.suite.model import Variant


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


def filled(state: State, variant: Variant, go: str | None) -> bool:
    """Whether the cache holds what a build of this variant with this Go has compiled."""
    built = last_built(variant, state)
    return built is not None and go is not None and built.go_version == go and is_warm(state)


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
    if not any((source / name).is_file() for name in inputs.IGNORE_FILES):
        return ()
    embedded = (pattern for folder in (source, *beside) if folder.is_dir() for pattern in _embedded(folder))
    return tuple(f"!{pattern}" for pattern in dict.fromkeys((*_sources(), *embedded)))


def _sources() -> Iterator[str]:
    for name in ("go.mod", "go.sum", "go.work", "go.work.sum"):
        yield f"**/{name}"
    yield "vendor/modules.txt"
    # every name but those that end in _test.go: the rules know no "but", so one for each letter that may differ
    for place, letter in enumerate(_TEST):
        rest = _TEST[place + 1 :]
        yield f"**/*[^{letter}]{rest}.go"
        yield f"**/{rest}.go" if rest else "**/.go"
    for suffix in _SUFFIXES:
        yield f"**/*.{suffix}"


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
