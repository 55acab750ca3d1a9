"""What the jib builder knows of Maven: the pom.xml, the call, its environment, and folders of a project."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from deadweight._errors import ConfigError
from deadweight.builders.protocol import Site
from deadweight.suite.model import Variant

JIB = "com.google.cloud.tools:jib-maven-plugin"
JIB_VERSION = "3.5.2"
MAX_POM_BYTES = 4 * 2**20
OFFLINE_VARIABLE = "DEADWEIGHT_MAVEN_OFFLINE"
"""Set it to build from the local repository alone (``mvn --offline``)."""

CONTAINERIZE = "jib.containerize"
"""Jib's own property: which module of a project with several becomes the image."""


SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""A build is over before the JVM's second compiler pays: this halves a small one (2.8 s for 5.1 s). A user's MAVEN_OPTS win."""


@dataclass(frozen=True)
class Pom:
    """What matters of a pom.xml: whether it names the Jib plugin itself, and whether it has modules."""

    names_jib: bool
    modules: tuple[str, ...] = ()


def read_pom(file: Path) -> Pom:
    """Parse a pom.xml without following entities. Raises ConfigError with the line where it is not well-formed, or no pom."""
    data = file.read_bytes()
    if len(data) > MAX_POM_BYTES:
        raise ConfigError("is larger than 4 MiB", file=file)
    reader = _Reader(file)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        problem = f"is not well-formed XML: {expat.ErrorString(error.code)}"
        raise ConfigError(problem, file=file, line=error.lineno) from None
    return Pom("jib-maven-plugin" in reader.artifacts, tuple(reader.modules))


class _Reader:
    """Collects the text of two kinds of elements."""

    def __init__(self, file: Path) -> None:
        self.file, self.path, self.text = file, list[str](), ""
        self.artifacts, self.modules = list[str](), list[str]()
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

    def _end(self, name: str) -> None:
        if name == "artifactId":
            self.artifacts.append(self.text.strip())
        elif self.path == ["project", "modules", "module"]:
            self.modules.append(self.text.strip())
        self.path.pop()
        self.text = ""

    def _characters(self, text: str) -> None:
        self.text += text

    def _refuse(self, *_: object) -> None:
        raise ConfigError("declares entities, which a pom.xml does not need", file=self.file, line=self._line)

    @property
    def _line(self) -> int:
        return self.parser.CurrentLineNumber


def call(variant: Variant, site: Site, work: Path) -> list[str | Path]:
    """Maven's call up to the properties of Jib. Writes proxies, passwords included, to a file in ``work`` (mode 0700)."""
    from deadweight.sources.java import maven_settings, trust_store
    from deadweight.toolchain.find import find

    pom = read_pom(site.root / variant.source / (variant.pom or "pom.xml"))
    goal = "jib:buildTar" if pom.names_jib else f"{JIB}:{JIB_VERSION}:buildTar"
    words: list[str | Path] = [find("mvn").path, "-B", "-ntp", "-Dstyle.color=never"]
    words += ["--offline"] if os.environ.get(OFFLINE_VARIABLE) else []
    words += ["-f", variant.pom] if variant.pom else []
    environment = site.source.environment()
    if environment.ca_bundle is not None:
        words.append(f"-Djavax.net.ssl.trustStore={trust_store(site.state, environment.ca_bundle)}")
    settings = maven_settings(environment.variables)
    if settings is not None:
        (work / "maven-settings.xml").write_text(settings, encoding="utf-8")
        words += ["-gs", work / "maven-settings.xml"]
    module = variant.args.get(CONTAINERIZE)
    if module:
        # modules reach each other as jars only, so Jib's documentation asks for `package` here
        return [*words, "-pl", module, "-am", *([] if variant.tests else ["-Dmaven.test.skip=true"]), "package", goal]
    return [*words, "test" if variant.tests else "compile", goal]


def environment(site: Site) -> dict[str, str]:
    """Maven's environment: the source's variables, the JDK that we found, and a JVM set for a short life."""
    from deadweight.toolchain.find import find

    return {
        **site.source.environment().variables,
        "JAVA_HOME": str(find("java").path.resolve().parent.parent),
        "MAVEN_OPTS": os.environ.get("MAVEN_OPTS") or SHORT_LIVED,
    }


def modules(source: Path) -> tuple[str, ...]:
    """The folders with a pom.xml, relative to the source: each has its own ``target``."""
    found = []
    for folder, names, files in os.walk(source):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("target", "src"))
        if "pom.xml" in files:
            found.append(Path(folder).relative_to(source).as_posix())
    return tuple(found)


def outputs(source: Path) -> tuple[str, ...]:
    """Folders that builds write, relative to the source."""
    return tuple("target" if name == "." else f"{name}/target" for name in modules(source)) or ("target",)


class Sources:
    """Which files the last build compiled. Maven keeps classes of sources that are gone: then it must begin anew."""

    def __init__(self, variant: Variant, site: Site, ignore: tuple[str, ...]) -> None:
        self.source = site.root / variant.source
        self.note = site.state.image(variant.name) / "sources.txt"
        self.skip = {self.source / name for name in ignore}
        self.now = frozenset(self._walk())

    def tidy(self) -> None:
        """Remove compiled classes where a source is gone since, or where we do not know what they were made of."""
        try:
            before = frozenset(self.note.read_text(encoding="utf-8", errors="surrogateescape").split("\0"))
        except OSError:
            before = None
        if before is None or before - self.now:
            for name in outputs(self.source):
                shutil.rmtree(self.source / name / "classes", ignore_errors=True)
                shutil.rmtree(self.source / name / "maven-status", ignore_errors=True)

    def remember(self) -> None:
        self.note.write_text("\0".join(sorted(self.now)), encoding="utf-8", errors="surrogateescape")

    def _walk(self) -> list[str]:
        found = []
        for folder, names, files in os.walk(self.source):
            here = Path(folder)
            names[:] = [name for name in names if here / name not in self.skip and name != ".git"]
            found += [(here / name).relative_to(self.source).as_posix() for name in files]
        return found
