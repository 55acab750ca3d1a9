"""What the jib builder reads in a project's pom.xml files: whether and where they name the Jib plugin, and their modules.

Maven gives a project the plugins of its parents too. Those that lie in the suite's folders are read here; a parent that only a
repository has is not. What a profile brings does not count: which profiles are active is for Maven to know.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from deadweight._errors import ConfigError
from deadweight.suite.model import Variant

CONTAINERIZE = "jib.containerize"
"""Jib's own property: which module of a project with several becomes the image."""

MAX_POM_BYTES = 4 * 2**20
MAX_POMS = 1000
_PLUGINS = ("project/build/plugins/plugin", "project/build/pluginManagement/plugins/plugin")
_PARENT = "project/parent"


@dataclass(frozen=True)
class Pom:
    """One pom.xml. ``name`` and ``parent`` are GROUP:ARTIFACT; ``parent_path`` is empty where a repository has the parent.

    ``jib`` is the plugin's version as it is written ("" where it is written elsewhere), None where the plugin is not named.
    """

    file: Path
    name: str
    jib: str | None
    modules: tuple[str, ...]
    parent: str
    parent_path: str


@dataclass(frozen=True)
class Poms:
    """``called`` is the file that Maven is called with, ``image`` the module's that becomes the image; then their parents."""

    called: tuple[Pom, ...]
    image: tuple[Pom, ...]

    @property
    def name_jib(self) -> bool:
        """Whether Jib's configuration is the project's."""
        return any(pom.jib is not None for pom in self.image)

    @property
    def share_jib(self) -> bool:
        """Whether every module has the plugin, so that Maven knows it by its short name in each of them."""
        return any(pom.jib is not None for pom in self.called)

    @property
    def jib_version(self) -> str | None:
        """The plugin's version, where it is written as a number."""
        return next((pom.jib for pom in self.image if pom.jib and "${" not in pom.jib), None)

    def outside(self, source: Path) -> tuple[Path, ...]:
        """The files that are not below that folder."""
        files = dict.fromkeys(pom.file for pom in (*self.called, *self.image))
        return tuple(file for file in files if not file.is_relative_to(source))


def read_poms(variant: Variant, root: Path) -> Poms:
    """The poms of a variant; ``root`` is the suite's folder. Raises ConfigError as ``read_pom`` does."""
    called = read_pom(_file(root / variant.source / (variant.pom or "pom.xml")))
    image = _module(called, variant.args.get(CONTAINERIZE, ""))
    return Poms(_with_parents(called, root), _with_parents(image, root))


def read_pom(file: Path) -> Pom:
    """Parse a pom.xml without following entities. Raises ConfigError with the line where it is not well-formed, or no pom."""
    if file.stat().st_size > MAX_POM_BYTES:
        raise ConfigError("is larger than 4 MiB", file=file)
    reader = _Reader(file)
    try:
        reader.parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        problem = f"is not well-formed XML: {expat.ErrorString(error.code)}"
        raise ConfigError(problem, file=file, line=error.lineno) from None
    said = reader.said
    group = said.get("project/groupId") or said.get(f"{_PARENT}/groupId", "")
    parent = (
        f"{said.get(f'{_PARENT}/groupId', '')}:{said[f'{_PARENT}/artifactId']}"
        if f"{_PARENT}/artifactId" in said
        else ""
    )
    return Pom(
        file=file,
        name=f"{group}:{said.get('project/artifactId', '')}",
        jib=reader.jib,
        modules=tuple(reader.modules),
        parent=parent,
        parent_path=said.get(f"{_PARENT}/relativePath", "../pom.xml") if parent else "",
    )


def _with_parents(pom: Pom, root: Path) -> tuple[Pom, ...]:
    found = [pom]
    while (above := _parent(found[-1], root)) is not None and len(found) < MAX_POMS:
        found.append(above)
    return tuple(found)


def _parent(pom: Pom, root: Path) -> Pom | None:
    """The parent where Maven takes it from disk: what lies there must have the parent's name."""
    if not pom.parent_path:
        return None
    file = _file(pom.file.parent / pom.parent_path)
    if not file.is_file() or not file.is_relative_to(root):
        return None
    found = read_pom(file)
    return found if found.name == pom.parent and found.name != pom.name else None


def _module(top: Pom, given: str) -> Pom:
    """The module that Jib's property names: ``:ARTIFACT``, ``GROUP:ARTIFACT`` or a folder. Where there is none, Maven says so."""
    group, mark, _ = given.partition(":")
    for pom in _modules(top) if given else ():
        named = (pom.name == given if group else pom.name.endswith(given)) if mark else False
        if named or pom.file == _file(top.file.parent / given):
            return pom
    return top


def _modules(top: Pom) -> Iterator[Pom]:
    seen, left = {top.file}, [top]
    while left and len(seen) < MAX_POMS:
        pom = left.pop()
        yield pom
        for name in pom.modules:
            file = _file(pom.file.parent / name)
            if file.is_file() and file not in seen:
                seen.add(file)
                left.append(read_pom(file))


def _file(place: Path) -> Path:
    return Path(os.path.normpath(place / "pom.xml" if place.is_dir() else place))


class _Reader:
    """Collects the text of the elements that matter, by their path."""

    def __init__(self, file: Path) -> None:
        self.file, self.path, self.text = file, list[str](), ""
        self.said, self.modules = dict[str, str](), list[str]()
        self.jib: str | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, name: str, _: dict[str, str]) -> None:
        if not self.path and name != "project":
            raise ConfigError(f"is no pom.xml: its root is <{name}>, not <project>", file=self.file, line=self._line)
        self.path.append(name)
        self.text = ""
        if self._where in _PLUGINS:
            for part in ("artifactId", "version"):
                self.said.pop(f"{self._where}/{part}", None)

    def _end(self, _name: str) -> None:
        where, text = self._where, self.text.strip()
        if where == "project/modules/module":
            self.modules.append(text)
        elif where in _PLUGINS:
            if self.said.get(f"{where}/artifactId") == "jib-maven-plugin":
                self.jib = self.said.get(f"{where}/version") or self.jib or ""
        elif where.rpartition("/")[0] in ("project", _PARENT, *_PLUGINS):
            self.said[where] = text
        self.path.pop()
        self.text = ""

    def _characters(self, text: str) -> None:
        self.text += text

    def _refuse(self, *_: object) -> None:
        raise ConfigError("declares entities, which a pom.xml does not need", file=self.file, line=self._line)

    @property
    def _where(self) -> str:
        return "/".join(self.path)

    @property
    def _line(self) -> int:
        return self.parser.CurrentLineNumber
