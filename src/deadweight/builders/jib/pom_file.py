"""One pom.xml: what the jib builder reads of it, and the reader. Entities are not followed."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from deadweight._errors import ConfigError

MAX_POM_BYTES = 4 * 2**20
_BUILD = "project/build"
_PLUGINS = (f"{_BUILD}/plugins/plugin", f"{_BUILD}/pluginManagement/plugins/plugin")
_PARENT = "project/parent"
_MODE = "project/properties/jib.containerizingMode"
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
        raise ConfigError("is larger than 4 MiB, more than is read of a pom.xml", file=file)
    reader = _Reader(file)
    try:
        reader.parser.Parse(_text(file), True)
    except expat.ExpatError as error:
        problem = f"is not well-formed XML: {expat.ErrorString(error.code)}"
        raise ConfigError(problem, file=file, line=error.lineno) from None
    said = reader.said
    group = said.get("project/groupId") or said.get(f"{_PARENT}/groupId", "")
    has_parent = f"{_PARENT}/artifactId" in said
    return Pom(
        file=file,
        name=f"{group}:{said.get('project/artifactId', '')}",
        packaging=said.get("project/packaging", "jar"),
        jib=reader.jib,
        mode=said.get(_MODE) or reader.mode,
        bound=tuple(reader.bound),
        directory=said.get(f"{_BUILD}/directory", ""),
        modules=tuple(reader.modules),
        parent=f"{said.get(f'{_PARENT}/groupId', '')}:{said[f'{_PARENT}/artifactId']}" if has_parent else "",
        parent_path=said.get(f"{_PARENT}/relativePath", "../pom.xml") if has_parent else "",
    )


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
        raise ConfigError(f"declares an unknown encoding: {name}", file=file, line=1) from None
    except UnicodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if isinstance(error, UnicodeDecodeError) else 1
        raise ConfigError(f"is not text in {name}", file=file, line=line) from None


class _Reader:
    """Collects the text of the elements that matter, by their path."""

    def __init__(self, file: Path) -> None:
        self.file, self.path, self.text = file, list[str](), ""
        self.said, self.modules = dict[str, str](), list[str]()
        self.jib: str | None = None
        self.mode, self.bound = "", list[Bound]()
        self.goals, self.of_plugin = list[tuple[str, int]](), list[Bound]()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, name: str, _: dict[str, str]) -> None:
        if not self.path and name != "project":
            raise ConfigError(
                f"is not a pom.xml: its root element is <{name}>, not <project>", file=self.file, line=self._line
            )
        self.path.append(name)
        self.text = ""
        if self._where in _PLUGINS:
            self.said = {key: text for key, text in self.said.items() if not key.startswith(f"{self._where}/")}
            self.of_plugin = []

    def _end(self, _name: str) -> None:
        where, text = self._where, self.text.strip()
        plugin = next((place for place in _PLUGINS if where.startswith(place)), None)
        if where == "project/modules/module":
            self.modules.append(text)
        elif plugin:
            self._end_in(plugin, where.removeprefix(plugin), text)
        elif where in (_MODE, f"{_BUILD}/directory") or where.rpartition("/")[0] in ("project", _PARENT):
            self.said[where] = text
        self.path.pop()
        self.text = ""

    def _end_in(self, plugin: str, part: str, text: str) -> None:
        """An element inside of a plugin, or the plugin itself."""
        execution = "/executions/execution"
        if part in ("/artifactId", "/version", "/configuration/containerizingMode", f"{execution}/phase"):
            self.said[plugin + part] = text
        elif part == f"{execution}/goals/goal":
            self.goals.append((text, self._line))
        elif part == execution:
            phase = self.said.pop(f"{plugin}{execution}/phase", "")
            self.of_plugin += [Bound(goal, phase, line) for goal, line in self.goals]
            self.goals = []
        elif not part and self.said.get(f"{plugin}/artifactId") == "jib-maven-plugin":
            self.jib = self.said.get(f"{plugin}/version") or self.jib or ""
            self.mode = self.said.get(f"{plugin}/configuration/containerizingMode") or self.mode
            self.bound += self.of_plugin

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
