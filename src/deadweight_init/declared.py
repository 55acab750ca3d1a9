"""Read a repository's own ko, apko, melange and Jib settings, and use them unchanged."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from deadweight.builders.shared import generated_files
from deadweight_init.records import ImageWords, Rung
from deadweight_init.tree import Tree, aside, folder_of, joined

_KO = (".ko.yaml", "ko.yaml")
_APKO = r"(?:[\w.-]+\.)?apko(?:[.-][\w.-]+)?\.ya?ml"
_MELANGE = r"(?:[\w.-]+\.)?melange(?:[.-][\w.-]+)?\.ya?ml"
_JIB = re.compile(r"<artifactId>\s*jib-maven-plugin\s*</artifactId>.*?<from>\s*<image>\s*([^<$\s]+)", re.DOTALL)
_JIB_GRADLE = re.compile(r"\bjib\s*\{.*?\bfrom\s*\{[^}]*?image\s*=?\s*[\"']([^\"'$]+)[\"']", re.DOTALL)


def ko(tree: Tree, folder: str) -> dict[str, str]:
    """``config``, ``base`` and ``main`` of the ko.yaml of a module; empty without one. Bases of its own for single programs are
    the suite's to say: such a file is not handed on."""
    path = next((found for name in _KO if tree.has(found := joined(folder, name))), None)
    document = _mapping(tree.text(path)) if path else {}
    if path is None or not document:
        return {}
    builds = document.get("builds")
    mains = (
        [str(each.get("main") or ".") for each in builds if isinstance(each, dict)] if isinstance(builds, list) else []
    )
    said = {
        "config": "" if document.get("baseImageOverrides") else path,
        "base": str(document.get("defaultBaseImage") or ""),
        "main": posixpath.normpath(mains[0]) if len(mains) == 1 else "",
    }
    return {name: value for name, value in said.items() if value}


def main(said: Mapping[str, str], mains: Sequence[str], words: ImageWords | None) -> str | None:
    """The one program of the repository's own ko.yaml; what the own image starts goes before it."""
    name = said.get("main")
    return name if name in mains and not (words and words.program) else None


def apko(tree: Tree, folder: str) -> Iterator[Rung]:
    """The apko files of a service, each with the melange files whose packages it lists."""
    mine = [path for path in tree.named(_APKO) if not aside(path) and _is_near(path, folder)]
    packages = {path: _mapping(tree.text(path)) for path in tree.named(_MELANGE)}
    taken: set[str] = set()
    for path in mine:
        contents = _mapping(tree.text(path)).get("contents")
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


def jib_base(text: str) -> str:
    """The base image that a pom.xml or a build.gradle gives Jib; empty where it gives none."""
    found = _JIB.search(text) or _JIB_GRADLE.search(text)
    return found[1] if found else ""


def jib_ports(text: str) -> Iterator[re.Match[str]]:
    """Where a pom.xml or a build.gradle tells Jib a port of the image; the first group is its number."""
    if "jib-maven-plugin" in text:
        yield from re.finditer(r"<port>\s*(\d{2,5})\s*(?:/tcp\s*)?</port>", text)
    elif found := re.search(r"\bjib\s*\{.*?\bports\s*=", text, re.DOTALL):
        yield from re.compile(r"[\"'](\d{2,5})(?:/tcp)?[\"']").finditer(text, found.end(), found.end() + 60)


def _is_near(path: str, folder: str) -> bool:
    return folder in (".", folder_of(path)) or path.startswith(f"{folder}/")


def _ours(tree: Tree, path: str) -> bool:
    return tree.text(path).startswith(generated_files.MELANGE)


def _package(document: dict[str, Any]) -> str:
    package = document.get("package")
    return str(package.get("name")) if isinstance(package, dict) else ""


def _mapping(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe one
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
