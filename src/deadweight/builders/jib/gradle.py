"""Call Gradle for the jib builder: find it, and add Jib to a build that does not name it.

Tried with a real Gradle, but not with Jib's Gradle plugin, which only Gradle's plugin portal carries.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from deadweight._errors import MissingError, wording
from deadweight.builders.jib.maven import CONTAINERIZE
from deadweight.builders.protocol import Site, WrongKey
from deadweight.builders.shared.common import OFFLINE_VARIABLE
from deadweight.builders.variants import JibVariant
from deadweight.records.paths import content

JIB_VERSION = "3.5.2"
SETTINGS = ("settings.gradle", "settings.gradle.kts")
ROOT_FILES = ("build.gradle", "build.gradle.kts", *SETTINGS)
_PLUGIN = "com.google.cloud.tools.jib"
_NEVER_SOURCES = ("build", "src", "target", "node_modules")
_INCLUDE = re.compile(r"^\s*include\b", re.MULTILINE)
_ELSEWHERE = re.compile(r"""\bincludeBuild\b[\s(]*["']([^"'$]+)|\bprojectDir\s*=[^"'\n]*["']([^"'$]+)""")
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
        if CONTAINERIZE not in self.variant.args and any(_INCLUDE.search(_text(file)) for file in settings):
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
        return any(_PLUGIN in _text(file) for file in files)

    @property
    def beside(self) -> tuple[Path, ...]:
        """The folders within ``root`` that the settings name and that are not below the source: other builds and projects."""
        source, text = self.source, "\n".join(_text(self.source / name) for name in ROOT_FILES)
        named = {Path(os.path.normpath(source / (match[1] or match[2]))): None for match in _ELSEWHERE.finditer(text)}
        apart = (folder for folder in named if not folder.is_relative_to(source) and not source.is_relative_to(folder))
        return tuple(folder for folder in apart if folder.is_dir() and folder.is_relative_to(self.root))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """What builds write, relative to each project: ``build`` beside a build file or sources, never a package of that name."""
        outputs = []
        for project in (self.source, *self.beside):
            outputs += ["**/.gradle", "build"]
            for folder, names, files in _folders(project):
                if "src" in names or any(name.endswith((".gradle", ".gradle.kts")) for name in files):
                    outputs.append((folder / "build").relative_to(project).as_posix())
        return tuple(dict.fromkeys(outputs))

    def call(self, site: Site, work: Path) -> list[str | Path]:
        """Gradle's call up to the properties of Jib. Writes an init script to ``work`` where the build does not name Jib."""
        del site
        words: list[str | Path] = [self.tool, "--console=plain", "--no-daemon"]
        words += ["--offline"] if os.environ.get(OFFLINE_VARIABLE) else []
        if not self.names_jib:
            (work / "jib.init.gradle").write_text(_INIT, encoding="utf-8")
            words += ["--init-script", work / "jib.init.gradle"]
        module = self.variant.args.get(CONTAINERIZE)
        project = "" if module is None else f":{module.strip(':')}:".replace("::", ":")
        return [*words, *([f"{project}test"] if self.variant.tests else []), f"{project}jibBuildTar"]


def is_build(source: Path) -> bool:
    """Whether a folder is the root of a Gradle build: what `gradle init` makes has a settings file only."""
    return any((source / name).is_file() for name in ROOT_FILES)


def _folders(source: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders, what folders are in them, and what files; not those of sources, and not those that builds write."""
    for folder, names, files in os.walk(source):
        yield Path(folder), list(names), sorted(files)
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NEVER_SOURCES)


def _text(file: Path) -> str:
    return content(file).decode("utf-8", "replace")
