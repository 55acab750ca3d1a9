"""A Maven that stays, for real: what it builds, what it must not remember, and how it ends."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.builders.jib import resident_maven
from deadweight.engine.own import machine
from deadweight.toolchain.find import find
from tests.support.java_projects import JUNIT, pom
from tests.support.processes import wait_for
from tests.support.trees import written

pytestmark = [pytest.mark.java, pytest.mark.tools]

CLIENT = Path(resident_maven.__file__).with_name("resident_maven_client.py")
FILTERED = "<resource><directory>src/main/resources</directory><filtering>true</filtering></resource>"


@pytest.fixture
def run() -> Iterator[Path]:
    """A folder with a short name: a socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="dw") as folder:
        yield Path(folder)


@pytest.fixture
def source(tmp_path, run, monkeypatch):
    """A small project, and a resident Maven of its own that is gone afterwards."""
    monkeypatch.setenv(resident_maven.VARIABLE, "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    files = {
        "pom.xml": pom().replace("<build>", f"<build><resources>{FILTERED}</resources>"),
        "src/main/java/a/Main.java": "package a;\n\nclass Main {}\n",
        "src/main/resources/said.txt": "${said}",
    }
    yield written(tmp_path / "app", files)
    resident_maven.end_all()
    assert ended(run), "a resident Maven lived on without its socket"


def ended(folder: Path, what: str = "ResidentMaven") -> bool:
    """Every such process with a file below that folder among its words ends within a few seconds."""
    wait_for(lambda: not living(folder, what), 10)
    return True


def living(folder: Path, what: str = "ResidentMaven") -> list[int]:
    return [process.pid for process in machine.everyone() if what in process.command and str(folder) in process.command]


def call(source: Path, *words: str) -> list[str]:
    plain = [find("mvn").path, "-B", "-ntp", "-Dstyle.color=never", "--offline", *words]
    return [str(word) for word in resident_maven.resident_call(plain, source, {})]


def begun(source: Path, *words: str) -> tuple[subprocess.Popen[str], str]:
    """A build that goes on, and the first line of its output."""
    process = subprocess.Popen(call(source, *words), cwd=source, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline()


def maven(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One build. Plug-ins come from the local repository, which the tests of the jib builder fill."""
    return subprocess.run(call(source, *words), cwd=source, capture_output=True, text=True, timeout=120, check=False)


def test_a_failure_is_mavens_own(source, monkeypatch):
    (source / "src/main/java/a/Main.java").write_text("package a;\n\nclass Main { int x = nope; }\n")
    through = maven(source, "compile")
    monkeypatch.setenv(resident_maven.VARIABLE, "0")
    plain = maven(source, "compile")
    assert through.returncode == plain.returncode == 1
    assert "cannot find symbol" in through.stdout
    errors = [re.findall(r"^\[ERROR\].*", done.stdout, re.MULTILINE) for done in (through, plain)]
    assert errors[0] == errors[1]


def test_builds_share_one_process_and_not_their_properties(source, run):
    """Jib's properties do not count for which process it is, so both builds meet the same one."""
    resource, copy = source / "src/main/resources/said.txt", source / "target/classes/said.txt"
    for word, words in (("first", ["-Djib.said=first"]), ("${jib.said} again", [])):
        resource.write_text("${jib.said}" + (" again" if not words else ""))
        done = maven(source, *words, "compile")
        assert (done.returncode, "BUILD SUCCESS" in done.stdout) == (0, True), done.stdout + done.stderr
        assert copy.read_text() == word
    assert (source / "target/classes/a/Main.class").is_file()
    assert len(living(run)) == 1


def test_another_environment_property_umask_or_folder_is_another_process(source, monkeypatch):
    place = call(source, "compile")[4]
    monkeypatch.setenv("SHLVL", "7")
    assert call(source, "compile")[4] == place
    assert call(source, "-Dfoo=1", "compile")[4] != place
    before = os.umask(0o077)  # files of a build get their mode from the process that makes them
    try:
        assert call(source, "compile")[4] != place
    finally:
        os.umask(before)
    assert call(source, "compile")[4] == place
    copy = shutil.copytree(source, source.with_name("copy"))
    shutil.rmtree(source)
    copy.rename(source)
    assert call(source, "compile")[4] != place, "a project that was made anew is another"
    place = call(source, "compile")[4]
    monkeypatch.setenv("FOO", "1")
    assert call(source, "compile")[4] != place


def test_it_ends_where_its_socket_goes_while_it_starts(source, run, monkeypatch):
    """The socket is there before anything else: whoever removes it at once leaves none behind that lives on for minutes."""

    def removed(place: Path) -> bool:
        try:
            place.unlink()
        except FileNotFoundError:
            return False
        return True

    with monkeypatch.context() as context:
        context.setattr(resident_maven, "_answers", removed)
        context.setattr(time, "sleep", lambda _seconds: None)
        call(source, "validate")
    assert living(run)
    assert ended(run)


def test_who_ends_the_call_ends_the_build_and_what_it_has_started(source, run):
    """Surefire runs tests in a JVM of its own. The next build starts another Maven."""
    sleeper = "@org.junit.jupiter.api.Test void sleeps() throws Exception { Thread.sleep(120_000); }"
    test = f"package a;\n\nclass MainTest {{ {sleeper} }}\n"
    written(source, {"pom.xml": pom(dependencies=JUNIT), "src/test/java/a/MainTest.java": test})
    process, _ = begun(source, "test")
    assert any("Running a.MainTest" in line for line in process.stdout)
    assert living(source, "surefire")
    with process:
        process.kill()
    assert (ended(run), ended(source, "surefire"), maven(source, "compile").returncode) == (True, True, 0)


def test_it_ends_by_itself_when_nobody_comes(source, run, monkeypatch):
    monkeypatch.setattr(resident_maven, "IDLE_SECONDS", 2)
    assert maven(source, "validate").returncode == 0
    assert ended(run)
    assert not list(run.rglob("*.sock"))


def test_a_second_build_at_the_same_time_takes_maven_as_it_is(source):
    fallback = [*call(source, "compile")[:6], "/bin/echo", "instead"]
    first, _ = begun(source, "compile")
    second = subprocess.run(fallback, cwd=source, capture_output=True, text=True, timeout=60, check=True)
    assert second.stdout == "instead\n"
    assert ("BUILD SUCCESS" in first.communicate(timeout=60)[0], first.returncode) == (True, 0)


def test_a_build_comes_to_its_end_before_its_process_ends(source, run):
    """Others make room, and ``clean --all`` ends all: neither may cut off a build, which would then silently run again."""
    process, output = begun(source, "compile")
    assert resident_maven.end_all() == 1
    output += process.communicate(timeout=60)[0]
    assert (process.returncode, output.count("Scanning for projects"), ended(run)) == (0, 1, True)


def test_kill_9_of_a_maven_that_stays_while_it_builds(source, run):
    """The call is then made as it stands, and the next one starts another."""
    process, output = begun(source, "compile")
    (pid,) = living(run)
    os.kill(pid, signal.SIGKILL)
    output += process.communicate(timeout=60)[0]
    assert (process.returncode, (output.count("Scanning for projects"), output.count("BUILD SUCCESS"))) == (0, (2, 1))
    assert maven(source, "compile").returncode == 0
    assert living(run) not in ([], [pid])


def test_who_was_used_last_stays(source, run):
    first = Path(call(source, "-Dfoo=1", "validate")[4])
    second = Path(call(source, "-Dfoo=2", "validate")[4])
    assert maven(source, "-Dfoo=1", "validate").returncode == 0
    third = Path(call(source, "-Dfoo=3", "validate")[4])
    assert [first.exists(), second.exists(), third.exists()] == [True, False, True]
    assert len(list(run.rglob("*.sock"))) == len(list(run.rglob("*.log"))) == resident_maven.MAX_RESIDENTS


def test_the_folder_of_the_pom_is_what_counts(source):
    """As Maven's own script has it, with ``-f`` too."""
    (source / "part" / ".mvn").mkdir(parents=True)
    plain = [find("mvn").path, "-f", "part/pom.xml", "validate"]
    assert resident_maven.resident_call(plain, source, {}, "part/pom.xml")[5] == source / "part"
    written(source, {"part/.mvn/jvm.config": "-Xmx64m\n"})
    assert resident_maven.resident_call(plain, source, {}, "part/pom.xml") == plain
    assert resident_maven.resident_call(plain, source, {}) != plain


@pytest.mark.parametrize("there", [False, True])
def test_without_a_resident_the_call_is_made_as_it_stands(tmp_path, there):
    place = tmp_path / "nobody.sock"
    if there:
        place.write_text("no socket")
    words = [sys.executable, "-I", "-S", CLIENT, place, tmp_path, "/bin/sh", "-c", "echo plain; exit 3"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (3, "plain\n")


def test_it_is_left_out_where_it_could_make_a_difference(source, tmp_path, monkeypatch):
    plain = [str(find("mvn").path), "-B", "-ntp", "-Dstyle.color=never", "--offline", "compile"]
    assert call(source, "compile") != plain
    (tmp_path / ("x" * 120)).mkdir()
    for variables in (
        {"MAVEN_ARGS": "-X"},
        {"MAVEN_OPTS": "-Xnonsense"},  # a JVM that does not start is no failure
        {resident_maven.VARIABLE: "0"},
        {resident_maven.VARIABLE: "", "CI": "true"},
        {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 120))},  # a path too long for a socket
    ):
        with monkeypatch.context() as context:
            for name, value in variables.items():
                context.setenv(name, value)
            assert call(source, "compile") == plain
    folder = Path(call(source, "compile")[4]).parent
    resident_maven.end_all()
    folder.chmod(0o777)  # others can write there
    assert call(source, "compile") == plain
    folder.chmod(0o700)
    written(source, {".mvn/jvm.config": "-Xmx64m\n", "mvnw": "#!/bin/sh\n"})
    assert call(source, "compile") == plain
    wrapper = source / "mvnw"
    assert resident_maven.resident_call([wrapper, "compile"], source, {}) == [wrapper, "compile"]
