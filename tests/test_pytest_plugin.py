"""The pytest plugin, run as users run it: a pytest of its own on a project of its own."""

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deadweight._errors import wording
from deadweight.engine import labels
from deadweight.project.load_suite import load_suite
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.records.runs import VARIABLE, locked
from deadweight.records.store import load
from tests.support import forked
from tests.support.invoking import Process, module
from tests.support.small_images import reference
from tests.support.small_project import put_built, write_suite
from tests.support.trees import written

pytestmark = pytest.mark.system

PROJECT = f"plugin-{os.getpid()}"

SUITE = """\
name: PROJECT
defaults: {builder: ko, port: 8080, health: {path: /healthz, within_seconds: 5}}
variants:
  good:
    checks:
      api:
        - {name: the json, request: {path: /json}, expect: {json: {name: zoë}}}
        - {name: wrong, request: {path: /json}, expect: {json: {count: 4}}}
  sick:
    health: {path: /healthz, within_seconds: 0.5}
    run: {env: {MODE: never-healthy}}
    checks: {api: [{name: a, request: {path: /json}}]}
    expect: {runs: fail, api: fail}
  absent: {}
  alright: {expect: {runs: fail}}
""".replace("PROJECT", PROJECT)


def run_pytest(root: Path, *arguments: str, code: int | None = None, python: tuple[str, ...] = (), **environment: str):
    """``code`` is the exit code that it must have."""
    words = ("-p", "no:cacheprovider", *arguments)
    # who tests us may want another output than these tests read
    env = {**os.environ, "PYTEST_ADDOPTS": "", **environment}
    done = module("pytest", root, *words, env=env, timeout=240, python=python)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def project(tmp_path) -> Path:
    """A suite whose variants are not built."""
    return written(tmp_path, {"deadweight.yaml": SUITE, "test_own.py": "def test_own(): pass\n"})


@pytest.fixture
def built_project(project, misbehaving_image, misbehaving_archive) -> Path:
    """The same with images, except for ``absent``."""
    suite = load_suite(project / "deadweight.yaml")
    for name in ("good", "sick", "alright"):
        put_built(suite, name, misbehaving_archive, misbehaving_image)
    return project


OWN = "test_own.py::test_own"
OUTCOMES = {
    "good::runs": "PASSED", "good::api::the json": "PASSED", "good::api::wrong": "FAILED", "sick::runs": "XFAIL",
    "sick::api": "XFAIL", "absent::runs": "FAILED", "alright::runs": "FAILED",
}  # fmt: skip
"""Every check of the suite, and what comes of it: pass, wrong answer, expected failure, not built, unexpected pass."""


@pytest.mark.parametrize(("arguments", "collected"), [
    (("deadweight.yaml",), list(OUTCOMES)),
    ((), [OWN]),
    (("--deadweight", "--variant", "absent"), ["absent::runs", OWN]),
    (("deadweight.yaml", "--variant", "good", "-k", "api and json"), ["good::api::the json"]),
    (("deadweight.yaml::good::api::wrong",), ["good::api::wrong"]),
    (("deadweight.yaml", "--variant=alright", "--variant=absent"), ["absent::runs", "alright::runs"]),
])  # fmt: skip
def test_what_is_collected_is_the_users_choice(project, arguments, collected):
    """Nothing is built, and no engine is in reach: collecting needs neither, and starts nothing."""
    done = run_pytest(project, "--collect-only", "-q", *arguments, DOCKER_HOST="unix:///nowhere.sock", code=0)
    names = [name if name == OWN else f"deadweight.yaml::{name}" for name in collected]
    assert [line for line in done.stdout.splitlines() if "::" in line] == names
    assert not (project / ".deadweight").exists()


HEAD = "name: p\ndefaults: {port: 8080, health: {path: /healthz}}\nvariants: "
MISSPELT = wording("suite.misspelt_key", near="builder")
NO_CHECK = wording("suite.unknown", kind="check", name="x")


@pytest.mark.parametrize(("suite", "arguments", "message"), [
    ("name: p\nvariants: {v: {bilder: ko}}\n", "deadweight.yaml", f"deadweight.yaml:2: variants.v.bilder: {MISSPELT}"),
    (HEAD + "{v: {builder: ko}}\n", "deadweight.yaml --variant w", wording("suite.unknown", kind="variant", name="w")),
    (HEAD + "{v: {builder: ko, checks: {other: {x: {}}}}}\n", "deadweight.yaml", NO_CHECK),
    ("", "--deadweight", wording("pytest.no_suite", file="deadweight.yaml", folder="")),
])  # fmt: skip
def test_what_cannot_be_collected_is_one_clear_error(tmp_path, suite, arguments, message):
    if suite:
        (tmp_path / "deadweight.yaml").write_text(suite)
    done = run_pytest(tmp_path, *arguments.split())
    assert done.returncode in (2, 4)
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_checks_run_as_tests(built_project, engine):
    output = run_pytest(built_project, "deadweight.yaml", "-v", "-rA", "--junit-xml=junit.xml", code=1).stdout
    assert [name for name, outcome in OUTCOMES.items() if f"deadweight.yaml::{name} {outcome}" not in output] == []
    assert "GET /json: $.count: expected 4, got 3" in output
    missing = wording("project.image_missing", variant="absent")
    assert (missing in output, str(missing.hint) in output) == (True, True)
    state = State(built_project)
    passed = load(Evidence, state.evidence("alright", "runs"))
    assert (passed.code, wording("pytest.passed", reason=passed.reason) in output) == ("checks.healthy", True)
    assert "Traceback" not in output
    cases = {case.get("name"): case for case in ElementTree.parse(built_project / "junit.xml").iter("testcase")}
    assert [cases[name].find("failure") is None for name in ("wrong", "the json")] == [False, True]
    properties = {node.get("name"): node.get("value") for node in cases["runs"].iter("property")}
    assert properties["image_digest"].startswith("sha256:")
    assert properties["stand_in"] == "false"
    kept = load(Evidence, state.evidence("good", "api"))
    assert (kept.status, [item["name"] for item in kept.data["items"]]) == ("fail", ["the json", "wrong"])
    assert load(Evidence, state.evidence("good", "runs")).status == "pass"
    assert not [leftover for leftover in engine.leftovers() if leftover.labels[labels.PROJECT] == PROJECT]


def test_some_items_alone_are_no_evidence_of_the_whole_check(built_project):
    run_pytest(built_project, "deadweight.yaml", "-k", "good and json", code=0)
    assert not State(built_project).evidence("good", "api").exists()


@pytest.mark.slow
def test_a_service_that_stays_down_is_waited_for_once(built_project):
    """And is evidence: the verdict of an earlier run on the same image must not stand beside it."""
    items = ", ".join(f"{{name: {name}, request: {{path: /json}}}}" for name in ("one", "two", "three"))
    text = SUITE.replace("within_seconds: 0.5", "within_seconds: 3").replace("{name: a, request: {path: /json}}", items)
    write_suite(built_project, text.replace("    expect: {runs: fail, api: fail}\n", ""))
    done = run_pytest(built_project, "deadweight.yaml", "-k", "sick and api", "--junit-xml=junit.xml")
    assert "3 failed" in done.stdout
    seconds = [float(case.get("time")) for case in ElementTree.parse(built_project / "junit.xml").iter("testcase")]
    assert seconds[0] > 3
    assert max(seconds[1:]) < 2.5
    kept = load(Evidence, State(built_project).evidence("sick", "api"))
    answer = wording("engine.wrong_status", path="/healthz", status=503)
    message = wording("engine.not_healthy_advice", seconds=3, answer=answer, advice=answer.hint)
    assert (kept.status, kept.reason.startswith(message)) == ("fail", True), kept.reason


def test_without_an_engine_checks_fail_with_the_reason(project, misbehaving_archive):
    put_built(load_suite(project / "deadweight.yaml"), "good", misbehaving_archive, reference("misbehave"))
    done = run_pytest(project, "deadweight.yaml", "--variant", "good", DOCKER_HOST="unix:///nowhere.sock", code=1)
    assert "3 failed" in done.stdout
    unanswered = wording("engine.named_engine_silent", host="unix:///nowhere.sock", origin="DOCKER_HOST", problem="")
    assert done.stdout.count(wording("pytest.not_measured", reason=unanswered)) >= 3
    for check in ("runs", "api"):
        kept = load(Evidence, State(project).evidence("good", check))
        assert (kept.status, kept.data["missing"]) == ("not_measured", True)


@pytest.mark.slow
def test_a_projects_own_tests_get_a_running_container(built_project, engine):
    (built_project / "test_own.py").write_text(
        """
import urllib.request
import pytest


def test_suite(deadweight_suite):
    assert "good" in deadweight_suite.names()


def test_service(deadweight_container):
    service = deadweight_container("good")
    assert service.get("/json").status == 200
    assert b'"length":7' in service.request("POST", "/echo", json={"a": 1}).body.replace(b" ", b"").replace(b"8", b"7")
    with urllib.request.urlopen(service.base_url + "/healthz") as answer:
        assert answer.read() == b"ok\\n"
    assert deadweight_container("good").container.id == service.container.id
    assert any("mode good" in line for line in service.logs())


def test_unknown(deadweight_container):
    with pytest.raises(Exception) as caught:
        deadweight_container("goood")
    assert (caught.value.code, caught.value.fields["near"]) == ("suite.misspelt", "good")


def test_sick(deadweight_container):
    with pytest.raises(Exception, match="not healthy within 0.5 s"):
        deadweight_container("sick")
"""
    )
    # in an interpreter of its own: pytest warns of what it would have rewritten and is there already
    assert "4 passed" in run_pytest(built_project, "-q", "-W", "error", python=("-X", "utf8"), code=0).stdout
    assert not [leftover for leftover in engine.leftovers() if leftover.labels[labels.PROJECT] == PROJECT]


@pytest.mark.slow
def test_an_interrupted_run_removes_its_container(built_project, engine):
    own = "def test_own(deadweight_container):\n    deadweight_container('good')\n    raise KeyboardInterrupt\n"
    (built_project / "test_own.py").write_text(own)
    run_pytest(built_project, "-q", code=2)
    assert not [leftover for leftover in engine.leftovers() if leftover.labels[labels.PROJECT] == PROJECT]


def test_the_plugin_costs_nothing_where_it_is_not_used(tmp_path):
    (tmp_path / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    ours = {name for name in sys.modules if name.split('.')[0] in ('deadweight', 'docker', 'pydantic', 'yaml')}\n"
        "    assert ours <= {'deadweight', 'deadweight.pytest_plugin'}\n"
    )
    run_pytest(tmp_path, "-q", python=("-X", "utf8"), code=0)  # where none of us is there already


@pytest.mark.slow
def test_a_run_holds_the_lock_to_its_end_and_lets_in_what_it_starts(built_project, engine):
    """An own test asks in the middle of the checks' run: the lock is the run's, a stranger waits, a child of the run does not."""
    (built_project / "test_own.py").write_text(
        "import os, subprocess, sys\n"
        "CODE = 'from pathlib import Path; from deadweight.records.runs import locked; '\n"
        "CODE += 'from deadweight.records.paths import State\\n' \\\n"
        '       \'with locked(State(Path.cwd()), print, ["good"], timeout=0): print("in")\'\n'
        "def ask(**environment):\n"
        "    return subprocess.run([sys.executable, '-c', CODE], env=os.environ | environment, capture_output=True, text=True)\n"
        "def test_child(): assert ask().stdout == 'in\\n'\n"
        "def test_stranger(): assert f'waiting for pytest -p no:cacheprovider (pid {os.getpid()},' in\\\n"
        "    ask(DEADWEIGHT_LOCKS_HELD='').stdout\n"
        "def test_container(deadweight_container): assert deadweight_container('good').get('/json').status == 200\n"
    )
    done = run_pytest(built_project, "--deadweight", "--variant", "good", "-k", "own or runs", code=0)
    assert "4 passed" in done.stdout
    assert not State(built_project).lock.with_suffix(".holder").exists()


@pytest.mark.slow
def test_a_run_waits_for_who_holds_the_lock_and_says_so(built_project, engine):
    state = State(built_project)
    stranger = {**os.environ, VARIABLE: ""}
    with locked(state, print, ["good"]):
        words = ("-p", "no:cacheprovider", "-q", "deadweight.yaml", "-k", "good and runs")
        request = forked.Request(words, str(built_project), stranger, module="pytest")
        process = Process(request, subprocess.DEVNULL, subprocess.DEVNULL, subprocess.PIPE)
        assert f"(pid {os.getpid()}, since" in process.stderr.readline()
        assert not state.evidence("good", "runs").exists()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert load(Evidence, state.evidence("good", "runs")).status == "pass"


@pytest.mark.slow
def test_the_workers_of_one_run_do_not_wait_for_each_other(built_project, engine):
    """Each has items of its own and none ends before all are done, so a lock per worker would never end."""
    arguments = ("deadweight.yaml", "-n", "2", "--dist", "loadgroup", "-k", "runs and not absent", "-v")
    done = run_pytest(built_project, *arguments)
    assert {"gw0", "gw1"} <= {line[1:4] for line in done.stdout.splitlines() if line.startswith("[gw")}, done.stdout
    assert "1 failed, 1 passed, 1 xfailed" in done.stdout


def test_who_cannot_write_the_state_folder_is_told(built_project):
    shutil.rmtree(built_project / ".deadweight")
    (built_project / ".deadweight").write_text("")
    done = run_pytest(built_project, "deadweight.yaml", code=4)
    assert wording("records.unwritable", path=built_project / ".deadweight" / "locks", problem="") in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
