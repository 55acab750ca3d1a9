"""Which Python a project is for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deadweight_init.history import last_change
from deadweight_init.records import GUESSED, ImageWords, Known
from deadweight_init.tree import Tree, joined, line_of

_DEFAULT = "3.12"
_OLDEST, _USUAL = (3, 9), (3, 11)
"""One that is out of support is raised, and a range that begins earlier takes the usual one."""

_FILES = (
    (".python-version", r"(3\.\d+)"),
    ("runtime.txt", r"python-(3\.\d+)"),
    ("Pipfile", r"^python_(?:full_)?version\s*=\s*[\"'](3\.\d+)"),
)
_RANGE = re.compile(r"^(?:requires-python|python)\s*=\s*[\"']([^\"'\n]*3\.\d+[^\"'\n]*)[\"']", re.MULTILINE)
_PINNED = re.compile(r"==\s*\d|^version = \"", re.MULTILINE)
_OF_THEIR_TIME = (("2022-04", "3.9"), ("2023-04", "3.10"), ("2024-04", "3.11"))
"""What was pinned before these months has ready-made files for this version, and often none for later ones."""

OF_ITS_TIME = " is of "
"""In the origin of a version that was taken for that."""

_EXACT = re.compile(r"\s*(?:==|~=|~|=)?\s*(3\.\d+)(?:\.[\d*]+)?\s*")


def version_of(tree: Tree, folder: str, words: ImageWords | None, lists: Sequence[str] = ()) -> Known[str]:
    """Of the own image's base, a file for tools that install Pythons, or the range that the project says; else of the time of
    ``lists``, which pin its packages."""
    if base := (words.on(r"python:(\d+\.\d+)") or words.on(r"uv:(?:[\d.]+-)?python(3\.\d+)")) if words else "":
        return Known(base, "from your Dockerfile's base")
    for name, pattern in _FILES:
        text = tree.text(joined(folder, name))
        found = re.search(pattern, text, re.MULTILINE)
        if found and pair(found[1]) >= _OLDEST:
            return Known(found[1], f"from {joined(folder, name)}:{line_of(text, found.start(1))}")
    text = tree.text(joined(folder, "pyproject.toml"))
    said, of_time = _RANGE.search(text), _of_their_time(tree, folder, lists)
    version = _within(said[1], pair(of_time.value) if of_time else _USUAL) if said else ""
    if said is None or not version:
        return of_time or Known(_DEFAULT)
    return Known(version, f"from {joined(folder, 'pyproject.toml')}:{line_of(text, said.start(1))}")


def _of_their_time(tree: Tree, folder: str, lists: Sequence[str]) -> Known[str] | None:
    """The version of the time at which packages were pinned; None where that is not long ago, or nothing is pinned."""
    pinned = next((name for name in lists if _PINNED.search(tree.text(joined(folder, name)))), None)
    date = last_change(tree, joined(folder, pinned)) if pinned else None
    return of_date(date, joined(folder, pinned or "")) if date else None


def of_date(date: str, file: str) -> Known[str] | None:
    """The version of the time at which a list of packages was last changed; None where that is not long ago."""
    version = next((each for until, each in _OF_THEIR_TIME if date < until), None)
    return Known(version, f"{GUESSED}: {file}{OF_ITS_TIME}{date[:4]}") if version else None


def ready_by(version: str) -> str:
    """The day from which packages were ready-made for the version that is taken for what is older; empty for others."""
    return "2021-05-01" if version == _OF_THEIR_TIME[0][1] else ""


def _within(asked: str, usual: tuple[int, int]) -> str:
    """The version to take of a range; empty where it ends before what is supported."""
    exact = _EXACT.fullmatch(asked)
    if exact and not re.fullmatch(r"\s*~=\s*3\.\d+\s*", asked):  # ~=3.10 is every later one too
        return exact[1] if pair(exact[1]) >= _OLDEST else ""
    lowest = [pair(each) for each in re.findall(r"(?:>=|>|\^|~=)\s*(3\.\d+)", asked)]
    below = [pair(each) for each in re.findall(r"<\s*(3\.\d+)", asked)]
    least = max([*lowest, usual])
    if below and least >= min(below):
        least = (3, min(below)[1] - 1)
    return f"3.{least[1]}" if least >= _OLDEST else ""


def pair(version: str) -> tuple[int, int]:
    """``3.12`` to compare by."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
