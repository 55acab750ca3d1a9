"""Where no engine can be had: what needs none is set up, built and checked; the rest is named, with the reason and exit code 3."""

import json
import os
from collections.abc import Callable

import pytest

from deadweight._errors import wording
from deadweight.engine import daemon
from deadweight.engine.own import engine as own
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.records.store import load
from tests.support.fault_project import FaultProject, read_only
from tests.support.marks import NEEDS_ROOT
from tests.support.trees import shell_script, written

pytestmark = pytest.mark.system

NOWHERE = "unix:///nowhere.sock"
START_IT = f"hint: {wording('engine.start_it', variable='DOCKER_HOST')}\n"
RUN = 'cp src/a.txt "$OUT"'


@pytest.fixture
def project(tmp_path) -> FaultProject:
    """``v`` is built by a script, ``needs-engine`` from a Dockerfile, and the engine that was asked for does not answer."""
    project = FaultProject.make(tmp_path, v=RUN)
    written(project.root, {"Dockerfile": "FROM scratch\nCOPY a.txt /\n"})
    project.add("  needs-engine:\n    builder: dockerfile\n    source: src\n    dockerfile: Dockerfile\n")
    project.more["DOCKER_HOST"] = NOWHERE
    return project


def dead_socket(_project: FaultProject) -> str:
    problem = wording("engine.no_socket")
    return wording("engine.named_engine_silent", origin="DOCKER_HOST", host=NOWHERE, problem=problem)


def engine_that_does_not_come_up(project: FaultProject) -> str:
    """As in a container that may not start one."""
    del project.more["DOCKER_HOST"]
    project.more["DEADWEIGHT_CACHE_DIR"] = str(project.root.parent / "cache")
    folder = project.root.parent / "bin"
    script = "echo 'Docker version 29.0.0'\necho 'failed to mount overlay: not permitted' >&2\nexit 1"
    shell_script(folder / "dockerd", script)
    project.more["PATH"] = f"{folder}:{os.environ['PATH']}"
    return "failed to mount overlay: not permitted"


@pytest.mark.parametrize("how", [dead_socket, engine_that_does_not_come_up])
def test_what_needs_no_engine_is_built_and_the_rest_named(project, how: Callable[[FaultProject], str], monkeypatch):
    if how is engine_that_does_not_come_up:
        monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(project.root / "none"))
        if os.geteuid() != 0 or own.dockerd() is None or daemon.find_running() is not None:
            pytest.skip("needs root, dockerd, and no engine at the usual places")
    reason = how(project)
    done = project.fails(3, wording("project.not_built", failed=1, total=2, failures="needs-engine: build: "), "build")
    assert reason in done.errors.partition("error: ")[2]
    assert wording("project.left_for_engine", variant="needs-engine") in done.errors.partition("error: ")[0]
    assert project.out() == "a\n"
    rows = project.document("build", code=3)["variants"]
    assert (rows["v"]["result"], rows["needs-engine"]["result"]) == ("cached", "failed")
    assert reason in rows["needs-engine"]["error"]


def test_who_wants_to_fail_fast_builds_nothing(project):
    project.fails(3, NOWHERE, "build", "--fail-fast")
    assert not (project.state / "images" / "v" / "out").exists()


def test_setup_prepares_what_needs_none(project):
    alone = project.invoke("setup", "--yes", "--variant", "v", "--json", code=0)
    assert NOWHERE in alone.errors
    tools = {tool["name"]: tool["status"] for tool in json.loads(alone.output)["tools"]}
    assert tools["engine"] == "unusable"
    assert "docker-cli" not in tools
    first = wording("tasks.not_buildable", variants="needs-engine", problem="engine: ")
    assert project.fails(3, first, "setup", "--yes").errors.endswith(START_IT)


def test_doctor_says_what_you_can_do_for_an_engine_that_setup_cannot_get(project):
    """Not a package to install, nor setup, which would send you back here."""
    done = project.fails(3, wording("tasks.missing", names="engine"), "doctor")
    assert done.errors.endswith(START_IT)
    (line,) = [line for line in done.output.splitlines() if line.startswith("engine  ")]
    assert f" {NOWHERE} (" in line


@pytest.mark.parametrize("words", [(), ("--all",)])
def test_clean_removes_the_files_where_the_engine_does_not_answer(project, words):
    project.more["DEADWEIGHT_CACHE_DIR"] = f"{project.root}-cache"  # --all ends what a cache's engine and registry run
    project.invoke("build")
    (log,) = project.state.glob("logs/v.log")
    done = project.fails(3, wording("tasks.engine_not_cleaned", problem=""), "clean", *words)
    assert NOWHERE in done.errors.partition("error: ")[2]
    assert done.errors.endswith(START_IT)
    assert any(line.startswith("removed 0 ") and ", 0 images, " in line for line in done.errors.splitlines())
    assert not log.exists()
    assert (project.state / "images").exists() is not bool(words)


def test_checks_that_run_an_image_are_not_measured(project):
    project.invoke("build")
    first = wording("tasks.unmeasured", count=1, checks="1 check", names="v/runs", tally="1 not measured")
    assert NOWHERE in project.fails(3, first, "verify").errors
    kept = load(Evidence, State(project.root).evidence("v", "runs"))
    assert (kept.status, kept.data["missing"]) == ("not_measured", True)
    assert NOWHERE in kept.reason


@pytest.mark.slow
def test_nox_builds_and_checks_what_it_can(project):
    code, output = project.nox("verify", "--", "-rs")
    assert code != 0, output
    assert wording("pytest.not_measured", reason="") in output
    assert project.out() == "a\n"
    assert wording("project.image_missing", variant="needs-engine") in output
    assert wording("project.not_built", failed=1, total=2, failures="needs-engine: ") in output
    assert NOWHERE in output


def test_what_is_not_built_does_not_keep_the_rest_from_being_checked(project):
    project.invoke("build")
    project.more["DOCKER_HOST"] = str(daemon.find_or_start(print).host)
    project.add("    checks: {layers: {}}\n")
    assert " needs-engine. " in project.invoke("verify", "--check", "layers", code=3).errors.partition("error: ")[2]


@pytest.mark.slow
def test_verify_ends_with_the_total_and_the_next_command(project):
    """Each finding once, while it is worked; the end says how many, and what is next."""
    project.more["DOCKER_HOST"] = str(daemon.find_or_start(print).host)
    project.invoke("build", "--variant", "needs-engine")
    suite = project.root / "deadweight.yaml"
    whole = f"{suite.read_text()}    runnable: false\n    checks: {{layers: {{}}, budget: {{layers: {{hard: 1}}}}}}\n"
    suite.write_text(whole)
    done = project.invoke("verify", "--variant", "needs-engine", code=0)
    assert done.errors.splitlines()[-1] == "2 passed. Next: invoke report"
    suite.write_text(whole.replace("hard: 1}", "hard: 0}") + "    expect: {layers: fail}\n")
    done = project.invoke("verify", "--variant", "needs-engine", code=1)
    names, tally = "needs-engine/budget, needs-engine/layers", "1 passed, though expected to fail, 1 failed"
    message = wording("tasks.checks_failed", failed=2, checks="2 checks", names=names, tally=tally)
    assert (done.errors.splitlines()[-2], done.errors.count("over the hard limit")) == (f"error: {message}", 1)
    suite.write_text(f"{whole.partition('    checks: {layers')[0]}")
    project.fails(3, wording("tasks.no_checks"), "verify", "--variant", "needs-engine")


@NEEDS_ROOT
def test_doctor_tells_a_folder_that_cannot_be_written_to(project):
    """Nothing was asked of the disk before a build failed on it."""
    del project.more["DOCKER_HOST"]
    project.suite(v=RUN)
    with read_only(project.root):
        done = project.invoke("doctor", code=3)
    assert f"not writable: {project.root}: Read-only file system" in done.output
    assert f" ({project.root}: Read-only file system)" in done.errors
