"""What ``go build`` reads of a module, as rules that take it back from an ignore list that was written for something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from deadweight.builders.shared import inputs
from deadweight.records.ignore import Ignore, literal, walk

_SUFFIXES = (
    *("c", "cc", "cpp", "cxx", "m", "h", "hh", "hpp", "hxx", "f", "F", "for", "f90", "s", "S", "sx", "syso", "a"),
    *("swig", "swigcxx"),
)
"""Files beside Go's own that a package may be compiled of ("go help packages", cgo, and libraries that it links)."""

_TEST = "_test"
_EMBED = re.compile(rb"^//go:embed[ \t]+(.+?)\s*$", re.MULTILINE)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)')


def needed(source: Path, beside: Iterable[Path] = ()) -> tuple[str, ...]:
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
        try:
            content = path.read_bytes()
        except OSError:
            continue  # who reads it next says so
        here = path.parent.relative_to(folder).as_posix()
        for line in _EMBED.findall(content):
            for quoted, raw, plain in _WORD.findall(line.decode("utf-8", "replace")):
                pattern = (quoted or raw or plain).removeprefix("all:")
                yield pattern if here == "." else f"{literal(here)}/{pattern}"
