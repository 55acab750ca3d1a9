"""The OpenAPI document in which a repository describes its service."""

from __future__ import annotations

from deadweight.project.init.records import Known
from deadweight.project.init.tree import Tree, aside
from deadweight.suite import openapi

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
