"""A database that a Compose file builds from a Dockerfile of its own: a well-known image with a script or two in it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from deadweight.records.reference import split
from deadweight_init.dockerfile import read_words
from deadweight_init.tree import Tree, joined


def as_image(tree: Tree, folder: str, service: Mapping[str, Any], known: Mapping[str, int]) -> Mapping[str, Any] | None:
    """The Compose service with the base of its Dockerfile as its image, and what that copies as mounted files.

    None where the Dockerfile is not there, or stands on no image that is ``known``.
    """
    build = service.get("build")
    fields = build if isinstance(build, dict) else {"context": build}
    context = joined(folder, str(fields.get("context") or "."))
    path = joined(context, str(fields.get("dockerfile") or "Dockerfile"))
    if not build or context.startswith("..") or not tree.has(path):
        return None
    words = read_words(tree.text(path), path)
    if posixpath.basename(split(words.base)[0]) not in known or len(words.bases) != 1:
        return None
    files = [
        f"{joined(context, source)}:{_place(source, target, is_file=tree.has(joined(context, source)))}"
        for source, target in words.copied
        if "*" not in source
    ]
    up = posixpath.relpath(".", folder)
    mounts = [f"./{posixpath.join(up, each)}" for each in files]
    given = service.get("environment")
    told = (
        given if isinstance(given, dict) else dict(str(each).split("=", 1) for each in given or () if "=" in str(each))
    )
    env = {**words.env, **told}
    more = {"image": words.base, "environment": env, "volumes": [*(service.get("volumes") or ()), *mounts]}
    return {**{key: value for key, value in service.items() if key != "build"}, **more}


def _place(source: str, target: str, *, is_file: bool) -> str:
    """Where a file lies: a target that is a folder, as far as its name tells, holds it under its own name."""
    folder = posixpath.splitext(target)[1] in ("", ".d") and bool(posixpath.splitext(source)[1])
    into = folder or (is_file and target.endswith("/"))
    return posixpath.join(target, posixpath.basename(source)) if into else target.rstrip("/")
