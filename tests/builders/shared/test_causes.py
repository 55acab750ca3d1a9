"""Each failed build is told as what it is: its cause, the instruction, the program's own words, and the step that helps."""

from __future__ import annotations

import pytest

from deadweight._errors import CommandError
from deadweight.builders.dockerfile import causes as _dockerfile
from deadweight.builders.dockerfile.errors import DockerListener
from deadweight.builders.shared import causes as _causes
from deadweight.builders.shared.listen import Listener
from deadweight.records.built import Base
from tests.support.builder_site import GivenSource, Project

FROM = "ARG BASE\nFROM ${BASE}\n"

# as they were said in real builds
GO_X509 = (
    'go: golang.org/x/text@v0.3.0: Get "https://goproxy.example.com/golang.org/x/text/@v/v0.3.0.mod": tls: failed to verify'
    " certificate: x509: certificate signed by unknown authority"
)
GO_X509_IMPORT = (
    'main.go:4:2: example.com/y@v1.0.0: Get "https://proxy.example.com/y/@v/v1.0.0.zip": tls: failed to verify certificate:'
    " x509: certificate signed by unknown authority"
)
MAVEN_PKIX = (
    "[ERROR] Failed to execute goal on project app: Could not resolve dependencies for project a:app:jar:1: Could not transfer"
    " artifact a:b:pom:1 from/to private (https://127.0.0.1:1/): PKIX path building failed:"
    " sun.security.provider.certpath.SunCertPathBuilderException: unable to find valid certification path to requested target"
)
MAVEN_BAD = (
    "[ERROR] Could not transfer artifact a:b:pom:1 from/to team (https://127.0.0.1:1/maven): (certificate_unknown) No subject"
    " alternative names matching IP address 127.0.0.1 found"
)
MAVEN_REFUSED = (
    "[ERROR] Could not transfer artifact a:b:pom:1 from/to team (https://127.0.0.1:1/maven): status code: 403, reason phrase:"
    " Forbidden (403)"
)
CURL_NO_BUNDLE = "curl: (77) error setting certificate file: /etc/ssl/certs/ca-certificates.crt"
WGET_X509 = "ERROR: cannot verify 127.0.0.1's certificate, issued by 'CN=x':\n  Unable to locally verify the issuer's authority."
MAVEN_NO_NAME = (
    "[ERROR] Could not transfer artifact a:b:pom:1 from/to central (https://repo.example.com/): repo.example.com:"
    " Temporary failure in name resolution"
)
APT = (
    "Package ca-certificates is not available, but is referred to by another package.\n"
    "E: Package 'ca-certificates' has no installation candidate\nE: Unable to locate package curl"
)


@pytest.fixture
def project(tmp_path, engine, tools_image):
    base = Base("tools", tools_image, None, stand_in=True)
    made = Project(tmp_path, GivenSource({"tools": base}), lambda: engine)
    made.write({"hello": "hello\n"})
    return made.suite("  v:\n    builder: dockerfile\n    dockerfile: Dockerfile\n    bases: {BASE: tools}\n")


def failure(project, instructions: str, said: str = "") -> str:
    """What is told of a real build that fails with these words."""
    project.write({"Dockerfile": FROM + instructions, "said": said + "\n"})
    with pytest.raises(CommandError) as caught:
        project.build("v")
    message = str(caught.value)
    assert not any(noise in message for noise in ("sha256:", "transferring", "extracting", "executor failed", "#"))
    return message


def told(message: str) -> str:
    """The first line without the program and the variant."""
    return message.splitlines()[0].partition(" v: ")[2]


def hint(message: str) -> str:
    return message.rpartition("hint: ")[2]


SAYS = "COPY said /said\nRUN cat /said >&2; exit 1\n"


@pytest.mark.tools
def test_an_engine_that_lost_layers_is_told_as_that():
    """Its build cache names folders that are gone: every build failed, and the log had all of it."""
    said = "stat /root/.cache/deadweight/engine/overlay2/gt31ikukqw260npkixm54twkd: no such file or directory"
    for table in (_dockerfile.PULL, _dockerfile.RUN, _dockerfile.COPY, _dockerfile.COPY_FROM):
        found = _causes.found(table, [said])
        assert found is not None
        assert found.told.startswith("the engine's data is incomplete: /root/.cache/deadweight/engine/overlay2/gt31")
        assert "docker builder prune --all" in found.step
    missing = "lstat /var/lib/docker/overlay2/x1/merged/nosuch: no such file or directory"
    found = _causes.found(_dockerfile.COPY_FROM, [missing])
    assert found is not None
    assert found.told == "/nosuch is not in the stage or image that COPY --from names"


class TestRun:
    @pytest.mark.parametrize("said", [GO_X509, GO_X509_IMPORT])
    def test_a_private_ca_is_no_compile_error(self, project, said):
        message = failure(project, SAYS, said)
        assert told(message).startswith("a server's certificate is signed by a CA that this build step does not trust")
        assert "id=ca_bundle" in hint(message)
        assert f"| {said}" in message

    def test_mavens_pkix_is_no_lack_of_network(self, project):
        message = failure(project, SAYS, MAVEN_PKIX)
        assert told(message).startswith("Java does not trust a server's certificate")
        assert "id=java_trust_store" in hint(message)

    @pytest.mark.parametrize(
        ("said", "cause"),
        [
            (MAVEN_BAD, "Java refuses a server's certificate: No subject alternative names matching IP address"),
            (MAVEN_REFUSED, "a Maven repository answers with status 403"),
            (CURL_NO_BUNDLE, "the image has no CA certificates at this step"),
            (WGET_X509, "a server's certificate is signed by a CA that this build step does not trust"),
        ],
    )
    def test_an_answer_that_nobody_can_take_is_no_lack_of_network(self, project, said, cause):
        assert told(failure(project, SAYS, said)).startswith(cause)

    def test_maven_without_a_network(self, project):
        assert told(failure(project, SAYS, MAVEN_NO_NAME)).startswith("a build step cannot reach the network")

    def test_a_program_that_the_base_has_not(self, project):
        message = failure(project, "RUN apk add --no-cache curl\n")
        assert told(message) == "the base image has no apk (Dockerfile:3: RUN apk add --no-cache curl)"
        assert "invoke setup --source registry" in hint(message), "the base is a stand-in"
        project.source.bases = {"tools": Base("tools", project.source.bases["tools"].resolved, None, stand_in=False)}
        message = failure(project, "RUN apk add --no-cache curl\n")
        assert "distribution that has apk" in hint(message)
        assert told(failure(project, "RUN nosuchtool --x\n")).startswith("nosuchtool is not in the image at this step")

    def test_a_stand_in_without_package_sources(self, project):
        message = failure(project, SAYS, APT)
        assert told(message).startswith("apt has no package ca-certificates")
        assert "names no package sources" in hint(message)

    def test_a_full_disk(self, project, engine):
        message = failure(
            project, SAYS, "main.go:4:2: example.com/y@v1.0.0: mkdir /go/pkg/mod: no space left on device"
        )
        assert told(message).startswith("the engine's disk is full")
        assert engine.info.root_dir in hint(message)
        assert "docker builder prune" in hint(message)

    def test_no_shell(self, project):
        message = failure(project, "FROM scratch\nRUN true\n")
        assert told(message).startswith("the base image has no shell")

    def test_an_exception_above_the_last_lines(self, project):
        lines = "\n".join(f"line {number}" for number in range(30))
        message = failure(project, SAYS, f"panic: the cause\n{lines}")
        assert "| panic: the cause" in message
        assert "| line 29" in message
        assert "| line 10" not in message

    def test_what_nobody_knows_is_told_in_its_own_words(self, project):
        message = failure(project, "RUN echo one; echo two; \\\n    exit 3\n")
        assert told(message) == "RUN failed with exit code 3 (Dockerfile:3: RUN echo one; echo two;     exit 3)"
        assert [line for line in message.splitlines() if "|" in line] == ["  | one", "  | two"]
        assert hint(message) == "see the log for the whole output"


@pytest.mark.tools
class TestCopy:
    def test_a_file_that_is_not_in_the_context(self, project):
        message = failure(project, "COPY nothere /x\n")
        assert told(message) == "/nothere is not in the build context (Dockerfile:3: COPY nothere /x)"
        assert ".dockerignore" in hint(message)

    def test_a_file_that_no_stage_wrote(self, project):
        message = failure(project, "FROM ${BASE} AS last\nCOPY --from=0 /s/server /server\n")
        assert told(message).startswith("/s/server is not in the stage or image that COPY --from names (Dockerfile:4:")
        assert "go build -o" in hint(message)


@pytest.mark.tools
def test_a_client_and_an_engine_without_a_common_api(project, monkeypatch):
    """The real client, made to speak what no engine does any more."""
    monkeypatch.setenv("DOCKER_API_VERSION", "1.11")
    message = failure(project, "COPY hello /hello\n")
    assert told(message).startswith(("this Docker client and this engine cannot", "the Docker client is too old"))
    assert "DOCKER_API_VERSION" in hint(message)


BUILDX = """\
#0 building with "default" instance using docker driver
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 77B done
#1 DONE 0.0s
#4 [build 1/2] FROM docker.io/library/alpine:3.18@sha256:dead
#4 CACHED
#5 [build 2/2] RUN apk add --no-cache curl
#5 0.137 /bin/sh: apk: not found
#5 ERROR: process "/bin/sh -c apk add --no-cache curl" did not complete successfully: exit code: 127
------
 > [build 2/2] RUN apk add --no-cache curl:
0.137 /bin/sh: apk: not found
------
Dockerfile:2
--------------------
   1 |     FROM alpine:3.18
   2 | >>> RUN apk add --no-cache curl
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c apk add --no-cache curl" did not complete successfully: exit code: 127
"""


def heard(said: str) -> CommandError:
    listener = DockerListener(print, "Dockerfile", {})
    for line in said.splitlines():
        listener(line)
    tail = said.splitlines()[-15:]
    error = CommandError(["buildx"], exit_code_of_command=1, reason="failed with exit code 1", tail=tail)
    return listener.failure(error, "v", stand_in=False, full_disk=lambda: "")


def test_buildx_says_it_in_other_words():
    error = heard(BUILDX)
    assert error.reason == "v: the base image has no apk (Dockerfile: RUN apk add --no-cache curl)"
    assert error.tail == ("/bin/sh: apk: not found",)


def test_a_client_too_old_for_the_engine():
    """As Docker's client 20.10 was told by an engine 29."""
    error = heard(
        "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade"
        " your client to a newer version\n"
    )
    assert (
        error.reason
        == "v: the Docker client is too old for this engine: it speaks API 1.41, the engine wants 1.44 or later"
    )
    assert "newer docker client" in str(error.hint)
    assert '"min-api-version": "1.41"' in str(error.hint)


def test_of_two_stages_the_one_that_failed_first_is_told():
    """BuildKit cancels the other, which then fails too."""
    error = heard(
        "#5 [a 2/2] RUN one\n#6 [b 2/2] RUN two\n#5 CANCELED\n#6 0.1 two: broken\n#5 ERROR: context canceled\n"
        '#6 ERROR: process "/bin/sh -c two" did not complete successfully: exit code: 1\n'
    )
    assert error.reason == "v: RUN failed with exit code 1 (Dockerfile: RUN two)"
    assert error.tail == ("two: broken",)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("failed to do request: Head: x509: certificate signed by unknown authority", "does not trust the registry's"),
        ("docker.io/library/nope:1: not found", "failed"),
    ],
)
def test_a_base_that_cannot_be_pulled(said, reason):
    error = heard(f"#3 [internal] load metadata for docker.io/library/nope:1\n#3 ERROR: {said}\n")
    assert reason in error.reason
    assert "docker.io/library/nope:1" in error.reason
    assert error.hint is not None
    assert "certs.d" in error.hint or "bases:" in error.hint


def native(*said: str) -> CommandError:
    """What is told of ko, melange or apko that ended with these lines."""
    listener = Listener(print, lambda _: None)
    for line in said:
        listener(line)
    error = CommandError(["ko"], exit_code_of_command=1, reason="failed", tail=said)
    return listener.explained(error, "v", causes=_causes.NATIVE)


def test_a_private_ca_beside_the_engine():
    error = native(GO_X509_IMPORT)
    assert error.reason == "v: a server's certificate is signed by a CA that this machine does not trust"
    assert "--ca-bundle" in str(error.hint)


def test_compile_errors_that_only_sound_like_a_cause():
    error = native('./main.go:3:1: undefined: connectionRefused, "connection refused"')
    assert error.reason == "v: the service does not compile"


def test_a_module_that_does_not_compile_is_no_matter_of_the_network():
    said = [
        "npm error node-pre-gyp WARN Tried to download: getaddrinfo ENOTFOUND github.example",
        "npm error gyp ERR! stack Error: `make` failed with exit code: 2",
    ]
    assert _causes.found(_dockerfile.RUN, said).told == "a module of npm's does not compile with this version of Node"


@pytest.mark.parametrize(
    "said",
    [
        "  ERROR: Failed building wheel for greenlet",
        "ERROR: Failed to build 'greenlet' when installing build dependencies",
        "ERROR: Failed to build installable wheels for some pyproject.toml based projects (greenlet)",
    ],
)
def test_a_python_package_that_is_compiled_in_vain_is_named(said):
    found = _causes.found(_dockerfile.RUN, [said])
    assert found.told == "the Python package greenlet has no ready-made file for this base, and does not compile on it"


@pytest.mark.parametrize(
    "said",
    [
        "Error: No connection string was provided. Perhaps an environment variable has not been set?",
        "error: Invalid environment variables: { DATABASE_URL: [ 'Required' ] }",
        "Error: Please define the MONGODB_URI environment variable inside .env.local",
        "Error: Environment variable not found: DATABASE_URL.",
        "Error: STRIPE_SECRET_KEY is not set",
        "Error: supabaseUrl is required.",
    ],
)
def test_a_build_that_wants_variables_is_told(said):
    assert _causes.found(_dockerfile.RUN, [said, "Build error occurred"]).told == _dockerfile.WANTS_VARIABLES


def test_a_bundler_of_the_time_before_openssl_3_is_told():
    said = ["Error: error:0308010C:digital envelope routines::unsupported", "  code: 'ERR_OSSL_EVP_UNSUPPORTED'"]
    assert _causes.found(_dockerfile.RUN, said).told == _dockerfile.OLD_HASHES


@pytest.mark.parametrize("table", [_dockerfile.RUN, _causes.NATIVE], ids=["RUN", "NATIVE"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "go: go.mod requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)",
            "the module asks for Go 1.99, and this is Go 1.27.3",
        ),
        (
            "go: example.com/shop/secret@v1.0.0: reading https://proxy.example.org/shop/secret/v1.0.0.mod: 404 Not Found",
            "the module example.com/shop/secret cannot be fetched: it is private, or it does not exist",
        ),
        (  # a proxy that cannot ask the host
            "go: example.com/shop/secret@v1.0.0: reading https://proxy.example.org/shop/secret/v1.0.0.mod: 400 Bad Request",
            "the module example.com/shop/secret cannot be fetched: it is private, or it does not exist",
        ),
        (
            "go: module example.com/shop/secret: git ls-remote -q origin in /go/pkg/mod/cache/vcs/4c5: exit status 128:",
            "the module example.com/shop/secret cannot be fetched: it is private, or it does not exist",
        ),
        (
            "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
            "https://git.example.com asks for credentials, and the build has none",
        ),
    ],
)
def test_what_go_lacks_is_told(table, said, told):
    assert _causes.found(table, [said]).told == told


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (
            "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
            "secrets: netrc: ~/.netrc",
        ),
        ("go: module example.com/a/b: git ls-remote -q origin in /go/x: exit status 128:", "secrets: netrc: ~/.netrc"),
        ("git@example.com: Permission denied (publickey).", "ssh: default: $SSH_AUTH_SOCK"),
        ("Host key verification failed.", "secrets: known_hosts: ~/.ssh/known_hosts"),
        ("npm error code E401", "secrets: npmrc: ~/.npmrc"),
        ("WARNING: 401 Error, Credentials not correct for https://pip.example.com/simple/", "secrets: netrc: ~/.netrc"),
    ],
)
def test_the_two_lines_that_give_credentials_to_a_dockerfile_are_told(said, lines):
    step = _causes.found(_dockerfile.RUN, [said]).step
    assert "add two lines to the variant" in step
    assert " ".join(step.split()).endswith(lines)


@pytest.mark.parametrize("table", ["CLIENT", "PULL", "COPY", "COPY_FROM", "RUN", "NATIVE", "JAVA"])
def test_every_step_of_a_table_can_be_filled_in(table):
    """A brace too many in a hint would be a traceback in the very moment when it is needed."""
    import re

    for cause in getattr(_causes, table, None) or getattr(_dockerfile, table):
        groups = ["x"] * re.compile(cause.pattern).groups
        for text in (cause.told, cause.step, cause.stand_in):
            assert "{" not in text.format(*groups).replace("{{", "").replace("{.", "").replace("{jib", "")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'Exception in thread "main" java.net.UnknownHostException: services.gradle.org',
            "Gradle's wrapper cannot fetch the Gradle that it is for",
        ),
        (
            "Connection refused\n\tat org.gradle.wrapper.Download.downloadInternal(Download.java:129)",
            "Gradle's wrapper cannot fetch the Gradle that it is for",
        ),
        ("> Could not GET 'https://plugins.gradle.org/m2/x/y.pom'.", "Gradle cannot reach its plug-in portal"),
        (
            "Caused by: java.net.UnknownHostException: repo.example.com",
            "a build step cannot reach the network: it does not find repo.example.com",
        ),
    ],
)
def test_what_gradle_has_from_its_makers_alone_is_told_apart(said, told):
    found = _causes.found(_dockerfile.RUN, said.splitlines())
    assert found is not None
    assert found.told == told
    assert "{{" not in found.step


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?",
            "git is not in the image at this step, and a package is fetched with it",
        ),
        ("npm error syscall spawn git", "git is not in the image at this step, and a package is fetched with it"),
        (
            "  fatal: unable to access 'https://git.example/me/shop/': Could not resolve host: git.example",
            "a build step cannot reach the network: git.example, from which it clones with git",
        ),
        (
            "npm error ssh: Could not resolve hostname git.example: Name or service not known",
            "a build step cannot reach the network: git.example, from which it clones with git",
        ),
        (
            "curl: (6) Could not resolve host: git.example",
            "a build step cannot reach the network: it does not find git.example",
        ),
        (
            "npm error ffmpeg install: Error: getaddrinfo ENOTFOUND files.example",
            "a build step cannot reach the network: it does not find files.example",
        ),
        ("npm error code ERESOLVE", _dockerfile.PEERS),
        (
            "npm error notarget No matching version found for some-auth@beta.",
            "the package index that is asked has no some-auth@beta",
        ),
        (
            "[ERROR]   Could not find artifact org.example:client:jar:3.3.2.1 in central (https://repo.example.com/maven2)",
            "the package index that is asked has no org.example:client:jar:3.3.2.1",
        ),
        (
            "➤ YN0035: │ @some/parser@npm:4.7.15: Package not found",
            "the package index that is asked has no @some/parser@npm:4.7.15",
        ),
        ("ERROR: No matching distribution found for flask==9.9", "the package index that is asked has no flask==9.9"),
    ],
)
def test_what_is_fetched_is_told_by_its_host_or_its_name(said, told):
    found = _causes.found(_dockerfile.RUN, [said])
    assert found is not None
    assert found.told == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["INFO some environment variables are not set", "E: Failed to fetch http://x: Could not resolve host"], False),
        (["the environment variable KEY is not set", *["compiling"] * 300, "it failed"], False),
        (["[WARNING] the environment variable KEY is not set", "it failed"], True),
        (["error: the environment variable KEY is not set", "it failed"], True),
    ],
)
def test_a_cause_is_none_of_the_lines_that_merely_match(lines, told):
    """Of what a failing step says the last lines count, and of these the errors before what it warns of."""
    cause = _causes.found(_dockerfile.RUN, lines)
    assert (cause is not None and cause.told == _dockerfile.WANTS_VARIABLES) is told


def test_a_missing_compiler_is_not_hidden_by_a_warning_of_the_network():
    lines = [
        "WARNING: Retrying after connection broken by 'NewConnectionError': Connection refused",
        "error: command 'gcc' failed: No such file or directory",
    ]
    cause = _causes.found(_dockerfile.RUN, lines)
    assert cause is not None
    assert cause.line == lines[1]
