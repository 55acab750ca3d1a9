"""Values in Compose files: environments, and what their variables stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deadweight.project.init.tree import Tree, joined

EXAMPLES = (
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    "example.env",
    "sample.env",
    "env.example",
    ".example.env",
)
"""Files that show which variables a service takes. ``.env`` itself is never read: it holds what is secret."""

ENDINGS = (".example", ".sample", ".template", ".dist")

_VARIABLE = re.compile(r"\$\{(\w+)(?:(:?[-?+])([^}]*))?\}|\$(\w+)")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def examples(tree: Tree, folder: str) -> dict[str, str]:
    """The variables of a folder's example file; nothing where it has none."""
    file = example_file(tree, folder)
    return {} if file is None else dotenv(tree.text(file))


def example_file(tree: Tree, folder: str) -> str | None:
    """The file of a folder that shows which variables a service takes."""
    return next((joined(folder, name) for name in EXAMPLES if tree.has(joined(folder, name))), None)


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


def environment(given: Any, values: Mapping[str, str]) -> dict[str, str]:
    """A mapping or a list of ``A=b`` as Compose takes it. What the shell would give is taken from ``values``, or left out."""
    if isinstance(given, list):
        pairs: list[tuple[str, Any]] = [(str(each).partition("=")[0], _after(str(each))) for each in given]
    else:
        pairs = [(str(key), value) for key, value in given.items()] if isinstance(given, dict) else []
    found = {key: values.get(key) if value is None else filled_in(_text(value), values) for key, value in pairs}
    return {key: value for key, value in found.items() if value is not None}


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
