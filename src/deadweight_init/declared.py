"""Find a repository's own apko and melange files, and use them unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deadweight.builders.shared import generated_files
from deadweight_init.records import Rung
from deadweight_init.repository.compose import mapping
from deadweight_init.tree import Tree, aside, folder_of, with_above

_APKO = r"(?:[\w.-]+\.)?apko(?:[.-][\w.-]+)?\.ya?ml"
_MELANGE = r"(?:[\w.-]+\.)?melange(?:[.-][\w.-]+)?\.ya?ml"


def apko(tree: Tree, folder: str) -> Iterator[Rung]:
    """The apko files of a service, each with the melange files whose packages it lists."""
    mine = [path for path in tree.named(_APKO) if not aside(path) and folder in with_above(folder_of(path))]
    melange = (path for path in tree.named(_MELANGE) if not tree.text(path).startswith(generated_files.MELANGE))
    packages = {path: mapping(tree.data(path).get("package")).get("name") for path in melange}
    taken: set[str] = set()
    for path in mine:
        contents = tree.data(path).get("contents")
        if tree.text(path).startswith(generated_files.APKO) or not isinstance(contents, dict):
            continue
        listed = {re.split(r"[=<>~@]", str(each))[0] for each in contents.get("packages") or ()}
        made = [file for file, name in packages.items() if name in listed]
        name = "today-apko" if "today-apko" not in taken else f"today-apko-{len(taken) + 1}"
        taken.add(name)
        keys = {"config": path, **({"packages": f"[{', '.join(made)}]"} if made else {})}
        if folder != ".":
            keys["source"] = folder
        yield Rung(name, "apko", f"{path}, as it is", keys)
