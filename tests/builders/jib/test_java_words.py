"""What is told of Maven's and Jib's failures: lines as they come, and Maven for real where only it knows how it says things."""

import shutil
import subprocess
import uuid
import zipfile
from pathlib import Path

import pytest

from deadweight._errors import CommandError
from deadweight.builders.jib.projects import OPENED, SHORT_LIVED
from deadweight.builders.shared.diagnosis import JavaListener
from deadweight.sources.protocol import BuildEnvironment
from deadweight.toolchain.find import find
from tests.support import TESTS
from tests.support.builder_site import Project
from tests.support.http_servers import files, served
from tests.support.java_projects import PROJECT, SUITE, dependency, emptied, fails, family, pom, refusing_repository

pytestmark = pytest.mark.tools


@pytest.mark.slow
def test_the_file_of_an_error_is_the_one_that_has_it(maven_project):
    """A pom of another name, and a module: each problem once, with its own file."""
    emptied(maven_project.root / "app")
    files = family()
    given = dependency("example", "x", "1").replace("<version>1</version>", "")
    above = "<relativePath>../other.xml</relativePath></parent>"
    lib = files["app/lib/pom.xml"].replace("<dependencies>", f"<dependencies>\n{given}").replace("</parent>", above)
    files["app/lib/pom.xml"] = lib
    files["app/other.xml"] = files.pop("app/pom.xml").replace("<module>service</module>", "")
    maven_project.write(files).suite(SUITE + '    pom: other.xml\n    args: {jib.containerize: ":lib"}\n')
    message = fails(maven_project)
    assert "| lib/pom.xml:2:" in message
    assert message.count("'dependencies.dependency.version' for example:x:jar is missing") == 1
    assert " @" not in message


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["'a' is missing. @ example:all:1, /p q/pom.xml, line 5, column 3"], ["pom.xml:5:3: 'a' is missing."]),
        (["Malformed POM: x @ /p q/lib/pom.xml, line 4, column 2"], ["lib/pom.xml:4:2: Malformed POM: x"]),
        (["'a' is missing. @ example:far:1, line 5, column 3"], ["example:far:1:5:3: 'a' is missing."]),
        (
            ["'a' is wrong. @ ", "  The project example:x:1 (/p q/o.xml) has 1 error", "    'a' is wrong. @ line 2, column 9"],
            ["o.xml:2:9: 'a' is wrong."],
        ),
        (
            ["Execution default-war of goal x:war failed: no such method", "-----------------------------------------------------",
             "realm =    plugin>x", "strategy = org.codehaus.plexus.classworlds.strategy.SelfFirstStrategy",
             "urls[0] = file:/m2/x.jar", "Number of foreign imports: 1", "import: Entry[import  from realm ClassRealm[maven.api]]"],
            ["Execution default-war of goal x:war failed: no such method"],
        ),
    ],
)  # fmt: skip
def test_mavens_places_in_our_words(lines, said):
    assert heard([f"[ERROR] {line}" for line in lines]).tail == tuple(said)


def heard(lines: list[str], *, gradle: bool = False) -> CommandError:
    """What is told of a Maven, or a Gradle, that ended with these lines."""
    listener = JavaListener(print, lambda _: None, Path("/p q"), gradle=gradle)
    for line in lines:
        listener(line)
    return listener.failure(CommandError(["mvn"], exit_code_of_command=1, reason="failed", tail=lines), "v")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("MainTest.adds:5 expected: <3> but was: <2>", "builders.tests_fail"),
        ("MainTest.adds:5 \u00bb NullPointer", "builders.tests_fail"),
        ("MainTest.adds \u00bb Timeout adds() timed out after 1 second", "builders.tests_fail"),
        ("MainTest>Base.adds:9 expected: <3> but was: <2>", "builders.tests_fail"),
        ("MainTest.adds(int, int)[2]:12 expected: <3> but was: <2>", "builders.tests_fail"),
        ("'dependencies.dependency.version' for example:x:jar is missing.", "builders.tool_failed"),
    ],
)
def test_a_failed_test_in_all_its_forms(line, code):
    failure = heard([f"[ERROR]   {line}", "[ERROR] Tests run: 1, Failures: 1, Errors: 0, Skipped: 0"])
    assert failure.code == code
    assert failure.tail == (line,)


def test_a_compile_error_below_a_folder_with_a_space(static_base, tmp_path):
    (tmp_path / "my work").mkdir()
    project = Project(tmp_path / "my work", static_base).write(PROJECT).suite(SUITE)
    project.write({"app/src/main/java/a/Main.java": "package a;\n\nclass Main {\n    int x = nope;\n}\n"})
    message = fails(project, told="builders.not_compiled")
    assert "| src/main/java/a/Main.java:4:13: cannot find symbol" in message
    assert str(project.site.state.log("v")) in message
    assert message.count("cannot find symbol") == 1


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403])
def test_a_maven_repository_that_wants_credentials(maven_project, status):
    with refusing_repository(status) as port:
        at = f"<repository><id>ours</id><url>http://127.0.0.1:{port}/</url></repository>"
        thing = dependency("example.refused", f"thing{status}", "1")
        maven_project.write({"app/pom.xml": pom(dependencies=thing, repositories=at)})
        message = fails(maven_project)
    assert f"example.refused:thing{status}" in message
    assert message.endswith("hint: the Maven repository requires credentials: set <servers> in ~/.m2/settings.xml")


@pytest.mark.slow
def test_a_download_that_failed_is_tried_again_by_the_next_build(maven_project, tmp_path):
    """Maven itself keeps such a failure for a day."""
    version, offered = uuid.uuid4().hex, tmp_path / "offered"
    offered.mkdir()
    kept = Path.home() / ".m2/repository/example/late"
    with served(files(offered)) as server:
        at = f"<repository><id>ours</id><url>http://127.0.0.1:{server.server_port}/</url></repository>"
        maven_project.write({"app/pom.xml": pom(dependencies=dependency("example", "late", version), repositories=at)})
        try:
            assert fails(maven_project).count("example:late:jar") == 1
            folder = offered / "example" / "late" / version
            folder.mkdir(parents=True)
            with zipfile.ZipFile(folder / f"late-{version}.jar", "w") as jar:
                jar.writestr("late.txt", "here")
            maven_project.build("v")
        finally:
            shutil.rmtree(kept, ignore_errors=True)
    assert "trying again" in "\n".join(maven_project.said)


@pytest.mark.slow
def test_a_proxy_that_wants_a_password(maven_project):
    with refusing_repository(407) as port:
        thing = dependency("example.refused", "thing407", "1")
        at = "<repository><id>ours</id><url>http://ours.invalid/</url></repository>"
        maven_project.write({"app/pom.xml": pom(dependencies=thing, repositories=at)})
        maven_project.source.build_environment = BuildEnvironment({"HTTP_PROXY": f"http://127.0.0.1:{port}"})
        message = fails(maven_project)
    assert "hint: the proxy requires a user and a password" in message


def test_gradles_reason_is_told_without_its_advice():
    """What Gradle 7.6 says of a build file that is wrong, and of a dependency that it has not."""
    head = ["> Task :compileJava FAILED", "", "FAILURE: Build failed with an exception.", ""]
    where = ["* Where:", "Build file '/p q/build.gradle' line: 3", "", "* What went wrong:", "A problem occurred."]
    advice = ["", "* Try:", "> Run with --stacktrace option to get the stack trace.", "", "BUILD FAILED in 5s"]
    reason = ("Build file 'build.gradle' line: 3", "A problem occurred.")
    assert heard([*head, *where, *advice, "1 actionable task"], gradle=True).tail == reason
    needs = ["> Could not resolve a:b:1.", "   > No cached version of a:b:1 available for offline mode."]
    failure = heard([*head, "* What went wrong:", *needs, *advice], gradle=True)
    assert failure.tail == ("Could not resolve a:b:1.", "No cached version of a:b:1 available for offline mode.")
    assert str(failure.hint).endswith("build once with network access, without DEADWEIGHT_MAVEN_OFFLINE")


def test_tests_that_fail_in_gradle():
    lines = ["> Task :test FAILED", "", "a.MainTest > adds FAILED", "    java.lang.AssertionError at MainTest.java:3"]
    lines += ["", "MainTest > says() FAILED", "", "* What went wrong:", "Execution failed for task ':test'."]
    assert heard(lines).code != "builders.tests_fail"  # where Maven runs, that is what the service itself writes
    failure = heard(lines, gradle=True)
    assert failure.code == "builders.tests_fail"
    assert failure.tail == ("a.MainTest > adds: java.lang.AssertionError at MainTest.java:3", "MainTest > says()")


@pytest.mark.parametrize(("opened", "reached"), [(OPENED, True), ("", False)])
def test_what_old_plug_ins_reach_into_is_open(opened, reached):
    words = [find("java").path, *SHORT_LIVED.split(), *opened.split(), TESTS / "services/java/Reaches.java"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) == reached, done.stderr
    assert "WARNING" not in done.stderr
