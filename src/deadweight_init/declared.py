"""Find a repository's own apko and melange files, and use them unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deadweight.builders.shared import generated_files
from deadweight_init.records import Rung
from deadweight_init.tree import Tree, aside, folder_of

_APKO = r"(?:[\w.-]+\.)?apko(?:[.-][\w.-]+)?\.ya?ml"
_MELANGE = r"(?:[\w.-]+\.)?melange(?:[.-][\w.-]+)?\.ya?ml"


def apko(tree: Tree, folder: str) -> Iterator[Rung]:
    """The apko files of a service, each with the melange files whose packages it lists."""
    mine = [path for path in tree.named(_APKO) if not aside(path) and _is_near(path, folder)]
    packages = {path: tree.data(path) for path in tree.named(_MELANGE)}
    taken: set[str] = set()
    for path in mine:
        contents = tree.data(path).get("contents")
        if tree.text(path).startswith(generated_files.APKO) or not isinstance(contents, dict):
            continue
        listed = {re.split(r"[=<>~@]", str(each))[0] for each in contents.get("packages") or ()}
        made = [file for file, each in packages.items() if _package(each) in listed and not _ours(tree, file)]
        name = "today-apko" if "today-apko" not in taken else f"today-apko-{len(taken) + 1}"
        taken.add(name)
        keys = {"config": path, **({"packages": f"[{', '.join(made)}]"} if made else {})}
        if folder != ".":
            keys["source"] = folder
        yield Rung(name, "apko", f"{path}, as it is", keys)


def _is_near(path: str, folder: str) -> bool:
    return folder in (".", folder_of(path)) or path.startswith(f"{folder}/")


def _ours(tree: Tree, path: str) -> bool:
    return tree.text(path).startswith(generated_files.MELANGE)


def _package(document: dict[str, Any]) -> str:
    package = document.get("package")
    return str(package.get("name")) if isinstance(package, dict) else ""
