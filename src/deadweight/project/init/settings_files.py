"""A file of settings that is not in the repository, but an example of it is: ``config.json`` beside ``config.example.json``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from deadweight.project.init.draft import Draft, run_of
from deadweight.project.init.records import SEEN, Known, Service
from deadweight.project.init.tree import Tree, joined

_MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        r"ENOENT[^|]*?'(?P<path>[^'|]+)'",
        r"Cannot find module '(?P<path>\.{1,2}/[^'|]+|/[^'|]+)'",
        r"No such file or directory:? '(?P<path>[^'|]+)'",
        r"FileNotFoundException: (?P<path>[^\s|]+) \(No such file",
        r"open (?P<path>[^\s:|]+): no such file or directory",
    )
)
_ENDINGS = ("", ".js", ".json")
_WORDS = ("example", "sample", "template", "dist", "default")


def with_example_of_settings(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with the example of a file that the service did not find, mounted where it looks for it. None for another reason,
    where there is no example, and for the same again."""
    service = draft.service
    for path in dict.fromkeys(found["path"] for pattern in _MISSING for found in pattern.finditer(died)):
        for home, inside, folder in _places(service, path):
            for ending in _ENDINGS:
                target = f"{home}/{inside}{ending}"
                example = _example(tree, joined(folder, f"{inside}{ending}"))
                if example is None or target in service.around.files:
                    continue
                known = Known(example, f"{SEEN}: it does not come up without {inside}{ending}")
                homes = dict.fromkeys(each for each, _, _ in _places(service, f"{home}/{inside}"))
                files = {f"{each}/{inside}{ending}": known for each in homes}
                changed = replace(service, around=replace(service.around, files={**service.around.files, **files}))
                said = run_of(changed, draft.port)["files"]
                return replace(draft, service=changed, run={**draft.run, "files": said})
    return None


def _places(service: Service, path: str) -> Iterator[tuple[str, str, str]]:
    """Where a service may be at home in its images, the path from there, and the folder of the repository that is there."""
    project = service.project
    homes = [("/app", project.folder)] if project is not None else []
    homes += [(posixpath.normpath(each.words.workdir), each.context) for each in service.dockerfiles]
    inside = next((path.removeprefix(f"{home}/") for home, _ in homes if path.startswith(f"{home}/")), path)
    plain = posixpath.normpath(inside)
    while plain.startswith("../"):
        plain = plain.removeprefix("../")
    for home, folder in dict.fromkeys(homes):
        if not plain.startswith("/") and home != "/":
            yield home, plain, folder


def _example(tree: Tree, path: str) -> str | None:
    """The example of a file that is not there."""
    if tree.has(path):
        return None
    folder, name = posixpath.split(path)
    stem, ending = posixpath.splitext(name)
    names = [f"{name}{sign}{word}" for word in _WORDS for sign in ".-_"]
    names += [f"{stem}{sign}{word}{ending}" for word in _WORDS for sign in ".-_"]
    names += [f"{word}{sign}{name}" for word in _WORDS for sign in ".-_"]
    return next((found for each in names if tree.has(found := posixpath.join(folder, each))), None)
