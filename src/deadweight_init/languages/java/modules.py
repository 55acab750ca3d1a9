"""Find which module of a Maven or Gradle build is a program, and the folder to build it from."""

from __future__ import annotations

import posixpath
import re

from deadweight_init.tree import Tree, folder_of, joined

_MODULE = re.compile(r"<module>\s*([^<$\s]+)\s*</module>")
_PARENT = re.compile(r"<parent>(.*?)</parent>", re.DOTALL)
_ARTIFACT = re.compile(r"<artifactId>\s*([\w.-]+)\s*<")
_RELATIVE = re.compile(r"<relativePath>\s*([^<\s]+)\s*<")
_INCLUDE = re.compile(r"^\s*include(?!Build)\b([^\n]*(?:,\s*\n[^\n]*)*)", re.MULTILINE)
_SETTINGS = ("settings.gradle", "settings.gradle.kts")
_DEPTH = 6


def top_of(tree: Tree, folder: str, kind: str) -> str:
    """The folder that a project is built from: its own, or one above it that it is a module of, or has its parent."""
    above = _maven_above if kind == "maven" else _gradle_above
    top = folder
    for _ in range(_DEPTH):
        upper = above(tree, top)
        if upper is None:
            break
        top = upper
    return top


def lists(tree: Tree, top: str, folder: str) -> bool:
    """Whether Maven builds a module together with those that it needs when it is called in ``top``."""
    below = {top}
    for _ in range(_DEPTH):
        below |= {each for one in below for each in _modules(tree, one)}
    return folder in below


def holds_together(tree: Tree, folder: str, kind: str) -> bool:
    """Whether a project only holds modules together, and has no code of its own."""
    if any(tree.below(joined(folder, "src/main"), "")):
        return False
    if kind == "maven":
        return bool(_modules(tree, folder))
    return any(_INCLUDE.search(tree.text(joined(folder, name))) for name in _SETTINGS)


def texts_above(tree: Tree, folder: str, top: str, names: tuple[str, ...]) -> str:
    """The build files of the folders from a module's upper one to the top."""
    texts, home = [], folder
    while home not in (top, "."):
        home = folder_of(home)
        texts += [tree.text(joined(home, name)) for name in names]
    return "\n".join(texts)


def artifact(pom: str) -> str:
    """The name of a pom's own artifact."""
    match = _ARTIFACT.search(_PARENT.sub("", pom))
    return match[1] if match else ""


def _modules(tree: Tree, folder: str) -> list[str]:
    text = tree.text(joined(folder, "pom.xml"))
    return [joined(folder, each.removesuffix("/pom.xml")) for each in _MODULE.findall(text)]


def _maven_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose pom lists this one, or is its parent."""
    home = folder
    while home != ".":
        home = folder_of(home)
        if folder in _modules(tree, home):
            return home
    parent = _PARENT.search(tree.text(joined(folder, "pom.xml")))
    if parent is None or folder == ".":
        return None
    relative, name = _RELATIVE.search(parent[1]), _ARTIFACT.search(parent[1])
    file = joined(folder, relative[1] if relative else "../pom.xml")
    file = file if file.endswith(".xml") else posixpath.join(file, "pom.xml")
    upper = folder_of(file)
    is_above = upper == "." or folder.startswith(f"{upper}/")
    return upper if name and is_above and artifact(tree.text(file)) == name[1] else None


def _gradle_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose settings include this one; a folder with settings of its own is its own build."""
    home = folder
    while home != "." and not any(tree.has(joined(home, name)) for name in _SETTINGS):
        home = folder_of(home)
        texts = (tree.text(joined(home, name)) for name in _SETTINGS)
        included = "\n".join(each for text in texts for each in _INCLUDE.findall(text))
        path = posixpath.relpath(folder, home)
        if re.search(rf"[\"':](?:{re.escape(path)}|{re.escape(path.replace('/', ':'))})[\"']", included):
            return home
    return None
