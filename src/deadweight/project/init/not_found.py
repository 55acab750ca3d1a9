"""What a repository in which no service was found has instead: files that nobody may read, and those that build no image."""

from __future__ import annotations

import os
from collections.abc import Iterator

from deadweight.project.init.compose_files import compose_files
from deadweight.project.init.services import DOCKERFILE, MANIFESTS
from deadweight.project.init.tree import Tree


def instead(tree: Tree) -> Iterator[str]:
    """One line for each reason that can be told."""
    for path in tree.named(f"{DOCKERFILE}|{MANIFESTS}"):
        if not os.access(tree.root / path, os.R_OK):
            yield f"{path}: cannot be read: Permission denied"
    for path in tree.named(r"\.?melange\.ya?ml"):
        yield f"{path}: makes a package; the image that holds it needs an apko.yaml"
    for path, _ in compose_files(tree):
        yield f"{path}: starts images, and nothing here builds them"
