"""Call Gradle for the jib builder: find it, and add Jib to a build that does not name it.

Tried with a real Gradle, but not with Jib's Gradle plugin, which only Gradle's plugin portal carries.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from deadweight._errors import MissingError, wording
from deadweight.builders.jib.pom import CONTAINERIZE
from deadweight.builders.protocol import Site, WrongKey
from deadweight.builders.shared.common import OFFLINE_VARIABLE
from deadweight.builders.variants import JibVariant
from deadweight.records.paths import content

JIB_VERSION = "3.5.2"
ROOT_FILES = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
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


def is_build(source: Path) -> bool:
    """Whether a folder is the root of a Gradle build: what `gradle init` makes has a settings file only."""
    return any((source / name).is_file() for name in ROOT_FILES)


def check(variant: JibVariant, root: Path) -> None:
    """Raises WrongKey where several projects would each write the one image."""
    source = root / variant.source
    settings = [source / name for name in ROOT_FILES if name.startswith("settings.") and (source / name).is_file()]
    if CONTAINERIZE not in variant.args and any(_INCLUDE.search(_text(file)) for file in settings):
        problem = wording("jib.gradle_several")
        hint = f'args: {{{CONTAINERIZE}: ":app"}}; ":" is the root project'
        raise WrongKey(variant, ("args", CONTAINERIZE), problem, settings[0], hint=hint)


def names_jib(source: Path) -> bool:
    """Whether anything that a build is written in names the plugin: build files, version catalogues, what lies in buildSrc."""
    return any(_PLUGIN in _text(file) for file in _written_in(source))


def beside(variant: JibVariant, root: Path) -> tuple[Path, ...]:
    """The folders within ``root`` that the settings name and that are not below the source: other builds, projects elsewhere."""
    source = root / variant.source
    text = "\n".join(_text(source / name) for name in ROOT_FILES if (source / name).is_file())
    named = (Path(os.path.normpath(source / (match[1] or match[2]))) for match in _ELSEWHERE.finditer(text))
    apart = (
        each for each in dict.fromkeys(named) if not each.is_relative_to(source) and not source.is_relative_to(each)
    )
    return tuple(folder for folder in apart if folder.is_dir() and folder.is_relative_to(root))


def outputs(source: Path) -> tuple[str, ...]:
    """What Gradle writes, relative to the source: ``build`` beside a build file or sources, never a package of that name."""
    found = ["**/.gradle", "build"]
    for folder, names, files in _folders(source):
        if "src" in names or any(name.endswith((".gradle", ".gradle.kts")) for name in files):
            found.append((folder / "build").relative_to(source).as_posix())
    return tuple(dict.fromkeys(found))


def _written_in(source: Path) -> Iterator[Path]:
    for folder, _, files in _folders(source):
        of_build = ("gradle", "kts", "toml") if folder.name == "gradle" else ("gradle", "kts")
        yield from (folder / name for name in files if name.rpartition(".")[2] in of_build)
    yield from (file for file in (source / "buildSrc" / "src").rglob("*") if file.is_file())


def _folders(source: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders, what folders are in them, and what files; not those of sources, and not those that builds write."""
    for folder, names, files in os.walk(source):
        yield Path(folder), list(names), sorted(files)
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NEVER_SOURCES)


def _text(file: Path) -> str:
    return content(file).decode("utf-8", "replace")


def program(source: Path) -> Path:
    """The project's own wrapper, else Gradle on PATH. Raises MissingError."""
    wrapper = source / "gradlew"
    if wrapper.is_file():
        if not os.access(wrapper, os.X_OK):
            raise MissingError(wording("jib.gradlew_not_executable", file=wrapper))
        return wrapper
    found = shutil.which("gradle")
    if found is None:
        raise MissingError(wording("jib.no_gradle", source=source))
    return Path(found)


def call(variant: JibVariant, site: Site, work: Path) -> list[str | Path]:
    """Gradle's call up to the properties of Jib. Writes an init script to ``work`` where the build does not name Jib."""
    source = site.root / variant.source
    words: list[str | Path] = [program(source), "--console=plain", "--no-daemon"]
    words += ["--offline"] if os.environ.get(OFFLINE_VARIABLE) else []
    if not names_jib(source):
        (work / "jib.init.gradle").write_text(_INIT, encoding="utf-8")
        words += ["--init-script", work / "jib.init.gradle"]
    module = variant.args.get(CONTAINERIZE)
    project = "" if module is None else f":{module.strip(':')}:".replace("::", ":")
    return [*words, *([f"{project}test"] if variant.tests else []), f"{project}jibBuildTar"]
