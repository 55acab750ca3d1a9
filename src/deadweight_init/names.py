"""By which names a repository's own program and image may go."""

from __future__ import annotations

import re

from deadweight_init.tree import Tree

_SAID = {
    "go.mod": re.compile(r"^module\s+(\S+)", re.MULTILINE),
    "package.json": re.compile(r"\"name\"\s*:\s*\"([^\"]+)\""),
    "Cargo.toml": re.compile(r"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE),
    "pyproject.toml": re.compile(r"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE),
}
_LEAST = 3


def own_names(tree: Tree) -> frozenset[str]:
    """The repository's folder, and what the manifests in its root call the program; in small letters."""
    found = {tree.root.name}
    for name, pattern in _SAID.items():
        said = pattern.search(tree.text(name)) if tree.has(name) else None
        if said:
            found.add(re.sub(r"/v\d+$", "", said[1]).rpartition("/")[2])
    return frozenset(name for each in found if len(name := each.lower()) >= _LEAST)
