"""Call Maven or Gradle for the jib builder: read the project's build files, build the command and environment, find folders.

Maven also applies the plugins of a project's parents. Parents in the suite's folders are read here; parents that exist only in a
repository are not. Profiles are ignored: only Maven knows which are active.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import locale
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from deadweight._errors import CommandError, ConfigError, MissingError, wording
from deadweight._run import run
from deadweight.builders.jib.resident_maven import multi_module
from deadweight.builders.protocol import Site, WrongKey
from deadweight.builders.shared import common
from deadweight.builders.variants import JibVariant
from deadweight.records import store
from deadweight.records.paths import STATE_DIR, content
from deadweight.toolchain.find import Tool, find, number

JIB = "com.google.cloud.tools:jib-maven-plugin"
JIB_VERSION = "3.5.2"
"""Of its plug-ins for both."""
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
_HERE = r"^\$\{(?:project\.)?basedir\}/"
_PUBLISHING = {"build": "push", "dockerBuild": "load"}
"""Goals of Jib that do more than make an image."""

_WRAPPER = ".mvn/wrapper/maven-wrapper.properties"
_WRAPPED = r"apache-maven-([\w.-]+?)-bin\."
FETCH_SECONDS = 300.0
QUIET_SINCE = (3, 6, 1)
"""The Maven that knows ``--no-transfer-progress``."""

_COMPILED = ("classes", "test-classes", "generated-sources", "generated-test-sources", "maven-status")
MAX_READ_BYTES = 2**20

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""A build is over before the JVM's second compiler pays: this halves a small one (2.8 s for 5.1 s). A user's MAVEN_OPTS win."""

_OPENED = (
    *(f"java.base/java.{name}" for name in ("io", "lang", "lang.reflect", "net", "text", "time", "util")),
    "java.desktop/java.awt.font",
    *(
        f"jdk.compiler/com.sun.tools.javac.{name}"
        for name in ("api", "code", "comp", "file", "jvm", "main", "model", "parser", "processing", "tree", "util")
    ),
)
OPENED = " ".join(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED)
"""What plug-ins and annotation processors of before Java 16 reach into (maven-war-plugin 2, Lombok before 1.18.20): Maven runs on
this machine's Java, whatever the project's own is."""


class Maven:
    """A variant's Maven project below the suite's folder ``root``. What reads a pom raises ConfigError as ``read_pom`` does."""

    def __init__(self, variant: JibVariant, root: Path) -> None:
        self.variant, self.root, self.source = variant, root, root / variant.source
        self.module = variant.args.get(CONTAINERIZE, "")

    @cached_property
    def modules(self) -> tuple[Pom, ...]:
        """The pom that Maven is called with, and those of its modules, and of theirs."""
        top = read_pom(_file(self.source / (self.variant.pom or "pom.xml")))
        poms, left = {top.file: top}, [top]
        while left and len(poms) < MAX_POMS:
            pom = left.pop()
            for file in (_file(pom.file.parent / name) for name in pom.modules):
                if file.is_file() and file not in poms:
                    poms[file] = read_pom(file)
                    left.append(poms[file])
        return tuple(poms.values())

    @cached_property
    def called(self) -> tuple[Pom, ...]:
        """The pom that Maven is called with, and its parents."""
        return self._with_parents(self.modules[0])

    @cached_property
    def image(self) -> tuple[Pom, ...]:
        """The pom of the module that becomes the image, and its parents. Jib's property names it by ``:ARTIFACT``,
        ``GROUP:ARTIFACT`` or a folder. Where there is no such one, Maven says so."""
        group, mark, _ = self.module.partition(":")
        for pom in self.modules if self.module else ():
            named = mark and (pom.name == self.module if group else pom.name.endswith(self.module))
            if named or pom.file == _file(self.modules[0].file.parent / self.module):
                return self._with_parents(pom)
        return self.called

    def _with_parents(self, pom: Pom) -> tuple[Pom, ...]:
        poms = [pom]
        while (above := self._parent(poms[-1])) is not None and len(poms) < MAX_POMS:
            poms.append(above)
        return tuple(poms)

    def _parent(self, pom: Pom) -> Pom | None:
        """The parent where Maven takes it from disk: what lies there must have the parent's name."""
        file = _file(pom.file.parent / pom.parent_path)
        if not pom.parent_path or not file.is_file() or not file.is_relative_to(self.root):
            return None
        above = read_pom(file)
        return above if above.name == pom.parent and above.name != pom.name else None

    @property
    def names_jib(self) -> bool:
        """Whether Jib's configuration is the project's."""
        return any(pom.jib is not None for pom in self.image)

    @cached_property
    def wrapper(self) -> tuple[Path, str] | None:
        """The project's own ``mvnw`` and the version of Maven that it names; None where there is none."""
        top = multi_module(self.source)
        named = re.search(_WRAPPED, content(top / _WRAPPER).decode("utf-8", "replace"))
        is_own = top.is_relative_to(self.root) and (top / "mvnw").is_file()
        return (top / "mvnw", named[1]) if named and is_own else None

    @property
    def program(self) -> Tool:
        """The wrapper's Maven where that was fetched (``fetch``), else the machine's."""
        if self.wrapper is not None:
            home = Path(os.environ.get("MAVEN_USER_HOME") or Path.home() / ".m2")
            kept = (home / "wrapper" / "dists").glob(f"apache-maven-{self.wrapper[1]}*")
            scripts = sorted(
                script for folder in kept for at in ("*", "*/*") for script in folder.glob(f"{at}/bin/mvn")
            )
            if scripts:
                return replace(find("mvn"), path=scripts[0], version=self.wrapper[1])
        return find("mvn")

    def fetch(self, site: Site) -> None:
        """Let the project's wrapper fetch the Maven that it names. Where it cannot, the machine's builds."""
        if self.wrapper is None or self.program.version == self.wrapper[1] or os.environ.get(common.OFFLINE_VARIABLE):
            return
        with contextlib.suppress(CommandError):
            run(
                ["sh", self.wrapper[0], "--version"],
                cwd=self.source,
                env=maven_environment(site),
                timeout=FETCH_SECONDS,
            )

    @property
    def tool(self) -> str:
        """What a fingerprint calls Maven."""
        return " or ".join(dict.fromkeys([*([self.wrapper[1]] if self.wrapper else []), find("mvn").version]))

    @cached_property
    def phase(self) -> str:
        """How far Maven goes before Jib: modules reach each other as jars only, so Jib's documentation asks for `package` there."""
        modes = (self.variant.args.get("jib.containerizingMode", ""), *(pom.mode for pom in self.image))
        if self.module or self.image[0].packaging in _WEB or next(filter(None, modes), "") == "packaged":
            return "package"
        return "test" if self.variant.tests else "compile"

    def check(self) -> None:
        """Raises ConfigError: no pom, one that does not parse, a module that is not named, a build that would push by itself."""
        variant = self.variant
        if not variant.pom and not (self.source / "pom.xml").exists():
            raise WrongKey(variant, "source", wording("jib.no_build_file"), self.source)
        file = common.need_file(variant, "pom", self.source, variant.pom or "pom.xml", wide=True)
        modules = self.modules[0].modules
        if modules and CONTAINERIZE not in variant.args:
            problem = wording("jib.several_modules", modules=", ".join(modules))
            hint = f'args: {{{CONTAINERIZE}: ":ARTIFACT-ID"}}'
            raise WrongKey(variant, ("args", CONTAINERIZE), problem, file, hint=hint)
        run = _LIFECYCLE[: _LIFECYCLE.index(self.phase) + 1]
        for pom in self.image:
            for goal, phase, line in pom.bound:
                if goal in _PUBLISHING and phase in run:
                    words = {"goal": goal, "phase": phase, "verb": _PUBLISHING[goal]}
                    problem = wording("jib.bound_goal", last=self.phase, variant=variant.name, **words)
                    raise ConfigError(problem, file=pom.file, line=line)

    def call(self, site: Site, work: Path) -> list[str | Path]:
        """Maven's call up to the properties of Jib. Writes proxies, passwords included, to a file in ``work`` (mode 0700)."""
        from deadweight.sources.network import maven_settings, trust_store

        variant, environment = self.variant, site.source.environment()
        program = self.program
        words: list[str | Path] = [program.path, "-B", "-Dstyle.color=never"]
        words += ["-ntp"] if number(program.version) >= QUIET_SINCE else []
        words += ["--offline"] if os.environ.get(common.OFFLINE_VARIABLE) else []
        words += ["-f", variant.pom] if variant.pom else []
        if environment.ca_bundle is not None:
            words.append(f"-Djavax.net.ssl.trustStore={trust_store(site.state, environment.ca_bundle)}")
        settings = maven_settings(environment.variables)
        if settings is not None:
            (work / "maven-settings.xml").write_text(settings, encoding="utf-8")
            words += ["-gs", work / "maven-settings.xml"]
        # the short name is known where a pom.xml has the plugin; with modules, in each of them
        shared = any(pom.jib is not None for pom in self.called)
        version = next((pom.jib for pom in self.image if pom.jib and "${" not in pom.jib), JIB_VERSION)
        words += ["-pl", self.module, "-am"] if self.module else []
        words += ["-Dmaven.test.skip=true"] if self.phase == "package" and not variant.tests else []
        return [*words, self.phase, "jib:buildTar" if shared else f"{JIB}:{version}:buildTar"]

    @cached_property
    def output_folders(self) -> tuple[Path, ...]:
        """Where the builds of the modules write, within ``root``. A path with a property counts as none."""
        folders = []
        for pom in self.modules:
            given = next((parent.directory for parent in self._with_parents(pom) if parent.directory), "")
            name, home = re.sub(_HERE, "", given), pom.file.parent
            place = Path(os.path.normpath(home / ("target" if not name or "${" in name else name)))
            if place.is_relative_to(self.root) and not home.is_relative_to(place):
                folders.append(place)
        return tuple(folders)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Folders that builds write, relative to the source: those of the modules, and of what only a profile may make one."""
        own = (place for place in self.output_folders if place.is_relative_to(self.source))
        places = [self.source / "target", *own]
        for folder, names, files in os.walk(self.source):
            names[:] = sorted(name for name in names if not name.startswith(".") and name not in ("target", "src"))
            if "pom.xml" in files:
                places.append(Path(folder) / "target")
        return tuple(dict.fromkeys(place.relative_to(self.source).as_posix() for place in places))

    @cached_property
    def modules_outside(self) -> tuple[Path, ...]:
        """The folders of modules that lie beside the source, as ``<module>../lib</module>`` says; within ``root``."""
        homes = (pom.file.parent for pom in self.modules)
        return tuple(home for home in homes if home.is_relative_to(self.root) and not home.is_relative_to(self.source))

    @cached_property
    def outside_source(self) -> tuple[Path, ...]:
        """What Maven reads of the project that is not below its source: parents, modules, and ``.mvn`` of a folder above."""
        poms = dict.fromkeys(pom.file for pom in (*self.called, *self.image))
        above = multi_module(self.modules[0].file.parent)
        own = above.is_relative_to(self.source) or not above.is_relative_to(self.root)
        configured = () if own else sorted((above / ".mvn").rglob("*"))
        files = (*(file for file in poms if not file.is_relative_to(self.source)), *configured)
        return (*(file for file in files if file.is_file()), *self.modules_outside)


def linked_sources(outputs: Iterable[Path], *more: Path) -> tuple[Path, ...]:
    """What links in sources lead to, as far as these do not hold it: Maven and Jib follow links. Sources lie beside the folders
    that builds write; ``more`` are files and folders that are input too."""
    left = [*dict.fromkeys(place.parent / "src" for place in outputs), *more]
    homes, targets = [place.resolve() for place in left], list[Path]()
    while left:
        for folder, names, files in os.walk(left.pop()):
            links = (path for path in (Path(folder, name) for name in (*names, *files)) if path.is_symlink())
            for target in (link.resolve() for link in links):
                inside = any(target.is_relative_to(home) for home in (*homes, *targets))
                above = any(home.is_relative_to(target) for home in homes)
                if target.exists() and not inside and not above:
                    targets.append(target)
                    left.append(target)
    return tuple(targets)


def _file(place: Path) -> Path:
    return Path(os.path.normpath(place / "pom.xml" if place.is_dir() else place))


def maven_environment(site: Site) -> dict[str, str]:
    """Maven's and Gradle's: the source's variables, the JDK that we found, a JVM set for a short life, and a locale with letters.

    In the locale C, Java takes its arguments and names of files for ASCII: an image's variables would lose other letters.
    """
    return {
        **({"LC_ALL": "C.UTF-8"} if codecs.lookup(locale.getencoding()).name == "ascii" else {}),
        **site.source.environment().variables,
        "JAVA_HOME": str(find("java").path.resolve().parent.parent),
        "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS') or SHORT_LIVED} {OPENED}",
    }


class Sources:
    """What the compiled classes of a project were made of. Maven compares times of files: it keeps a class whose source is gone,
    or gave way to an older file, and one that another pom.xml or another argument would make another one."""

    def __init__(self, project: Maven, site: Site) -> None:
        self.source = project.source
        # of the project, not of a variant: variants of one project share its classes
        place = hashlib.sha256(os.fsencode(self.source)).hexdigest()[:16]
        self.note = site.state.cache / "jib" / f"made-of-{place}.json"
        self.outputs = dict.fromkeys((*(self.source / name for name in project.outputs), *project.output_folders))
        # what decides how Maven compiles, beside the files of the project itself
        variant = project.variant
        beside = {
            **{name: value for name, value in variant.args.items() if not name.startswith("jib.")},
            **{str(file): _state(file, by_time=True) for file in project.outside_source if file.is_file()},
            "java": find("java").version,
            "mvn": project.program.version,
            "pom": variant.pom or "",
        }
        self.now = self._states(project) | {"(beside)": repr(sorted(beside.items()))}

    def tidy(self) -> None:
        """Before a build: remove what builds compiled, where Maven would keep what a clean build would not make."""
        seen = self._maven_sees()
        self.note.unlink(missing_ok=True)  # a build that fails leaves some classes new and others old
        for folder in () if seen else self.outputs:
            web = [place.parent for place in folder.glob("*/WEB-INF")]  # what a war is made of holds classes too
            for place in (*(folder / name for name in _COMPILED), *web):
                shutil.rmtree(place, ignore_errors=True)

    def remember(self) -> None:
        """After a build that went well."""
        store.write_atomically(self.note, json.dumps(self.now))

    def _maven_sees(self) -> bool:
        """Whether all that changed since the last build is that sources were written after it."""
        try:
            before, built_ns = json.loads(self.note.read_bytes()), self.note.stat().st_mtime_ns
        except (OSError, ValueError):
            return False
        if not isinstance(before, dict) or before.keys() - self.now.keys():
            return False
        changed = [name for name, state in self.now.items() if before.get(name) != state]
        return all(_is_source(name) and int(self.now[name].split()[0]) > built_ns for name in changed)

    def _states(self, project: Maven) -> dict[str, str]:
        states, skip = {}, {self.source / ".git", self.source / STATE_DIR, *self.outputs}
        places = (self.source, *project.modules_outside, *linked_sources(self.outputs))
        for folder, names, files in (step for place in places for step in os.walk(place)):
            here = Path(folder)
            names[:] = [name for name in names if here / name not in skip and not _hidden(name)]
            for path in (here / name for name in files if not _hidden(name)):
                with contextlib.suppress(OSError):  # a link to nothing
                    name = os.path.relpath(path, self.source)
                    states[name] = _state(path, by_time=_is_source(name))
        return states


def _is_source(name: str) -> bool:
    """Whether Maven notices by itself when that file is written."""
    *folders, last = name.split("/")
    return "src" in folders and last != "pom.xml"


def _hidden(name: str) -> bool:
    """Notes of version control, editors and plug-ins; they come and go, and nothing is compiled of them."""
    return name.startswith(".") and name != ".mvn"


def _state(file: Path, *, by_time: bool) -> str:
    """Of what plug-ins write anew in every build the content counts: a shaded pom, a list of versions."""
    facts = file.stat()
    if by_time or facts.st_size > MAX_READ_BYTES:
        return f"{facts.st_mtime_ns} {facts.st_size}"
    return hashlib.sha256(file.read_bytes()).hexdigest()


# One pom.xml: what the jib builder reads of it, and the reader. Entities are not followed.
MAX_POM_BYTES = 4 * 2**20
_PLUGINS = ("build/pluginManagement/plugins/plugin", "build/plugins/plugin")
_DECLARED = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)")


class Pom(NamedTuple):
    """One pom.xml. ``name`` and ``parent`` are GROUP:ARTIFACT; ``parent_path`` is empty where a repository has the parent.

    ``jib`` is the plugin's version as it is written ("" where it is written elsewhere), None where the plugin is not named.
    ``mode`` is its containerizingMode, ``directory`` where the build writes; both are empty where the file does not say.
    ``bound``: goals of the plugin that the file binds to a phase, that phase, and the line where it does.
    """

    file: Path
    name: str
    packaging: str
    jib: str | None
    mode: str
    bound: tuple[tuple[str, str, int], ...]
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
    mode, bound = "", list[tuple[str, str, int]]()
    for plugin in (plugin for place in _PLUGINS for plugin in root.iterfind(place)):
        if text("artifactId", within=plugin) == "jib-maven-plugin":
            jib = text("version", jib or "", plugin)
            mode = text("configuration/containerizingMode", mode, plugin)
            for execution in plugin.iterfind("executions/execution"):
                phase, goals = text("phase", within=execution), execution.iterfind("goals/goal")
                bound += [((goal.text or "").strip(), phase, int(goal.get("line", "1"))) for goal in goals]
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


# Gradle: find it, and add Jib to a build that does not name it.
# Tried with a real Gradle, but not with Jib's Gradle plugin, which only Gradle's plugin portal carries.
SETTINGS = ("settings.gradle", "settings.gradle.kts")
ROOT_FILES = ("build.gradle", "build.gradle.kts", *SETTINGS)
_PLUGIN = "com.google.cloud.tools.jib"
_NEVER_SOURCES = ("build", "src", "target", "node_modules")
_INCLUDE = r"(?m)^\s*include\b"
_ELSEWHERE = r"""\bincludeBuild\b[\s(]*["']([^"'$]+)|\bprojectDir\s*=[^"'\n]*["']([^"'$]+)"""
_INIT = f"""initscript {{
    repositories {{ gradlePluginPortal() }}
    dependencies {{ classpath "com.google.cloud.tools:jib-gradle-plugin:{JIB_VERSION}" }}
}}
allprojects {{ project ->
    project.plugins.withId("java") {{ project.apply plugin: {_PLUGIN}.gradle.JibPlugin }}
}}
"""
"""``project`` is named: a bare ``apply`` in there is not the project's but the script's, which applies to all of Gradle."""


class Gradle:
    """A variant's Gradle project, below the suite's folder ``root``."""

    def __init__(self, variant: JibVariant, root: Path) -> None:
        self.variant, self.root, self.source = variant, root, root / variant.source

    @property
    def tool(self) -> str:
        """The program: the project's own wrapper, else Gradle on PATH. Raises MissingError."""
        wrapper = self.source / "gradlew"
        if wrapper.is_file() and not os.access(wrapper, os.X_OK):
            raise MissingError(wording("jib.gradlew_not_executable", file=wrapper))
        program = str(wrapper) if wrapper.is_file() else shutil.which("gradle")
        if program is None:
            raise MissingError(wording("jib.no_gradle", source=self.source))
        return program

    def check(self) -> None:
        """Raises WrongKey where several projects would each write the one image."""
        settings = [file for file in (self.source / name for name in SETTINGS) if file.is_file()]
        if CONTAINERIZE not in self.variant.args and any(re.search(_INCLUDE, _file_text(file)) for file in settings):
            problem = wording("jib.gradle_several")
            hint = f'args: {{{CONTAINERIZE}: ":app"}}; ":" is the root project'
            raise WrongKey(self.variant, ("args", CONTAINERIZE), problem, settings[0], hint=hint)

    @cached_property
    def names_jib(self) -> bool:
        """Whether anything that a build is written in names the plugin: build files, version catalogues, what lies in buildSrc."""
        files = [file for file in (self.source / "buildSrc" / "src").rglob("*") if file.is_file()]
        for folder, _, names in _folders(self.source):
            of_build = ("gradle", "kts", "toml") if folder.name == "gradle" else ("gradle", "kts")
            files += [folder / name for name in names if name.rpartition(".")[2] in of_build]
        return any(_PLUGIN in _file_text(file) for file in files)

    @property
    def outside_source(self) -> tuple[Path, ...]:
        """The folders within ``root`` that the settings name and that are not below the source: other builds and projects."""
        source, text = self.source, "\n".join(_file_text(self.source / name) for name in ROOT_FILES)
        named = {
            Path(os.path.normpath(source / (match[1] or match[2]))): None for match in re.finditer(_ELSEWHERE, text)
        }
        apart = (folder for folder in named if not folder.is_relative_to(source) and not source.is_relative_to(folder))
        return tuple(folder for folder in apart if folder.is_dir() and folder.is_relative_to(self.root))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """What builds write, relative to each project: ``build`` beside a build file or sources, never a package of that name."""
        outputs = []
        for project in (self.source, *self.outside_source):
            outputs += ["**/.gradle", "build"]
            for folder, names, files in _folders(project):
                if "src" in names or any(name.endswith((".gradle", ".gradle.kts")) for name in files):
                    outputs.append((folder / "build").relative_to(project).as_posix())
        return tuple(dict.fromkeys(outputs))

    def call(self, site: Site, work: Path) -> list[str | Path]:
        """Gradle's call up to the properties of Jib. Writes an init script to ``work`` where the build does not name Jib."""
        del site
        words: list[str | Path] = [self.tool, "--console=plain", "--no-daemon"]
        words += ["--offline"] if os.environ.get(common.OFFLINE_VARIABLE) else []
        if not self.names_jib:
            (work / "jib.init.gradle").write_text(_INIT, encoding="utf-8")
            words += ["--init-script", work / "jib.init.gradle"]
        module = self.variant.args.get(CONTAINERIZE)
        project = "" if module is None else f":{module.strip(':')}:".replace("::", ":")
        return [*words, *([f"{project}test"] if self.variant.tests else []), f"{project}jibBuildTar"]


def project_of(variant: JibVariant, root: Path) -> Maven | Gradle:
    """Maven's where there is a pom.xml; what `gradle init` makes has a settings file only."""
    source = root / variant.source
    with_maven = variant.pom or (source / "pom.xml").exists()
    gradle = not with_maven and any((source / name).is_file() for name in ROOT_FILES)
    return Gradle(variant, root) if gradle else Maven(variant, root)


def _folders(source: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders, what folders are in them, and what files; not those of sources, and not those that builds write."""
    for folder, names, files in os.walk(source):
        yield Path(folder), list(names), sorted(files)
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NEVER_SOURCES)


def _file_text(file: Path) -> str:
    return content(file).decode("utf-8", "replace")
