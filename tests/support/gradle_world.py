"""A real Gradle for tests, put together from the jars of it that Maven Central has, and a stand-in for Jib's plug-in.

What is missing there: Gradle's own compiler of Java, so that nothing is compiled, and Jib's plug-in for Gradle.
"""

import os
import subprocess
import zipfile
from pathlib import Path

from deadweight.builders.jib.projects import JIB_VERSION, SHORT_LIVED
from deadweight.toolchain.find import find
from tests.support import TESTS

VERSION = "7.6.4"
_API = f"gradle-api-{VERSION}.jar"
_MODULES_OF_OTHERS = ("ant", "ant-launcher", "javax.inject")
_POM = f"""<project><modelVersion>4.0.0</modelVersion>
<groupId>example</groupId><artifactId>gradle</artifactId><version>1</version>
<dependencies><dependency>
<groupId>dev.gradleplugins</groupId><artifactId>gradle-api</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_CLASS_FILE = "-classpath.properties"


def wrapper(folder: Path) -> str:
    """The text of a ``gradlew`` that runs Gradle; its jars and its home are below ``folder``."""
    library = folder / "gradle" / "lib"
    (library / "plugins").mkdir(parents=True)  # without one it takes its jars for those of some other program
    (folder / "pom.xml").write_text(_POM)
    words = ("-q", "-B", "-f", folder / "pom.xml", _COPY, f"-DoutputDirectory={library}", "-DexcludeTypes=pom")
    environment = {**os.environ, "MAVEN_OPTS": SHORT_LIVED}
    subprocess.run([find("mvn").path, *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    jars = ",".join(sorted(file.name for file in library.glob("*.jar")))
    with zipfile.ZipFile(library / _API) as api:
        for name in (name for name in api.namelist() if name.endswith(_CLASS_FILE)):
            needs = next(line for line in api.read(name).decode().splitlines() if line.startswith("projects="))
            _module(library, name.removesuffix(_CLASS_FILE), f"{needs}\nruntime={jars}\n")
    for name in _MODULES_OF_OTHERS:
        _module(library, name, "projects=\nruntime=\n")
    groovy = next(library.glob("groovy-[0-9]*.jar"))
    return (
        f"#!/bin/sh\nexport GRADLE_USER_HOME='{folder}/home'\n"
        f"exec java {SHORT_LIVED} -cp '{library}/{_API}:{groovy}' org.gradle.launcher.GradleMain \"$@\"\n"
    )


def _module(library: Path, name: str, needs: str) -> None:
    """Gradle looks for its parts by name; all that is in them is in the one jar."""
    with zipfile.ZipFile(library / f"{name}-{VERSION}.jar", "w") as jar:
        jar.writestr(f"{name}{_CLASS_FILE}", needs)


def portal(folder: Path) -> str:
    """The address of a plug-in portal that has a stand-in for Jib's plug-in; needs ``wrapper`` in the same folder."""
    source, classes = TESTS / "services/java/JibPlugin.java", folder / "classes"
    javac = find("java").path.resolve().with_name("javac")
    words: list[str | Path] = [javac, "-nowarn", "-proc:none", "-cp", f"{folder}/gradle/lib/*", "-d", classes, source]
    subprocess.run(words, check=True, capture_output=True)
    place = folder / "portal/com/google/cloud/tools/jib-gradle-plugin" / JIB_VERSION
    place.mkdir(parents=True)
    (place / f"jib-gradle-plugin-{JIB_VERSION}.pom").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>com.google.cloud.tools</groupId>"
        f"<artifactId>jib-gradle-plugin</artifactId><version>{JIB_VERSION}</version></project>"
    )
    with zipfile.ZipFile(place / f"jib-gradle-plugin-{JIB_VERSION}.jar", "w") as jar:
        for file in classes.rglob("*.class"):
            jar.write(file, file.relative_to(classes))
    return (folder / "portal").as_uri()
