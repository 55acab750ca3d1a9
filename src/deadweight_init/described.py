"""Find a service's OpenAPI document, in its repository or served by the service itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from deadweight.suite import openapi
from deadweight_init.records import Known
from deadweight_init.tables import TABLES
from deadweight_init.tree import Tree, aside

if TYPE_CHECKING:
    from deadweight.engine.http import Answer

SERVED: Sequence[str] = TABLES["paths"]["openapi"]
"""Where frameworks serve it."""

WRITTEN = re.compile(r"[\"'`](/[\w./-]*(?:openapi|swagger|api-docs)[\w-]*(?:\.json)?)[\"'`]")
"""A path in code under which it may be served, where the service says so itself."""

_DOCUMENT = r"(openapi|swagger)[\w.-]*\.(json|ya?ml)|[\w-]+[._-](openapi|swagger)\.(json|ya?ml)"
_DOCS = ("doc", "docs")


def in_repository(tree: Tree, folder: str) -> Known[str] | None:
    """The document of the service in a folder, a path seen from the root; None without one that names paths.

    Documents of tests and examples describe something else.
    """
    for path in tree.named(_DOCUMENT):
        mine = folder == "." or path.startswith(f"{folder}/")
        plain = "/".join(part for part in path.split("/") if part.lower() not in _DOCS)
        if mine and not aside(plain) and openapi.paths(openapi.parsed(tree.text(path))):
            return Known(path, f"from {path}: it describes the service")
    return None


def served(get: Callable[[str], Answer | None], told: Sequence[str] = ()) -> tuple[str, Any] | None:
    """Where a service that is up serves its document, and what is in it; None where it does not. ``get`` asks for a path.
    Of the paths that are ``told``, those that may be one are asked for first."""
    for path in (*(each for each in told if WRITTEN.fullmatch(f'"{each}"')), *SERVED):
        answer = get(path)
        document = openapi.parsed(answer.text()) if answer is not None and answer.status == 200 else None
        if openapi.paths(document):
            return path, document
    return None
