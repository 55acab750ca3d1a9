"""A change reviewed as the forges' jobs do it: each step of the action and the script of the component, with their environment."""

import os
import re
import socket
import subprocess
import sys
import threading
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT
from tests.support.forge_server import ForgeServer, environment
from tests.support.small_images import go_program
from tests.support.trees import written

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SPEC, COMPONENT = yaml.safe_load_all((ROOT / "templates" / "deadweight.yml").read_text())
SUITE = """\
name: app
variants:
  own: {builder: dockerfile, dockerfile: Dockerfile, port: 8080, health: {path: /healthz},
        checks: {api: [{name: up, request: {path: /healthz}}]}}
"""
DOCKERFILE = 'FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\nUSER 65532:65532\n'
DEFAULTS = {f"inputs.{name}": given["default"] for name, given in ACTION["inputs"].items()}
PLACES = {"inputs.token": "s3cret-t0ken", "github.base_ref": "main", "github.action_path": str(ROOT)}


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def committed(root: Path) -> None:
    """Make a repository of it, and its state the base."""
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    git(root, "update-ref", "refs/remotes/origin/main", "main")


@pytest.fixture
def change(tmp_path) -> Path:
    """A repository whose branch changes how the service answers."""
    root = written(
        tmp_path / "repository", {"Dockerfile": DOCKERFILE, "deadweight.yaml": SUITE, ".gitignore": ".deadweight/\n"}
    )
    go_program(ROOT / "tests" / "services" / "twin", root / "app")
    committed(root)
    (root / "Dockerfile").write_text(DOCKERFILE + "ENV GZIP=no\n")
    git(root, "commit", "-qam", "two")
    return root


@pytest.fixture
def forge():
    server = ForgeServer()
    yield server
    server.close()


def shell(script: str, root: Path, env: dict[str, str]) -> int:
    """Run a step's script. What an earlier one wrote to GITHUB_PATH comes first, as on a runner."""
    added = Path(env["GITHUB_PATH"]).read_text().split() if "GITHUB_PATH" in env else []
    path = ":".join([*reversed(added), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-eo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=root, env={**os.environ, **env, "PATH": path}, timeout=600, check=False
    ).returncode


def filled(text: str) -> str:
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda use: (DEFAULTS | PLACES)[use[1]], text)


def told(server: ForgeServer) -> str:
    (comment,) = server.comments.values()
    return comment


@pytest.mark.slow
def test_each_step_of_the_action_runs_and_one_comment_tells_what_answers_otherwise(change, forge, tmp_path):
    job = environment("github", forge.url, tmp_path)
    job |= {"RUNNER_TEMP": str(tmp_path), "GITHUB_PATH": str(written(tmp_path, {"paths": ""}) / "paths")}
    install, *steps = [step for step in ACTION["runs"]["steps"] if "run" in step]
    for step in (install, *steps, *steps):
        env = {name: filled(value) for name, value in step.get("env", {}).items()}
        folder = change / filled(step.get("working-directory", "."))
        assert shell(filled(step["run"]), folder, job | env) == 0, step["name"]
    assert Path(job["GITHUB_PATH"]).read_text() == f"{tmp_path}/deadweight/bin\n"
    assert "content-encoding" in told(forge)


@pytest.mark.slow
def test_a_forks_job_writes_the_summary_instead(change, forge, tmp_path):
    summary = tmp_path / "summary.md"
    job = environment("github", forge.url, tmp_path, fork=True) | {
        "GITHUB_TOKEN": "",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    assert shell("deadweight review --since origin/main --post github", change, job) == 0
    assert (forge.comments, "content-encoding" in summary.read_text()) == ({}, True)


@pytest.mark.slow
def test_what_did_not_come_up_before_is_not_compared_and_the_rest_is_told(change, forge, tmp_path):
    (change / "Dockerfile").write_text(DOCKERFILE.replace('["/app"]', '["/none"]'))
    git(change, "commit", "-qam", "three")
    git(change, "update-ref", "refs/remotes/origin/main", "main")
    (change / "Dockerfile").write_text(DOCKERFILE)
    assert (
        shell("deadweight review --since origin/main --post github", change, environment("github", forge.url, tmp_path))
        == 0
    )
    assert "own: not compared: " in told(forge)


@pytest.mark.slow
def test_what_a_suite_names_that_was_not_there_before_ends_nothing(change, forge, tmp_path):
    suite = SUITE.replace("checks: {", "checks: {attacks: {openapi: api.yaml}, ")
    paths = "openapi: 3.1.0\npaths: {/healthz: {get: {}}}\n"
    written(change, {"deadweight.yaml": suite, "api.yaml": paths})
    git(change, "rm", "-q", "--cached", "deadweight.yaml")
    git(change, "commit", "-qm", "three")
    git(change, "update-ref", "refs/remotes/origin/main", "HEAD")
    written(change, {"Dockerfile": DOCKERFILE})
    job = environment("github", forge.url, tmp_path)
    assert shell("deadweight review --since origin/main --post github", change, job) == 0
    assert "content-encoding" in told(forge)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "ended", "said"), [
    ("/dial?address=127.0.0.1:8081", 1, r"Stop: this change causes 1 regression.*check api: pass → fail"),
    ("/dial?address={address}", 3, r"Please review: .*1 not measured.*check api passes and fails at different times"),
], ids=["always", "at random"])  # fmt: skip
def test_what_fails_here_alone_is_asked_again_on_both_sides(tmp_path, engine, forge, path, ended, said):
    """One service needs another port of its own, which this change takes away; the other a connection that is taken once."""
    ours = engine.api.inspect_network("bridge")["IPAM"]["Config"][0]
    listener = socket.create_server((ours.get("Gateway") or str(next(ip_network(ours["Subnet"]).hosts())), 0))
    threading.Thread(target=lambda: (listener.accept()[0].close(), listener.close()), daemon=True).start()
    asked = path.format(address="{}:{}".format(*listener.getsockname()))
    suite = SUITE.replace("{path: /healthz}}]", f"{{path: '{asked}'}}}}]")
    before = DOCKERFILE + "ENV ALSO=:8081\n"
    root = written(tmp_path / "r", {"Dockerfile": before, "deadweight.yaml": suite, ".gitignore": ".deadweight/\n"})
    go_program(ROOT / "tests" / "services" / "misbehave", root / "app")
    committed(root)
    written(root, {"Dockerfile": DOCKERFILE})
    job = environment("github", forge.url, tmp_path)
    assert shell("deadweight review --since origin/main --post github", root, job) == ended
    assert re.search(said, told(forge), re.DOTALL)


@pytest.mark.slow
def test_the_components_script_keeps_one_comment(change, forge, tmp_path):
    job = environment("gitlab", forge.url, tmp_path) | {"CI_MERGE_REQUEST_DIFF_BASE_SHA": "origin/main"}
    _install, *script = COMPONENT["deadweight"]["script"]
    inputs = {name: given["default"] for name, given in SPEC["spec"]["inputs"].items()}
    lines = [re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda use: inputs[use[1]], line) for line in script]
    assert shell("\n".join(lines), change, job) == 0
    assert "content-encoding" in told(forge)


def test_the_schemas_of_both_forges_have_nothing_to_say(tmp_path):
    """What actionlint reads is a workflow: its own test has the one that the documentation shows."""
    plain = re.sub(r"\$\[\[ inputs\.\w+ \]\]", "x", yaml.safe_dump(COMPONENT))
    files = {"action": ROOT / "action.yml", "gitlab": written(tmp_path, {"ci.yml": plain}) / "ci.yml"}
    schemas = {"action": "vendor.github-actions", "gitlab": "vendor.gitlab-ci"}
    for kind, file in files.items():
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schemas[kind], file]
        assert subprocess.run(command, capture_output=True, text=True, timeout=60).returncode == 0, kind
