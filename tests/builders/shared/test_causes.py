"""Each failed build is reported as what it is: its cause, the instruction, the program's own words, and the step that helps."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from deadweight._errors import CommandError, wording
from deadweight.builders.dockerfile.listener import DockerListener
from deadweight.builders.shared.diagnosis import JavaListener, Listener, Where, causes, diagnose
from tests.support.builder_site import HINTS

# as they were written in real builds
GO_X509 = (
    'go: golang.org/x/text@v0.3.0: Get "https://goproxy.example.com/golang.org/x/text/@v/v0.3.0.mod": tls: failed to verify'
    " certificate: x509: certificate signed by unknown authority"
)
GO_X509_IMPORT = (
    'main.go:4:2: example.com/y@v1.0.0: Get "https://proxy.example.com/y/@v/v1.0.0.zip": tls: failed to verify certificate:'
    " x509: certificate signed by unknown authority"
)
NO_USER = "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled"
LS_REMOTE = "go: module example.com/shop/secret: git ls-remote -q origin in /go/pkg/mod/cache/vcs/4c5: exit status 128:"
CASES = tomllib.loads(Path(__file__).with_name("causes.toml").read_text())["cases"]


@pytest.mark.parametrize(("where", "code", "named", "lines"), CASES)
def test_each_cause_is_known_by_its_code(where, code, named, lines):
    cause = diagnose((where,), lines.splitlines())
    assert (cause.id, named in cause.message) == (code, True)


GIVEN = {
    NO_USER: "secrets: netrc: ~/.netrc", LS_REMOTE: "secrets: netrc: ~/.netrc",
    "git@example.com: Permission denied (publickey).": "ssh: default: $SSH_AUTH_SOCK",
    "Host key verification failed.": "secrets: known_hosts: ~/.ssh/known_hosts",
    "npm error code E401": "secrets: npmrc: ~/.npmrc",
    "WARNING: 401 Error, Credentials not correct for https://pip.example.com/simple/": "secrets: netrc: ~/.netrc",
}  # fmt: skip


@pytest.mark.parametrize("line", GIVEN)
def test_the_two_lines_that_give_credentials_to_a_dockerfile(line):
    cause = diagnose(("run",), [line])
    assert (bool(cause.reach), " ".join(cause.hint.split()).endswith(GIVEN[line])) == (True, True)


SIMILAR = [
    (["INFO some environment variables are not set", "E: Could not resolve host"], "network_unreachable"),
    (["the environment variable KEY is not set", *["compiling"] * 300, "it failed"], None),
    (["[WARNING] the environment variable KEY is not set", "it failed"], "missing_variables"),
    (["error: the environment variable KEY is not set", "it failed"], "missing_variables"),
    (["WARNING: Retrying: Connection refused", "error: command 'gcc' failed: No such file"], "no_compiler"),
]


@pytest.mark.parametrize(("lines", "code"), SIMILAR)
def test_a_cause_is_none_of_the_lines_that_merely_match(lines, code):
    """Of what a failing step writes the last lines count, and of these the errors before what it warns of."""
    cause = diagnose(("run",), lines)
    assert code == (cause.id if cause else None)


def test_every_cause_can_be_filled_in():
    """A group too few would be a traceback in the very moment when the hint is needed."""
    assert len({cause.id for cause in causes()}) == len(causes())
    for cause in causes():
        assert set(cause.where) <= set(get_args(Where))
        groups = re.compile(cause.pattern).groups
        for text in (cause.message, cause.hint, cause.stand_in):
            assert all(int(number) < groups for number in re.findall(r"\{(\d)\}", text))


TWO_STAGES = (  # BuildKit cancels the other, which then fails too
    "#5 [a 2/2] RUN one\n#6 [b 2/2] RUN two\n#5 CANCELED\n#6 0.1 two: broken\n#5 ERROR: context canceled\n"
    '#6 ERROR: process "/bin/sh -c two" did not complete successfully: exit code: 1\n'
)
LOAD = "#3 [internal] load metadata for docker.io/library/nope:1\n#3 ERROR: "
OLD_CLIENT = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client\n"
"""As Docker's client 20.10 was told by an engine 29."""


HEARD = [
    (TWO_STAGES, "unknown", " 1 (Dockerfile: RUN two)", ("two: broken",)),
    (f"{LOAD}Head: x509: certificate signed by unknown authority\n", "certificate", "library/nope:1", None),
    (f"{LOAD}docker.io/library/nope:1: not found\n", "missing_package", "docker.io/library/nope:1", None),
    (f"Error response from daemon: {OLD_CLIENT}", "client", "1.44", None),
]


@pytest.mark.parametrize(("output", "cause", "named", "tail"), HEARD)
def test_what_buildx_writes_is_heard(output, cause, named, tail):
    listener = DockerListener(print, "Dockerfile", {})
    for line in output.splitlines():
        listener(line)
    tail_of = output.splitlines()[-15:]
    failed = CommandError(["buildx"], exit_code_of_command=1, reason="failed with exit code 1", tail=tail_of)
    error = listener.failure(failed, "v")
    assert (error.cause, named in error.reason, tail or error.tail) == (cause, True, error.tail)


LINES = [(GO_X509_IMPORT, "certificate"), ('./main.go:3:1: undefined: x, "connection refused"', "unknown")]


@pytest.mark.parametrize(("line", "cause"), LINES)
def test_a_compilers_line_may_be_a_cause_or_only_sound_like_one(line, cause):
    listener = Listener(print, lambda _: None)
    listener(line)
    failed = CommandError(["ko"], exit_code_of_command=1, reason="failed", tail=[line])
    assert cause == listener.failure(failed, "v").cause


@pytest.mark.parametrize("place", ["./main.go:3:1", "/go/pkg/mod/google.golang.org/grpc@v1.81.1/a/!b+c/d.go:271:18"])
def test_a_compilers_line_names_a_file_of_any_module(place):
    listener = Listener(print, lambda _: None)
    listener(f"#11 25.57 {place}: undefined: x")
    assert listener.compiler == [f"{place}: undefined: x"]


# Maven's and Gradle's lines as they come
@pytest.mark.parametrize(("lines", "tail"), [
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
])  # fmt: skip
def test_mavens_places_in_our_words(lines, tail):
    assert heard([f"[ERROR] {line}" for line in lines]).tail == tuple(tail)


def heard(lines: list[str], *, gradle: bool = False) -> CommandError:
    """What is told of a Maven, or a Gradle, that ended with these lines."""
    listener = JavaListener(print, lambda _: None, Path("/p q"), gradle=gradle)
    for line in lines:
        listener(line)
    return listener.failure(CommandError(["mvn"], exit_code_of_command=1, reason="failed", tail=lines), "v")


FAILED = (
    "MainTest.adds:5 expected: <3> but was: <2>", "MainTest.adds:5 \u00bb NullPointer",
    "MainTest.adds \u00bb Timeout adds() timed out after 1 second", "MainTest>Base.adds:9 expected: <3> but was: <2>",
    "MainTest.adds(int, int)[2]:12 expected: <3> but was: <2>",
)  # fmt: skip
NO_TEST = "'dependencies.dependency.version' for example:x:jar is missing."


@pytest.mark.parametrize(("line", "code"), {**dict.fromkeys(FAILED, "tests_fail"), NO_TEST: "tool_failed"}.items())
def test_a_failed_test_in_all_its_forms(line, code):
    failure = heard([f"[ERROR]   {line}", "[ERROR] Tests run: 1, Failures: 1, Errors: 0, Skipped: 0"])
    assert (failure.code, failure.tail) == (f"builders.{code}", (line,))


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
    assert failure.hint == HINTS["not_in_gradle_cache"]


def test_tests_that_fail_in_gradle():
    lines = ["> Task :test FAILED", "", "a.MainTest > adds FAILED", "    java.lang.AssertionError at MainTest.java:3"]
    lines += ["", "MainTest > says() FAILED", "", "* What went wrong:", "Execution failed for task ':test'."]
    assert heard(lines).code != "builders.tests_fail"  # where Maven runs, that is what the service itself writes
    failure = heard(lines, gradle=True)
    tail = ("a.MainTest > adds: java.lang.AssertionError at MainTest.java:3", "MainTest > says()")
    assert (failure.code, failure.tail) == ("builders.tests_fail", tail)


MAVEN = """\
\x1b[0m[ERROR] Plugin a:b:1: Could not transfer artifact x -> [Help 1]
[ERROR]
[ERROR] To see the full stack trace of the errors, re-run Maven with the -e switch.
[ERROR] Re-run Maven using the -X switch to enable full debug logging."""
SAYS = "COPY said /said\nRUN cat /said >&2; exit 1\n"


@pytest.mark.tools
class TestRealBuilds:
    INSTRUCTIONS = (
        (SAYS, GO_X509, "certificate", f"| {GO_X509}"),
        (SAYS, MAVEN, "network", "| Plugin a:b:1: Could not transfer artifact x\n"),
        (SAYS, "panic: here\n" + "\n".join(f"line {n}" for n in range(30)), "unknown", "| panic: here"),
        ("RUN apk add --no-cache curl\n", "", "missing_program", "(Dockerfile:3: RUN apk add --no-cache curl)"),
        ("RUN nosuchtool --x\n", "", "missing_program", "nosuchtool"),
        ("FROM scratch\nRUN true\n", "", "missing_program", "shell"),
        ("RUN echo one; \\\n    exit 3\n", "", "unknown", f"RUN {wording('run.failed', code=3)} (Dockerfile:3:"),
        ("RUN echo one; echo two; \\\n    exit 3\n", "", "unknown", "  | one\n  | two\n"),
        ("COPY nothere /x\n", "", "missing_file", "/nothere"),
        ("FROM ${BASE} AS last\nCOPY --from=0 /s/server /server\n", "", "missing_file", "(Dockerfile:4:"),
    )

    @pytest.mark.parametrize(("instructions", "output", "cause", "shown"), INSTRUCTIONS)
    def test_a_failed_instruction(self, on_tools, instructions, output, cause, shown):
        error = self.failure(on_tools, instructions, output)
        assert (error.cause, shown in str(error), "| line 10" in str(error)) == (cause, True, False)

    def test_a_base_that_is_no_stand_in_gets_another_hint(self, on_tools):
        hints = set()
        for stand_in in (True, False):
            on_tools.source.bases = {"tools": replace(on_tools.source.bases["tools"], stand_in=stand_in)}
            hints.add(self.failure(on_tools, "RUN apk add --no-cache curl\n").hint)
        assert len(hints) == 2

    def test_a_full_disk_is_the_engines(self, on_tools, engine):
        output = "main.go:4:2: example.com/y@v1.0.0: mkdir /go/pkg/mod: no space left on device"
        error = self.failure(on_tools, SAYS, output)
        assert (error.cause, engine.info.root_dir in str(error.hint)) == ("disk_full", True)

    def test_a_client_and_an_engine_without_a_common_api(self, on_tools, monkeypatch):
        """The real client, made to speak what no engine does any more."""
        monkeypatch.setenv("DOCKER_API_VERSION", "1.11")
        assert self.failure(on_tools, "COPY hello /hello\n").cause == "client"

    @staticmethod
    def failure(project, instructions: str, output: str = "") -> CommandError:
        """What is reported of a real build that fails after writing ``output``."""
        project.write({"Dockerfile": f"ARG BASE\nFROM ${{BASE}}\n{instructions}", "said": output + "\n"})
        with pytest.raises(CommandError) as caught:
            project.build("v")
        noise = ("sha256:", "transferring", "extracting", "executor failed", "#", "switch")
        assert not any(word in str(caught.value) for word in noise)
        assert (caught.value.code, caught.value.fields["what"]) == ("builders.tool_failed", "v")
        assert str(project.site.state.log("v")) in str(caught.value)
        assert not list(project.site.state.image("v").glob(".work-*"))
        return caught.value
