"""Read a service's environment variables from ``.env`` examples and Compose, and fill in values."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight_init.dockerfile import VARIABLE, filled
from deadweight_init.tree import Tree, folder_of, joined

_WORDS = "example|sample|template|dist"
_EXAMPLE = re.compile(rf"(?:\.?(?:{_WORDS})\.env|\.?env[._-](?:{_WORDS})(?:[._-][\w-]+)?|\.env\.[\w-]+\.(?:{_WORDS}))")
"""Files that show which variables a service takes. ``.env`` itself holds what is secret: it is read only where git has it."""

_ENDING = re.compile(rf"[._-](?:{_WORDS})")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def examples(tree: Tree, folder: str) -> dict[str, str]:
    """The variables that a folder shows: those of its ``.env`` where git has it, else of its example file; nothing without."""
    env = joined(folder, ".env")
    file = env if is_committed(tree, env) else example_file(tree, folder)
    return {} if file is None else dotenv(tree.text(file))


def example_file(tree: Tree, folder: str) -> str | None:
    """The file of a folder that shows which variables a service takes; the shortest name goes first."""
    found = (path for path in tree.files if folder_of(path) == folder and _EXAMPLE.fullmatch(posixpath.basename(path)))
    return min(found, key=lambda path: (len(path), path), default=None)


def env_files(tree: Tree, folder: str, given: Any) -> dict[str, str]:
    """Of the files that ``env_file:`` names, or of the examples beside those that are not in the repository."""
    found: dict[str, str] = {}
    for each in given if isinstance(given, list) else [given] if given else []:
        path = joined(folder, str(each.get("path") if isinstance(each, dict) else each))
        if tree.has(path) and (posixpath.basename(path) != ".env" or is_committed(tree, path)):
            found |= dotenv(tree.text(path))
            continue
        beside = (other for other in tree.files if other.startswith(path))
        shown = next((other for other in beside if _ENDING.fullmatch(other[len(path) :])), None)
        found |= dotenv(tree.text(shown)) if shown else examples(tree, folder_of(path))
    return found


def is_committed(tree: Tree, path: str) -> bool:
    """Whether git has this file, so that everybody can read it already."""
    if not tree.has(path) or not (tree.root / ".git").exists():
        return False
    words: list[str | Path] = ["git", "-C", tree.root, "ls-files", "--error-unmatch", "--", path]
    try:
        return _run.run(words, check=False, timeout=10).exit_code == 0
    except DeadweightError:
        return False


def dotenv(text: str) -> dict[str, str]:
    """``A=b`` lines; quotes and comments are taken off, earlier variables are put in."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        value = match[2]
        quoted = re.match(r"(['\"])(.*?)\1", value)
        plain = quoted[2] if quoted else re.sub(r"\s+#.*$", "", value)
        filled = filled_in(plain, found)
        found[match[1]] = plain if filled is None else filled
    return found


def environment(
    given: Any, values: Mapping[str, str], secrets: Mapping[str, str] | None = None, *, read: bool = False
) -> dict[str, str]:
    """A mapping or a list of ``A=b`` as Compose takes it. What the shell would give is taken from ``values``, or left out.

    ``secrets`` are the files of secrets that are mounted, with their texts; ``read`` is for an image that takes the text itself:
    ``X_FILE: /run/secrets/NAME`` is, by the custom of official images, a way to give ``X``.
    """
    if isinstance(given, list):
        entries = (str(each).partition("=") for each in given)
        pairs: dict[str, Any] = {name: value if sign else None for name, sign, value in entries}
    else:
        pairs = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
    found = dict[str, str]()
    for key, value in pairs.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        filled = values.get(key) if value is None else filled_in(text, values)
        if filled is None:
            continue
        if read and key.endswith("_FILE") and filled in (secrets or {}):
            key, filled = key.removesuffix("_FILE"), (secrets or {})[filled]
        found[key] = filled
    return found


def filled_in(text: str, values: Mapping[str, str]) -> str | None:
    """The text with its variables put in; None if one is not known."""
    plain = filled(text.replace("$$", "\0"), {name: value.replace("$", "\0") for name, value in values.items()})
    return None if VARIABLE.search(plain) else plain.replace("\0", "$")
