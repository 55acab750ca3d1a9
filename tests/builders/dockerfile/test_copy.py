"""What is read of a Dockerfile for its copy, and what its RUN lines are given of this machine's ways to the network."""

import os
import subprocess
from pathlib import Path

import pytest

from deadweight._errors import ConfigError
from deadweight.builders.dockerfile.copy import CA, FOLDER, JAVA, KNOWN_HOSTS, NETRC, NPMRC, PLACE, Reach
from deadweight.sources.adapt_dockerfile import Run, read_dockerfile, stage_bases
from tests.support.codes import details, raises
from tests.support.trees import written

MULTI = Path(__file__).with_name("samples").joinpath("stages.Dockerfile").read_text()


def read(tmp_path, text):
    return read_dockerfile(written(tmp_path, {"Dockerfile": text}) / "Dockerfile")


def test_arguments_stages_and_what_they_stand_on(tmp_path):
    dockerfile = read(tmp_path, MULTI)
    assert dict(dockerfile.args) == {"GO": "golang:1", "BASE": None, "OTHER": "x y"}
    stages = [("${GO}", "build"), ("build", "tested"), ("$BASE", "final"), ("final", None)]
    assert [(stage.base, stage.name) for stage in dockerfile.stages] == stages
    assert stage_bases(MULTI, {}) == ["golang:1", "golang:1", "", ""]
    assert stage_bases(MULTI, {"BASE": "x:1", "GO": "y"}) == ["y", "y", "x:1", "x:1"]
    assert stage_bases("FROM ubuntu:23.10\nFROM scratch\nFROM a AS a\n", {}) == ["ubuntu:23.10", "", "a"]


@pytest.mark.parametrize(("stages", "target", "chain"), [
    ("a AS build|b", None, {1}), ("a AS build|build", None, {0, 1}), ("a AS one|one AS two|two", None, {0, 1, 2}),
    ("a AS one|b AS two|one", "two", {1}), ("a AS one|b", "0", {0}), ("a AS Build|build", None, {0, 1}), ("x AS x|y", "x", {0}),
])  # fmt: skip
def test_the_stages_that_an_image_is_made_of(tmp_path, stages, target, chain):
    assert chain == set(read(tmp_path, "".join(f"FROM {stage}\n" for stage in stages.split("|"))).chain(target))


@pytest.mark.parametrize(("text", "code", "fields"), [
    ("ARG X\n", "no_from", {"line": 1}), ("# only a comment\n\nRUN x\n", "before_from", {"line": 3, "name": "RUN"}),
    ("FROM a\nFORM b\n", "unknown_instruction", {"line": 2, "name": "FORM"}), ("FROM\n", "incomplete_from", {"line": 1}),
    ("ARG X\nFROM alpine:3 # x\n", "from_with_comment", {"line": 2}),
    ("FROM a\nRUN <<EOF\nFROM b\n", "open_heredoc", {"line": 2, "name": "EOF"}),
    ("{not: a dockerfile}\n", "unknown_instruction", {"line": 1}), (b"FROM \xff\xfe\n", "not_utf8", {}),
])  # fmt: skip
def test_what_is_no_dockerfile(tmp_path, text, code, fields):
    with raises(ConfigError, f"dockerfile.{code}", **fields):
        read(tmp_path, text)


def test_an_unknown_target_names_the_stages(tmp_path):
    with raises(ConfigError, "dockerfile.no_such_stage", name="finl", stages="build, tested, final"):
        read(tmp_path, MULTI).chain("finl")


VARIABLES = {
    "GOPROXY": "https://user:word@go.example.com,direct", "PIP_INDEX_URL": "https://pip.example.com/it's",
    "NPM_CONFIG_REGISTRY": "https://npm.example.com", "COREPACK_INTEGRITY_KEYS": "0",
}  # fmt: skip


def _named(added):
    return [part.partition("env=")[2] or part.partition("id=")[2] for part in added.flags]


GO, PIP, NPM, COREPACK = VARIABLES
UNDERSTOOD = {
    "go build ./...": [GO], "CGO_ENABLED=0 go install x": [GO], "--mount=type=secret,id=GOPROXY go build": [],
    "pip install -r requirements.txt": [PIP], "python3.12 -m pip install x": [PIP], "npm ci && npm run build": [NPM],
    "pnpm install": [NPM, COREPACK], "corepack enable": [NPM, COREPACK], "make build": [GO, PIP, NPM],
    "./build.sh": [GO, PIP, NPM, COREPACK], "mkdir -p /cargo /gone": [], "echo hello": [],
}  # fmt: skip


@pytest.mark.parametrize("command", UNDERSTOOD)
def test_each_run_gets_what_its_programs_understand(command):
    """What the user named beside these reaches every RUN."""
    added = Reach({**VARIABLES, "TOKEN": "x"}).added(Run(0, "x", command))
    assert (_named(added), added.before) == ([*UNDERSTOOD[command], "TOKEN"], "")


def test_an_engine_that_gives_variables_shows_nothing_in_the_command(tmp_path):
    reach = Reach(VARIABLES, (CA, JAVA), direct=True, in_image=frozenset((0,)))
    added = reach.added(Run(0, "x", "curl https://x"))
    assert (added.before, added.flags[0]) == ("", "--mount=type=secret,id=ca_bundle,mode=0444")
    assert "--mount=type=secret,id=DEADWEIGHT_PLACE_SSL_CERT_FILE,env=SSL_CERT_FILE" in added.flags
    assert reach.environment()["DEADWEIGHT_PLACE_SSL_CERT_FILE"] == "/run/secrets/ca_bundle"
    assert "id=DEADWEIGHT_PLACE_PIP_CERT,env=DEADWEIGHT_PLACE_PIP_CERT" in reach.secrets(tmp_path)
    assert reach.advice(0) == ""
    java = reach.added(Run(0, "x", "./mvnw package")).flags
    assert "--mount=type=secret,id=DEADWEIGHT_PLACE_JAVA_TOOL_OPTIONS,env=JAVA_TOOL_OPTIONS" in java


def test_an_older_engine_gives_them_to_stages_that_are_no_part_of_the_image(tmp_path):
    reach = Reach(VARIABLES, (CA,), direct=False, in_image=frozenset((1,)))
    added = reach.added(Run(0, "x", "go build", line=3))
    assert added.before == ". /run/secrets/deadweight_environment; "
    assert not any("word" in flag for flag in added.flags)

    [offered] = reach.secrets(tmp_path)
    file = offered.partition("src=")[2]
    script = f'. {file}; printf "%s\\n" "$GOPROXY" "$PIP_INDEX_URL" "$SSL_CERT_FILE"'
    done = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.stdout.splitlines() == [VARIABLES["GOPROXY"], VARIABLES["PIP_INDEX_URL"], "/run/secrets/ca_bundle"]


@pytest.mark.parametrize("run", [Run(1, "x", "pip install y", 7), Run(0, "x", '["pip", "install"]', 7, plain=False)])
def test_where_an_older_engine_cannot_the_instruction_is_told_what_to_write(run):
    reach = Reach(VARIABLES, (CA,), direct=False, in_image=frozenset((1,)))
    assert reach.added(run).flags == ()
    hint = reach.advice(7)
    assert (details(hint).code, details(hint).fields["names"]) == ("dockerfile.secrets_lacked", f"{PIP} and ca_bundle")
    lines = ["RUN --mount=type=secret,id=PIP_INDEX_URL --mount=type=secret,id=ca_bundle"]
    lines += [f'export {PIP}="$(cat /run/secrets/{PIP})"', "export SSL_CERT_FILE=/run/secrets/ca_bundle"]
    assert [line for line in lines if line not in hint] == []
    assert reach.advice(8) == ""


def test_an_older_engine_gets_credentials_where_programs_look_for_them():
    reach = Reach({}, (NETRC, NPMRC), direct=False, in_image=frozenset((0,)))
    assert reach.added(Run(0, "x", "npm ci", 7)).flags == ()
    mounts = "RUN --mount=type=secret,id=netrc,target=/root/.netrc --mount=type=secret,id=npmrc,target=/root/.npmrc"
    assert " ".join(reach.advice(7).split()).endswith(f"{mounts} \\ …")


def test_credentials_go_where_the_suite_names_them():
    reach = Reach({}, (NETRC,), ssh=True)
    git = ["GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"]
    assert _named(reach.added(Run(0, "x", "go mod download"))) == ["", "netrc,mode=0444", "NETRC", *git]
    assert _named(Reach({}, (NPMRC,)).added(Run(0, "x", "npm ci"))) == ["npmrc,mode=0444", "NPM_CONFIG_USERCONFIG"]
    clone = Run(0, "x", "git clone git@x")
    assert _named(Reach({}, (KNOWN_HOSTS,)).added(clone)) == ["known_hosts,mode=0444", "GIT_SSH_COMMAND"]
    assert Reach(ssh=True).added(clone).flags == ("--mount=type=ssh",)
    assert Reach().added(Run(0, "x", "go mod download")).flags == ()


OURS, OTHERS = ["username=me", "password=a*b"], ["username=you", "password=c"]
HOSTS = {"git.example.com": OURS, "git.example.com:8443": OURS, "other.example.com": OTHERS}


@pytest.mark.parametrize("host", HOSTS)
def test_git_reads_the_netrc_that_it_is_given(tmp_path, host):
    (tmp_path / NETRC).write_text("machine git.example.com\n  login me\n  password a*b\ndefault login you password c\n")
    given = Reach({}, (NETRC,)).environment()
    settings = {name.removeprefix(PLACE): value.replace(FOLDER, str(tmp_path)) for name, value in given.items()}
    asked = subprocess.run(
        ["git", "credential", "fill"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0", **settings},
        cwd=tmp_path, input=f"protocol=https\nhost={host}\n\n", capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert asked.stdout.splitlines()[-2:] == HOSTS[host]
