"""What the jib builder knows of Gradle: where it is, and how Jib gets into a build that does not name it.

Not tried against a real Gradle, which no package registry carries.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deadweight._errors import MissingError
from deadweight.builders._maven import OFFLINE_VARIABLE
from deadweight.builders.protocol import Site
from deadweight.suite.model import Variant

JIB_VERSION = "3.5.2"
BUILD_FILES = ("build.gradle", "build.gradle.kts")
_PLUGIN = "com.google.cloud.tools.jib"
_INIT = f"""initscript {{
    repositories {{ gradlePluginPortal() }}
    dependencies {{ classpath "com.google.cloud.tools:jib-gradle-plugin:{JIB_VERSION}" }}
}}
allprojects {{
    plugins.withId("java") {{ apply plugin: {_PLUGIN}.gradle.JibPlugin }}
}}
"""


def build_file(source: Path) -> Path | None:
    """The Gradle build file of a project, None where it has none."""
    return next((source / name for name in BUILD_FILES if (source / name).is_file()), None)


def program(source: Path) -> Path:
    """The project's own wrapper, else Gradle on PATH. Raises MissingError."""
    wrapper = source / "gradlew"
    if wrapper.is_file() and os.access(wrapper, os.X_OK):
        return wrapper
    found = shutil.which("gradle")
    if found is None:
        raise MissingError(
            f"{source}: a Gradle project needs Gradle: there is none on PATH, and no gradlew in the project",
            hint="install Gradle (https://gradle.org/install), or add the wrapper to the project",
        )
    return Path(found)


def call(variant: Variant, site: Site, work: Path) -> list[str | Path]:
    """Gradle's call up to the properties of Jib. Writes an init script to ``work`` where the build does not name Jib."""
    source = site.root / variant.source
    file = build_file(source)
    assert file is not None
    words: list[str | Path] = [program(source), "--console=plain", "--no-daemon"]
    words += ["--offline"] if os.environ.get(OFFLINE_VARIABLE) else []
    if _PLUGIN not in file.read_text(encoding="utf-8", errors="replace"):
        (work / "jib.init.gradle").write_text(_INIT, encoding="utf-8")
        words += ["--init-script", work / "jib.init.gradle"]
    return [*words, *(["test"] if variant.tests else []), "jibBuildTar"]
