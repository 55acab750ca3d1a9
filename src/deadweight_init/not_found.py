"""Explain why a repository has no service: its files are unreadable, broken, or build no image."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterator

from deadweight.builders.shared.generated_files import is_generated
from deadweight_init.languages.table import MANIFESTS
from deadweight_init.repository.compose import COMPOSE
from deadweight_init.services import dockerfiles
from deadweight_init.tree import MOST_BYTES, NOT_PARSED, PARSERS, Tree, aside

MOST = 5
"""So many are told: some repositories keep parts of files under such names."""


def broken(tree: Tree) -> Iterator[str]:
    """One line for each of the first files that would tell of a service, if they could be read."""
    return itertools.islice(_all_broken(tree), MOST)


def _all_broken(tree: Tree) -> Iterator[str]:
    for path in (*dockerfiles(tree), *tree.named(f"{MANIFESTS}|{COMPOSE}")):
        text = tree.text(path)
        if aside(path) or len(text) >= MOST_BYTES:  # of a longer one only the start is read
            continue
        if not os.access(tree.root / path, os.R_OK):
            yield f"{path}: cannot be read: Permission denied"
        elif why := _broken(path, text):
            yield f"{path}: {why}"


def instead(tree: Tree) -> Iterator[str]:
    """One line for each reason why no service was found that can be told."""
    yield from broken(tree)
    for path in tree.named(r"\.?melange\.ya?ml"):
        yield f"{path}: makes a package; the image that holds it needs an apko.yaml"
    for path in tree.named(COMPOSE):
        if not _broken(path, tree.text(path)):
            yield f"{path}: starts images, and nothing here builds them"


def _broken(path: str, text: str) -> str:
    kind, read = PARSERS.get(posixpath.splitext(path)[1], ("", None))
    if read is None:
        of_image = not re.fullmatch(MANIFESTS, posixpath.basename(path), re.IGNORECASE)
        has_from = is_generated(text) or re.search(r"^\s*FROM\s", text, re.MULTILINE | re.IGNORECASE)
        return "it has no FROM, so it builds no image" if of_image and not has_from else ""
    try:
        read(text)
    except NOT_PARSED as error:
        told = " ".join(str(error).split())
        return f"is not {kind}: {told[:120]}"
    return ""
