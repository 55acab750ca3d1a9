"""Environments: example files, what Compose gives, what its variables stand for, and where code reads one."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight_init.records import Known
from deadweight_init.tree import Tree, aside, folder_of, joined, line_of

EXAMPLES = (
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    "example.env",
    "sample.env",
    "env.example",
    ".example.env",
    ".env-example",
    ".env-sample",
    ".env_example",
    ".env_sample",
    "env.sample",
)
"""Files that show which variables a service takes. ``.env`` itself holds what is secret: it is read only where git has it."""

ENDINGS = (".example", ".sample", ".template", ".dist", "-example", "-sample", "_example", "_sample")

_EXAMPLE = re.compile(
    r"\.?env[._-](?:example|sample|template|dist)[._-][\w-]+|\.env\.[\w-]+\.(?:example|sample|template|dist)"
)
"""Such a file for one of several ways to run it: ``env-example-relational``."""

_VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?+])([^}]*))?\}|\$(\w+)")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def examples(tree: Tree, folder: str) -> dict[str, str]:
    """The variables that a folder shows: those of its ``.env`` where git has it, else of its example file; nothing without."""
    env = joined(folder, ".env")
    file = env if is_committed(tree, env) else example_file(tree, folder)
    return {} if file is None else dotenv(tree.text(file))


def cargo_environment(tree: Tree, folder: str) -> Known[Mapping[str, str]] | None:
    """The variables with which Cargo runs a program for those who work on it, and the file; None without any."""
    for name in (".cargo/config.toml", ".cargo/config"):
        try:
            said = tomllib.loads(tree.text(joined(folder, name))).get("env")
        except tomllib.TOMLDecodeError:
            continue
        table = said if isinstance(said, dict) else {}
        given = {key: each.get("value") if isinstance(each, dict) else each for key, each in table.items()}
        if values := {key: value for key, value in given.items() if isinstance(value, str) and value}:
            return Known(values, joined(folder, name))
    return None


def example_file(tree: Tree, folder: str) -> str | None:
    """The file of a folder that shows which variables a service takes."""
    named = next((joined(folder, name) for name in EXAMPLES if tree.has(joined(folder, name))), None)
    start = "" if folder == "." else f"{folder}/"
    others = (path for path in tree.files if path.startswith(start) and _EXAMPLE.fullmatch(path[len(start) :]))
    return named or next(others, None)


def env_files(tree: Tree, folder: str, given: Any) -> dict[str, str]:
    """Of the files that ``env_file:`` names, or of the examples beside those that are not in the repository."""
    found: dict[str, str] = {}
    for each in given if isinstance(given, list) else [given] if given else []:
        path = joined(folder, str(each.get("path") if isinstance(each, dict) else each))
        if tree.has(path) and (posixpath.basename(path) != ".env" or is_committed(tree, path)):
            found |= dotenv(tree.text(path))
            continue
        shown = next((f"{path}{ending}" for ending in ENDINGS if tree.has(f"{path}{ending}")), None)
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

    ``secrets`` are the files of secrets that are mounted, with their texts; ``read`` is for an image that takes the text itself.
    """
    if isinstance(given, list):
        pairs: list[tuple[str, Any]] = [(str(each).partition("=")[0], _after(str(each))) for each in given]
    else:
        pairs = [(str(key), value) for key, value in given.items()] if isinstance(given, dict) else []
    found = {key: values.get(key) if value is None else filled_in(_text(value), values) for key, value in pairs}
    return _without_secret_files({key: value for key, value in found.items() if value is not None}, secrets or {}, read)


MADE_UP = "notASecretForTrialsOnlyNotASecretForTrialsOnlyNotASecretForTrial"
"""Stands for a secret that no file of the repository gives. Many ask for 32 letters or more (RFC 7518, section 3.2: as long as the
hash, 64 bytes at most), some decode them as base64."""

_SECRET_FILE = re.compile(r"/run/secrets/[\w.-]+")


def _without_secret_files(env: dict[str, str], secrets: Mapping[str, str], read: bool) -> dict[str, str]:
    """``X_FILE: /run/secrets/NAME`` is, by the custom of official images, a way to give ``X``: where the repository has no such
    file, one that is no secret."""
    found: dict[str, str] = {}
    for key, value in env.items():
        plain = key.removesuffix("_FILE")
        is_file = plain != key and _SECRET_FILE.fullmatch(value)
        if is_file and (read or value not in secrets):
            found.setdefault(plain, secrets.get(value, MADE_UP))
        else:
            found[key] = value
    return found


def filled_in(text: str, values: Mapping[str, str]) -> str | None:
    """The text with its variables put in; None where one is not known."""
    unknown = False

    def value(found: re.Match[str]) -> str:
        nonlocal unknown
        known = values.get(found[1] or found[4])
        if (found[2] or "").endswith("-") and not known:
            return found[3]
        unknown = unknown or known is None
        return known or ""

    filled = _VARIABLE.sub(value, text.replace("$$", "\0"))
    return None if unknown else filled.replace("\0", "$")


def _after(entry: str) -> str | None:
    return entry.partition("=")[2] if "=" in entry else None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_CODE = (
    "py",
    "js",
    "mjs",
    "cjs",
    "ts",
    "go",
    "java",
    "kt",
    "rs",
    "rb",
    "php",
    "ex",
    "exs",
    "properties",
    "yml",
    "yaml",
)


def read_at(tree: Tree, folder: str, name: str) -> str:
    """Where the code below a folder reads a variable, as FILE:LINE; empty if it is not found."""
    wanted = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    for path in sorted(tree.below(folder, *(f".{each}" for each in _CODE)), key=lambda path: (path.count("/"), path)):
        found = None if aside(path) else wanted.search(tree.text(path))
        if found:
            return f"{path}:{line_of(tree.text(path), found.start())}"
    return ""
