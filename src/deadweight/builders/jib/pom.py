"""Parse a project's pom.xml files for the jib builder: their modules, and where they name the Jib plugin.

Maven also applies the plugins of a project's parents. Parents in the suite's folders are read here; parents that exist only in a
repository are not. Profiles are ignored: only Maven knows which are active.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from deadweight._errors import ConfigError, wording
from deadweight.builders.variants import JibVariant

CONTAINERIZE = "jib.containerize"
"""Jib's own property: which module of a project with several becomes the image."""

MAX_POMS = 1000
_LIFECYCLE = (
    *("validate", "initialize", "generate-sources", "process-sources", "generate-resources", "process-resources"),
    *("compile", "process-classes", "generate-test-sources", "process-test-sources", "generate-test-resources"),
    *("process-test-resources", "test-compile", "process-test-classes", "test", "prepare-package", "package"),
)
"""Maven's phases in their order, up to the last one that a build here calls."""
_WEB = ("war", "gwt-app")
_HERE = re.compile(r"^\$\{(?:project\.)?basedir\}/")


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

    def need_package(self, mode: str) -> bool:
        """Whether Jib takes what only Maven's phase ``package`` makes. ``mode`` is the containerizingMode that the suite names."""
        mode = mode or next((pom.mode for pom in self.image if pom.mode), "")
        return self.image[0].packaging in _WEB or mode == "packaged"

    def publishing(self, phase: str) -> tuple[Path, Bound] | None:
        """What a build up to this phase would run beside ours: a goal of Jib's that pushes an image, or loads it."""
        run = _LIFECYCLE[: _LIFECYCLE.index(phase) + 1]
        found = ((pom.file, bound) for pom in self.image for bound in pom.bound)
        return next((each for each in found if each[1].goal in ("build", "dockerBuild") and each[1].phase in run), None)

    def outside(self, source: Path) -> tuple[Path, ...]:
        """The files that are not below that folder."""
        files = dict.fromkeys(pom.file for pom in (*self.called, *self.image))
        return tuple(file for file in files if not file.is_relative_to(source))


def read_poms(variant: JibVariant, root: Path) -> Poms:
    """The poms of a variant; ``root`` is the suite's folder. Raises ConfigError as ``read_pom`` does."""
    called = read_pom(_file(root / variant.source / (variant.pom or "pom.xml")))
    image = _module(called, variant.args.get(CONTAINERIZE, ""))
    return Poms(_with_parents(called, root), _with_parents(image, root))


def modules_outside(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """The folders of a variant's modules that lie beside its source, as ``<module>../lib</module>`` says; within ``root``."""
    source = root / variant.source
    homes = (pom.file.parent for pom in _modules(read_poms(variant, root).called[0]))
    return tuple(home for home in homes if home.is_relative_to(root) and not home.is_relative_to(source))


def output_folders(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """Where the builds of a variant's modules write, within ``root``. A path with a property counts as none."""
    found = []
    for pom in _modules(read_poms(variant, root).called[0]):
        said = next((each.directory for each in _with_parents(pom, root) if each.directory), "")
        name = _HERE.sub("", said)
        home = pom.file.parent
        place = Path(os.path.normpath(home / ("target" if not name or "${" in name else name)))
        if place.is_relative_to(root) and not home.is_relative_to(place):
            found.append(place)
    return tuple(found)


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


# One pom.xml: what the jib builder reads of it, and the reader. Entities are not followed.
MAX_POM_BYTES = 4 * 2**20
_PLUGINS = ("build/pluginManagement/plugins/plugin", "build/plugins/plugin")
_DECLARED = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)")


@dataclass(frozen=True)
class Bound:
    """A goal of the Jib plugin that the file binds to a phase, and the line where it does."""

    goal: str
    phase: str
    line: int


@dataclass(frozen=True)
class Pom:
    """One pom.xml. ``name`` and ``parent`` are GROUP:ARTIFACT; ``parent_path`` is empty where a repository has the parent.

    ``jib`` is the plugin's version as it is written ("" where it is written elsewhere), None where the plugin is not named.
    ``mode`` is its containerizingMode, ``directory`` where the build writes; both are empty where the file does not say.
    """

    file: Path
    name: str
    packaging: str
    jib: str | None
    mode: str
    bound: tuple[Bound, ...]
    directory: str
    modules: tuple[str, ...]
    parent: str
    parent_path: str


def read_pom(file: Path) -> Pom:
    """Parse a pom.xml. Raises ConfigError with the line where it is not well-formed, or no pom."""
    if file.stat().st_size > MAX_POM_BYTES:
        raise ConfigError(wording("jib.pom_too_large"), file=file)
    root = _parsed(file)

    def text(path: str, default: str = "", within: Element = root) -> str:
        return (within.findtext(path) or "").strip() or default

    jib: str | None = None
    mode, bound = "", list[Bound]()
    for plugin in (found for place in _PLUGINS for found in root.iterfind(place)):
        if text("artifactId", within=plugin) == "jib-maven-plugin":
            jib = text("version", jib or "", plugin)
            mode = text("configuration/containerizingMode", mode, plugin)
            for execution in plugin.iterfind("executions/execution"):
                phase, goals = text("phase", within=execution), execution.iterfind("goals/goal")
                bound += [Bound((goal.text or "").strip(), phase, int(goal.get("line", "1"))) for goal in goals]
    parent = root.find("parent/artifactId") is not None
    path = root.find("parent/relativePath")
    return Pom(
        file=file,
        name=f"{text('groupId') or text('parent/groupId')}:{text('artifactId')}",
        packaging=text("packaging", "jar"),
        jib=jib,
        mode=text("properties/jib.containerizingMode", mode),
        bound=tuple(bound),
        directory=text("build/directory"),
        modules=tuple((module.text or "").strip() for module in root.iterfind("modules/module")),
        parent=f"{text('parent/groupId')}:{text('parent/artifactId')}" if parent else "",
        parent_path=("../pom.xml" if path is None else (path.text or "").strip()) if parent else "",
    )


def _parsed(file: Path) -> Element:
    """The root element; each element has its line as an attribute, which ElementTree's own parser does not tell."""
    parser, tree = expat.ParserCreate(), TreeBuilder()

    def refuse(*_: object) -> None:
        raise ConfigError(wording("jib.pom_entities"), file=file, line=parser.CurrentLineNumber)

    parser.StartElementHandler = lambda name, _: tree.start(name, {"line": str(parser.CurrentLineNumber)})
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(_text(file), True)
    except expat.ExpatError as error:
        problem = wording("jib.pom_not_xml", problem=expat.ErrorString(error.code))
        raise ConfigError(problem, file=file, line=error.lineno) from None
    root = tree.close()
    if root.tag != "project":
        problem = wording("jib.not_a_pom", root=root.tag)
        raise ConfigError(problem, file=file, line=int(root.get("line", "1")))
    return root


def _text(file: Path) -> str:
    """Decoded here, since Maven knows every encoding and the parser only those of one byte, UTF-8 and UTF-16."""
    data = file.read_bytes()
    declared = _DECLARED.match(data.removeprefix(codecs.BOM_UTF8).lstrip())
    name = declared[1].decode("ascii") if declared else "UTF-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "UTF-16"
    try:
        return data.decode(name)
    except LookupError:
        raise ConfigError(wording("jib.pom_encoding_unknown", encoding=name), file=file, line=1) from None
    except UnicodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if isinstance(error, UnicodeDecodeError) else 1
        raise ConfigError(wording("jib.pom_not_text", encoding=name), file=file, line=line) from None
