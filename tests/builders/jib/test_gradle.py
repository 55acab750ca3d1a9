"""Gradle projects of the jib builder. Mostly a wrapper that writes its arguments down stands for Gradle."""

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from deadweight._errors import ConfigError, MissingError, wording
from deadweight.builders.jib.projects import JIB_VERSION, SHORT_LIVED, Gradle
from deadweight.builders.shared.archive import holds
from deadweight.builders.table import builder
from deadweight.records.built_image import Base
from deadweight.toolchain.find import find
from tests.support import TESTS
from tests.support.builder_site import STATIC, GivenSource, Project
from tests.support.codes import raises
from tests.support.java_projects import SUITE, element
from tests.support.small_images import docker_archive
from tests.support.trees import written, zipped

WRAPPER = '#!/bin/sh\necho "$@" > told; exit 7\n'
NAMED = "plugins { id 'com.google.cloud.tools.jib' version '3.5.2' }\n"
CATALOGUE = '[plugins]\njib = { id = "com.google.cloud.tools.jib", version = "3.5.2" }\n'
SETTINGS = 'rootProject.name = "x"\ninclude("app")\n'
INIT = {"app/settings.gradle.kts": SETTINGS, "app/app/build.gradle.kts": "plugins {}\n"}
"""What `gradle init` makes: no build file in the root."""


@pytest.fixture
def project(tmp_path):
    base = Base(STATIC, "127.0.0.1:9/static:1", None, stand_in=False)
    made = Project(tmp_path, GivenSource({STATIC: base})).write({"app/gradlew": WRAPPER}).suite(SUITE)
    (tmp_path / "app/gradlew").chmod(0o755)
    return made


def arguments(project) -> str:
    """The arguments of a build, which the wrapper lets fail."""
    assert wording("run.failed", code=7) in project.fails()
    return (project.root / "app/told").read_text()


def test_a_gradle_project_is_called_with_jib_added(project):
    project.write({"app/build.gradle": "plugins { id 'java' }\n"})
    assert builder("jib").needs(project.variant("v"), project.root).tools == ("java",)
    assert re.search("--init-script .* jibBuildTar -Djib.from.image=127.0.0.1:", arguments(project))


NAMING = [
    {"app/build.gradle": NAMED},
    {"app/build.gradle.kts": "plugins { alias(libs.plugins.jib) }\n", "app/gradle/libs.versions.toml": CATALOGUE},
    {"app/build.gradle": "\n", "app/settings.gradle": f"pluginManagement {{ {NAMED} }}\n"},
    {"app/build.gradle": "apply from: 'shared/image.gradle'\n", "app/shared/image.gradle": NAMED},
    {"app/build.gradle": "plugins { id 'ours' }\n", "app/buildSrc/src/main/kotlin/ours.gradle.kts": NAMED},
]


@pytest.mark.parametrize("files", NAMING)
def test_a_build_may_name_jib_in_other_files_than_the_first(project, files):
    assert "--init-script" not in arguments(project.write(files))


def test_a_build_folder_is_not_where_a_build_names_jib(project):
    project.write({"app/build.gradle": "\n", "app/build/tmp/x.gradle": NAMED})
    assert not Gradle(project.variant("v"), project.root).names_jib


# A real Gradle, put together from the jars of it that Maven Central has, and a stand-in for Jib's plug-in. What is missing there:
# Gradle's own compiler of Java, so that nothing is compiled, and Jib's plug-in for Gradle.
VERSION = "7.6.4"
_API = f"gradle-api-{VERSION}.jar"
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
    needs = dict.fromkeys(("ant", "ant-launcher", "javax.inject"), "projects=\nruntime=\n")
    with zipfile.ZipFile(library / _API) as api:
        for name in (name for name in api.namelist() if name.endswith(_CLASS_FILE)):
            own = next(line for line in api.read(name).decode().splitlines() if line.startswith("projects="))
            needs[name.removesuffix(_CLASS_FILE)] = f"{own}\nruntime={jars}\n"
    for name, text in needs.items():  # Gradle looks for its parts by name; all that is in them is in the one jar
        (library / f"{name}-{VERSION}.jar").write_bytes(zipped({f"{name}{_CLASS_FILE}": text}))
    groovy = next(library.glob("groovy-[0-9]*.jar"))
    return (
        f"#!/bin/sh\nexport GRADLE_USER_HOME='{folder}/home'\n"
        f"exec java {SHORT_LIVED} -cp '{library}/{_API}:{groovy}' org.gradle.launcher.GradleMain \"$@\"\n"
    )


def portal(folder: Path) -> str:
    """The address of a plug-in portal that has a stand-in for Jib's plug-in; needs ``wrapper`` in the same folder."""
    source, classes = TESTS / "services/java/JibPlugin.java", folder / "classes"
    javac = find("java").path.resolve().with_name("javac")
    words: list[str | Path] = [javac, "-nowarn", "-proc:none", "-cp", f"{folder}/gradle/lib/*", "-d", classes, source]
    subprocess.run(words, check=True, capture_output=True)
    made = {str(file.relative_to(classes)): file.read_bytes() for file in classes.rglob("*.class")}
    name = f"jib-gradle-plugin/{JIB_VERSION}/jib-gradle-plugin-{JIB_VERSION}"
    ours = {"groupId": "com.google.cloud.tools", "artifactId": "jib-gradle-plugin", "version": JIB_VERSION}
    pom = element("project", modelVersion="4.0.0", **ours)
    written(folder / "portal/com/google/cloud/tools", {f"{name}.pom": pom, f"{name}.jar": zipped(made)})
    return (folder / "portal").as_uri()


@pytest.fixture(scope="module")
def gradle(tmp_path_factory) -> tuple[str, str]:
    """The text of a wrapper that runs a real Gradle, and the address of a plug-in portal."""
    folder = tmp_path_factory.mktemp("gradle")
    return wrapper(folder), portal(folder)


@pytest.mark.slow
@pytest.mark.tools
def test_a_real_gradle_gets_jib_where_there_is_java(project, gradle, tmp_path):
    """By the script that adds it; what Jib's plug-in itself does is a stand-in's here."""
    text, address = gradle
    image = docker_archive(tmp_path / "given.tar", "x:1", [{"/x": b"x"}], {})
    files = {"settings.gradle": "include 'app', 'other'\n", "app/build.gradle": "plugins { id 'java' }\n"}
    files |= {"gradlew": text, "other/build.gradle": "\n"}
    project.write({f"app/{name}": content for name, content in files.items()})
    given = f"org.gradle.internal.plugins.portal.url.override: '{address}', example.image: '{image}'"
    built = project.suite(f'{SUITE}    tests: true\n    args: {{jib.containerize: ":app", {given}}}\n').build("v")
    assert holds(project.archive("v", built), built.config_digest)
    assert "Containerizing :app:jibBuildTar for 127.0.0.1:9/static:1" in project.lines


def test_with_several_projects_one_of_them_becomes_the_image(project):
    project.write(INIT)
    with raises(ConfigError, "jib.gradle_several", file=str(project.root / "app/settings.gradle.kts")) as caught:
        project.build("v")
    assert "{jib.containerize: " in str(caught.value)
    for given, task in ((":app", ":app:jibBuildTar"), ("app", ":app:jibBuildTar"), (":", ":jibBuildTar")):
        project.suite(f'{SUITE}    args: {{jib.containerize: "{given}"}}\n    tests: true\n')
        assert f" {task.replace('jibBuildTar', 'test')} {task} " in arguments(project)


def test_a_folder_without_any_build_is_told_so(project):
    with raises(ConfigError, "jib.no_build_file", file=str(project.root / "app"), inner=("source",)):
        project.build("v")


def test_what_a_build_writes_is_no_input_but_a_package_of_that_name_is(project):
    project.write({**INIT, "app/app/src/main/java/build/X.java": "x", "app/buildSrc/src/main/java/X.java": "x"})
    project.suite(f'{SUITE}    args: {{jib.containerize: ":app"}}\n')
    before = set(project.inputs().parts)
    assert "app/app/src/main/java/build/X.java" in before
    for folder in ("", "app/", "buildSrc/"):
        project.write({f"app/{folder}build/x": "x", f"app/{folder}.gradle/x": "x"})
    assert set(project.inputs().parts) == before


def test_builds_and_projects_beside_the_source_are_input(project):
    settings = "includeBuild '../shared'\ninclude ':far'\nproject(':far').projectDir = new File(rootDir, '../far')\n"
    project.write({"app/settings.gradle": settings, "app/build.gradle": "\n"})
    project.write({f"{name}/src/main/java/X.java": "x" for name in ("shared/inner", "far", "other")})
    project.suite(f'{SUITE}    args: {{jib.containerize: ":"}}\n')
    project.write({f"{name}/build/X.java": "x" for name in ("shared/inner", "far")})
    names = {name for name in project.inputs().parts if name.endswith("X.java")}
    assert names == {"shared/inner/src/main/java/X.java", "far/src/main/java/X.java"}


def test_no_gradle_that_can_be_run(project, monkeypatch):
    wrapper = project.write({"app/build.gradle": "\n"}).root / "app/gradlew"
    wrapper.chmod(0o644)
    assert str(wrapper) in project.fails(MissingError, "jib.gradlew_not_executable", 3)
    wrapper.unlink()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    project.fails(MissingError, "jib.no_gradle", 3)


def test_a_warning_of_the_compiler_is_no_error(project):
    """In Gradle's form, which is javac's own."""
    warning, error = "$PWD/src/A.java:3: warning: [removal] x", "$PWD/src/A.java:4: error: cannot find symbol"
    project.write({"app/build.gradle": "\n", "app/gradlew": f'#!/bin/sh\necho "{warning}"; echo "{error}"; exit 1\n'})
    message = project.fails(key="builders.not_compiled")
    assert ("| src/A.java:4: error: cannot find symbol" in message, "removal" in message) == (True, False)
    project.write({"app/gradlew": f'#!/bin/sh\necho "{warning}"; echo no disk; exit 1\n'})
    project.fails(key="builders.tool_failed")
