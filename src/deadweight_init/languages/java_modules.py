"""Modules of a Maven or Gradle build: from which folder one is built, and which of them is a program."""

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
_MAIN = re.compile(
    r"\bSpringApplication\b|@SpringBootApplication|\bMicronaut\.(?:run|build)|\bstatic\s+void\s+main\s*\(|^fun main\(|@QuarkusMain"
    r"|io\.ktor\.server\.\w+\.EngineMain",
    re.MULTILINE,
)
_DEPTH = 6


def top_of(tree: Tree, folder: str, kind: str) -> str:
    """The folder that a project is built from: its own, or one above it that it is a module of, or has its parent."""
    above = _maven_above if kind == "maven" else _gradle_above
    found = folder
    for _ in range(_DEPTH):
        upper = above(tree, found)
        if upper is None:
            break
        found = upper
    return found


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


def is_program(tree: Tree, folder: str, text: str) -> bool:
    """Whether a module has a main class; Quarkus makes one."""
    if "quarkus-maven-plugin" in text or re.search(r"[\"'(]io\.quarkus[\"')]", text):
        return True
    return any(
        _MAIN.search(tree.text(path)) for path in tree.below(joined(folder, "src/main"), ".java", ".kt", ".groovy")
    )


def texts_above(tree: Tree, folder: str, top: str, names: tuple[str, ...]) -> str:
    """The build files of the folders from a module's upper one to the top."""
    found, each = [], folder
    while each not in (top, "."):
        each = folder_of(each)
        found += [tree.text(joined(each, name)) for name in names]
    return "\n".join(found)


def _modules(tree: Tree, folder: str) -> list[str]:
    text = tree.text(joined(folder, "pom.xml"))
    return [joined(folder, each.removesuffix("/pom.xml")) for each in _MODULE.findall(text)]


def _maven_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose pom lists this one, or is its parent."""
    if folder == ".":
        return None
    said = _PARENT.search(tree.text(joined(folder, "pom.xml")))
    each = folder
    while each != ".":
        each = folder_of(each)
        if folder in _modules(tree, each):
            return each
    if said is None:
        return None
    relative = _RELATIVE.search(said[1])
    file = joined(folder, relative[1] if relative else "../pom.xml")
    file = file if file.endswith(".xml") else posixpath.join(file, "pom.xml")
    name = _ARTIFACT.search(said[1])
    text = _PARENT.sub("", tree.text(file)) if tree.has(file) else ""
    named = _ARTIFACT.search(text)
    upper = folder_of(file)
    is_above = upper == "." or folder.startswith(f"{upper}/")
    return upper if name and named and name[1] == named[1] and is_above else None


def _gradle_above(tree: Tree, folder: str) -> str | None:
    """The folder above whose settings include this one; a folder with settings of its own is its own build."""
    each = folder
    while each != "." and not any(tree.has(joined(each, name)) for name in _SETTINGS):
        each = folder_of(each)
        included = "\n".join(
            found[1] for name in _SETTINGS for found in _INCLUDE.finditer(tree.text(joined(each, name)))
        )
        path = posixpath.relpath(folder, each)
        if re.search(rf"[\"':]{re.escape(path.replace('/', ':'))}[\"']|[\"']{re.escape(path)}[\"']", included):
            return each
    return None
