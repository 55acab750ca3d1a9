"""The front end that a Go program compiles in (``//go:embed dist``) and that the repository does not hold: npm makes it first."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from deadweight_init.languages.node_managers import commands, manager, pinned
from deadweight_init.languages.node_start import part, read_package
from deadweight_init.languages.node_versions import version_of
from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, aside, folder_of, joined

FRONT = "FRONT"
"""The build argument for the base that the front end is built on."""

FIRST = "it compiles in a front end, which npm makes first"
"""Why those have no rung that compile the program and nothing else."""

_SETTINGS = re.compile(
    r"(?:vite|vue|svelte|rollup|webpack|rspack|rsbuild|next|nuxt|astro|parcel)[\w.-]*\.(?:[cm]?[jt]s|json)|angular\.json"
)
_PATH = re.compile(r"(?:\.{1,2}/)[\w./-]+")
_RUNS = re.compile(r"\b(?:npm|yarn|pnpm)\b[^\n&|;]*?\s(?:run\s+)?([\w:.-]+)(?=\s*(?:[&|;\\\n]|$))")
_DOCKERFILES = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?"
_OTHERS = re.compile(r"(?i)^(?:dev|start|serve|preview|test|lint|format|ci|install)")


def find(tree: Tree, folder: str, absent: Mapping[str, bool], words: ImageWords | None) -> dict[str, str]:
    """What is known of it, as a project's details; empty where no package is known to make all that is ``absent``: paths relative
    to the module, each with whether nothing compiles without."""
    packages = [
        each
        for each in dict.fromkeys(folder_of(path) for path in tree.below(folder, "package.json"))
        if not aside(f"{each}/x") and "build" in part(read_package(tree, each), "scripts")
    ]
    makers = {each: next(_makers(tree, packages, joined(folder, each)), "") for each in absent}
    makes = [each for each in absent if makers[each]]
    if any(absent[each] and not makers[each] for each in absent) or len({makers[each] for each in makes}) != 1:
        return {}
    home = makers[makes[0]]
    package, kind = read_package(tree, home), manager(tree, home)
    return {
        "front": posixpath.relpath(home, folder),
        "front_makes": " ".join(makes),
        "front_may": " ".join(each for each in makes if not absent[each] and not posixpath.splitext(each)[1]),
        "front_version": version_of(tree, home, words, package).value,
        "front_manager": kind,
        "front_program": pinned(tree, home, package, kind),
        "front_runs": " ".join(_scripts(tree, folder, part(package, "scripts"))),
    }


def _makers(tree: Tree, packages: Sequence[str], path: str) -> Iterator[str]:
    """The packages that make a path: those that it lies in, the innermost first, then those whose settings name it."""
    above = [each for each in packages if each == "." or path.startswith(f"{each}/")]
    yield from sorted(above, key=len, reverse=True)
    for each in packages:
        files = [name for name in tree.below(each, "") if folder_of(name) == each]
        for file in files:
            name = posixpath.basename(file)
            if not (_SETTINGS.fullmatch(name) or name == "package.json"):
                continue
            for found in _PATH.findall(tree.text(file)):
                made = joined(each, found)
                if path == made or path.startswith(f"{made}/"):
                    yield each


def _scripts(tree: Tree, folder: str, scripts: dict[str, object]) -> list[str]:
    """What npm runs: as the own Dockerfile has it, else ``build``."""
    for path in tree.named(_DOCKERFILES):
        if folder_of(path) in (".", folder):
            said = [name for name in _RUNS.findall(tree.text(path)) if name in scripts and not _OTHERS.search(name)]
            if said:
                return list(dict.fromkeys(said))
    return ["build"]


def stage(details: Mapping[str, str], inside: str) -> list[str]:
    """The stage of a Dockerfile that makes it. ``inside`` is the module's folder in the context."""
    modules = commands(details["front_manager"], details["front_program"])
    home = posixpath.normpath(posixpath.join("/src", inside, details["front"]))
    may = [posixpath.normpath(posixpath.join("/src", inside, each)) for each in details["front_may"].split()]
    return [
        "# The front end, which the program compiles in.",
        f"FROM ${{{FRONT}}} AS front",
        "USER root",
        "WORKDIR /src",
        "COPY . .",
        f"WORKDIR {home}",
        f"RUN {modules.cache} {modules.install}",
        *(f"RUN npm run {each}" for each in details["front_runs"].split()),
        *([f"# The program compiles without it.\nRUN mkdir -p {' '.join(may)}"] if may else []),
        "",
    ]


def taken(details: Mapping[str, str], inside: str) -> list[str]:
    """The instructions that bring what it made into the stage that compiles the program, which works in the module's folder."""
    made = details.get("front_makes", "").split()
    return [f"COPY --from=front {posixpath.normpath(posixpath.join('/src', inside, each))} ./{each}" for each in made]
