"""A file of settings that is not in the repository, but an example of it is: ``config.json`` beside ``config.example.json``. What a
compiled program does not find may be in the repository under its own name: its image has the binary alone, and users mount it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from deadweight_init.draft import Draft, run_of
from deadweight_init.languages.beside import PLACES
from deadweight_init.languages.common import HOME, home_of
from deadweight_init.languages.node_workspace import home_in_image
from deadweight_init.records import SEEN, Known, Project, Service
from deadweight_init.tree import Tree, joined

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
_SETTINGS = r"(?P<path>[\w./@-]*[\w-]\.(?:toml|ya?ml|json5?|conf|cfg|ini|ron|env|properties|hcl|xml))\b"
_BY_PROGRAMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_SETTINGS}[^|]{{0,60}}?(?:not found|no such file|(?:does|did)(?: not|n't) exist|missing|could(?: not|n't)|cannot|fail)",
        rf"(?:not found|no such file|cannot|can't|could(?: not|n't)|unable to|fail\w*)[^|]{{0,60}}?[\"'`(\s:=]{_SETTINGS}",
        r"config(?:uration)? file \"(?P<path>[\w./-]+)\" not found",
    )
)
"""How Go and Rust programs say that a file of settings is not there; the last one without its ending (viper, config)."""
_NOT_READ = re.compile(r"pars(?:e|ing)|unmarshal|decod|invalid|syntax|unknown", re.IGNORECASE)
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


def with_settings_of_repository(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Go or Rust service with the file of settings that it did not find, or an example of it, mounted where it looks
    for it. None for another reason, where the repository has none, and for the same again."""
    service, project = draft.service, draft.service.project
    if project is None or project.language not in ("go", "rust"):
        return None
    found = (each for pattern in _BY_PROGRAMS for each in pattern.finditer(died) if not _is_read(died, each))
    for path in dict.fromkeys(posixpath.normpath(each["path"]) for each in found):
        source = _in_repository(tree, project.folder, _inside(service, path))
        if source is None:
            continue
        ending = "" if posixpath.splitext(path)[1] else posixpath.splitext(source)[1]
        targets = [f"{each}{ending}" for each in _looked_in(service, project, path)]
        if all(each in service.around.files for each in targets):
            continue
        known = Known(source, f"{SEEN}: it does not come up without {posixpath.basename(path)}{ending}")
        files = {**service.around.files, **dict.fromkeys(targets, known)}
        own = replace(project, details={**project.details, HOME: "1"})
        changed = replace(service, project=own, around=replace(service.around, files=files))
        return replace(draft, service=changed, run={**draft.run, "files": run_of(changed, draft.port)["files"]})
    return None


def _is_read(died: str, found: re.Match[str]) -> bool:
    """Whether the file is there, and what it holds is what was wrong."""
    return bool(_NOT_READ.search(died, max(found.start() - 20, 0), found.end()))


def _inside(service: Service, path: str) -> str:
    """A path as it is seen from the folder in which the service is started."""
    homes = [posixpath.normpath(each.words.workdir) for each in service.dockerfiles]
    inside = (path.removeprefix(f"{home}/") for home in (*homes, "/app") if home != "/" and path.startswith(f"{home}/"))
    return next(inside, path)


def _looked_in(service: Service, project: Project, path: str) -> list[str]:
    """Where it is looked for: the folder in which the own image is started, and that of generated ones."""
    plain = _inside(service, path)
    if plain.startswith("/"):
        return [plain]
    own = [posixpath.normpath(service.own.words.workdir)] if service.own else []
    made = home_of(project, next(iter(own), "/"), filled=True)
    return [posixpath.normpath(posixpath.join(each, plain)) for each in dict.fromkeys((*own, made))]


def _in_repository(tree: Tree, folder: str, path: str) -> str | None:
    """A file of the repository for one that was not found: itself, its example, or one of that name where settings lie."""
    name = posixpath.basename(path)
    places = [] if path.startswith("/") else [joined(folder, path)]
    places += [joined(folder, posixpath.join(each, name)) for each in (".", *PLACES)]
    for place in dict.fromkeys(places):
        for each in (place,) if posixpath.splitext(name)[1] else tuple(f"{place}.{end}" for end in _KINDS):
            if tree.has(each):
                return each
            if (example := _example(tree, each)) is not None:
                return example
    return None


_KINDS = ("yaml", "yml", "toml", "json", "ini", "env")


def _places(service: Service, path: str) -> Iterator[tuple[str, str, str]]:
    """Where a service may be at home in its images, the path from there, and the folder of the repository that is there."""
    project = service.project
    homes = [(home_in_image(project), project.folder)] if project is not None else []
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
