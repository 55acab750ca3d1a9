"""The tightest posture: found by trying on real services, and written in forms that their platforms take."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import time

import kubernetes_validate
import pytest
import yaml
from small_project import put_built, subject_of, write_suite

from deadweight._errors import CheckFailed, DeadweightError, UsageError
from deadweight.checks import service
from deadweight.checks.harden.search import Found, _least, tightest
from deadweight.checks.harden.trial import PURPOSE, attempt
from deadweight.checks.harden.write import compose, kubernetes, run_words, written
from deadweight.engine import http, owner
from deadweight.engine.options import Tmpfs, hardened, hardened_for
from deadweight.suite.model import RunSettings

KUBERNETES = "1.34"


@pytest.fixture
def make(tmp_path, engine, misbehaving_image, misbehaving_archive):
    def build(yaml_text: str):
        suite = write_suite(tmp_path, f"name: p\nvariants:\n  tight:\n    builder: ko\n{yaml_text}\n")
        built = put_built(suite, "tight", misbehaving_archive, misbehaving_image)
        return subject_of(suite, "tight", built, misbehaving_archive, engine)

    yield build
    mine = [each for each in engine.leftovers() if each.labels[owner.OWNER].startswith(f"{os.getpid()}:")]
    assert [each for each in mine if each.labels[owner.PURPOSE] == PURPOSE] == []


@pytest.fixture(scope="module")
def playground(tmp_path_factory, engine, playground_image, playground_archive) -> Found:
    """The search on the demo service; it takes a while, so it is made once."""
    suite = write_suite(tmp_path_factory.mktemp("tight"), f"name: p\nvariants:\n  tight:\n    builder: ko\n{AWK}\n")
    built = put_built(suite, "tight", playground_archive, playground_image)
    return tightest(subject_of(suite, "tight", built, playground_archive, engine))


def found(**changes) -> Found:
    options = hardened(RunSettings(), port=8080).but(network="none")
    base = Found(
        "tight", "registry.example/tight:1", 8080, "/healthz", options, "65532:65532", False, 3, (("all", ""),)
    )
    return dataclasses.replace(base, **changes)


AWK = """\
    checks:
      api:
        - name: sum
          request: {method: POST, path: /api/v1/awk, json: {script: "BEGIN { print 6 * 7 }"}}
          expect: {json: {stdout: "42\\n"}}
"""


def test_a_service_that_needs_nothing_gets_nothing(playground):
    got = playground
    options = got.options
    assert (options.read_only, options.tmpfs, options.cap_drop, options.cap_add) == (True, (), ("ALL",), ())
    assert options.no_new_privileges
    assert (got.outgoing, got.user, got.requests) == (False, "65534:65534", 1)
    assert options.memory_bytes < 256 * 2**20
    assert options.pids < 64
    assert got.tried[0] == ("everything at its tightest", "")
    assert got.tried[-1][1] == ""
    assert any(problem for _, problem in got.tried), "no trial was tight enough to fail: then this is not the tightest"


def test_a_service_that_writes_gets_its_folder_and_no_more(make):
    got = tightest(
        make("    checks: {api: [{name: keep, request: {path: '/write?path=/state/kept'}, expect: {status: 200}}]}")
    )
    assert got.options.read_only
    assert [tmpfs.path for tmpfs in got.options.tmpfs] == ["/state"]
    assert all(tmpfs.noexec for tmpfs in got.options.tmpfs)
    assert (got.options.cap_drop, got.user) == (("ALL",), "65532:65532")


def test_a_service_that_fails_its_checks_anyway_is_told_so(make):
    subject = make("    checks: {api: [{name: gone, request: {path: /gone}, expect: {status: 200}}]}")
    with pytest.raises(
        CheckFailed, match="the checks do not even pass in a plain container: gone: status: expected 200"
    ):
        tightest(subject)


def test_what_is_no_service_is_refused(make):
    with pytest.raises(UsageError, match="not a service"):
        tightest(make("    runnable: false"))


def test_a_trial_waits_for_no_end_while_the_service_lives(make, monkeypatch):
    """An engine is given a second to tell of a death; asked before each request, that made a search take minutes."""
    monkeypatch.setattr(service, "MOURNING_SECONDS", 20.0)
    subject = make("    checks: {api: [{name: a, request: {path: /healthz}}, {name: b, request: {path: /healthz}}]}")
    started = time.monotonic()
    assert attempt(subject, hardened_for(subject.variant)).problem == ""
    assert time.monotonic() - started < 20.0


@pytest.mark.parametrize(
    ("need", "floor", "least"), [(20, 8, 20), (17, 8, 20), (33, 8, 40), (1, 8, 8), (64, 8, 64), (57, 8, 64)]
)
def test_the_least_is_found_to_a_quarter(need, floor, least):
    """Never less than is needed, never a quarter more than that (but for the floor), never more than was there."""
    tried = []
    got = _least(64, floor, lambda amount: tried.append(amount) or amount >= need)
    assert got == least
    assert all(floor <= amount < 64 for amount in tried)


# docker run


def test_the_docker_flags_run(playground, engine, monkeypatch):
    """The printed command itself, on an internal network, answers."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    name = f"deadweight-tests-{time.time_ns()}"
    got = dataclasses.replace(playground, variant=name)
    text = written(got, "run")
    command = text[text.index("docker run") :].replace("\\\n", " ")
    assert shlex.split(command) == run_words(got)
    docker = shutil.which("docker")
    try:
        subprocess.run([docker, "network", "create", "--internal", f"{name}-internal"], check=True, capture_output=True)
        subprocess.run([docker, *shlex.split(command)[1:]], check=True, capture_output=True)
        assert healthy(engine, name)
    finally:
        subprocess.run([docker, "rm", "--force", name], check=False, capture_output=True)
        subprocess.run([docker, "network", "rm", f"{name}-internal"], check=False, capture_output=True)


def healthy(engine, name: str) -> bool:
    """Ask the service inside its network namespace, for at most ten seconds."""
    pid = engine.api.inspect_container(name)["State"]["Pid"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if http.through_namespace(pid, 8080).request("GET", "/healthz", timeout=2).status == 200:
                return True
        except OSError:
            time.sleep(0.1)
    return False


# Compose


@pytest.mark.tools
def test_the_compose_service_runs(playground, engine, tmp_path, monkeypatch):
    """By the OS package's compose."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed (OS package docker-compose)")
    got = playground
    file = tmp_path / "compose.yaml"
    file.write_text(written(got, "compose"), encoding="utf-8")
    project = f"deadweighttests{time.time_ns()}"
    command = [tool, "--project-name", project, "--file", str(file)]
    try:
        subprocess.run([*command, "up", "--detach"], check=True, capture_output=True, timeout=120)
        container = subprocess.run([*command, "ps", "-q"], check=True, capture_output=True, text=True).stdout.strip()
        assert healthy(engine, container)
        config = engine.api.inspect_container(container)["HostConfig"]
        assert (config["ReadonlyRootfs"], config["CapDrop"], config["PidsLimit"]) == (True, ["ALL"], got.options.pids)
        assert config["Memory"] == config["MemorySwap"] == got.options.memory_bytes
        assert config["SecurityOpt"] == ["no-new-privileges:true"]
    finally:
        subprocess.run([*command, "down", "--timeout", "2"], check=False, capture_output=True, timeout=120)


def test_compose_publishes_on_loopback_where_the_service_needs_a_network():
    service = compose(found(outgoing=True))["services"]["tight"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert "networks" not in service


# Kubernetes


@pytest.mark.parametrize("outgoing", [True, False])
def test_the_deployment_is_valid_and_restricted(outgoing):
    """Against Kubernetes' own schema, and the rules of the restricted Pod Security Standard one by one."""
    options = found().options.but(cap_add=("NET_BIND_SERVICE",), env={"A": "b"}, args=("-v",))
    text = written(found(outgoing=outgoing, options=options), "kubernetes")
    assert "&id" not in text
    documents = list(yaml.safe_load_all(text))
    assert [document["kind"] for document in documents] == ["Deployment", "NetworkPolicy"]
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    pod = documents[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert "hostPort" not in container["ports"][0]
    assert ("Egress" in documents[1]["spec"]["policyTypes"]) is not outgoing


def test_the_validation_would_notice():
    broken = kubernetes(found())[0]
    broken["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = "yes"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"user": "0:0"}, "root"),
        ({"options": found().options.but(cap_add=("NET_ADMIN",))}, "the capabilities NET_ADMIN"),
        ({"options": found().options.but(cap_drop=())}, "the capabilities that every container gets"),
    ],
)
def test_what_restricted_does_not_allow_is_refused(changes, needs):
    with pytest.raises(DeadweightError, match=f"tight needs {needs}: the restricted Pod Security Standard"):
        written(found(**changes), "kubernetes")


def test_writable_folders_are_memory():
    options = found().options.but(tmpfs=(Tmpfs("/state", 2**20),))
    (volume,) = kubernetes(found(options=options))[0]["spec"]["template"]["spec"]["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "1048576"}
    assert compose(found(options=options))["services"]["tight"]["tmpfs"][0].startswith("/state:rw,noexec,nosuid")
