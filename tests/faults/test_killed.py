"""Killed, hung, raced: whatever ends a run, nothing is left running or half-written, and the next run is right."""

import json
import random
import signal
import time

import pytest

from deadweight._errors import wording
from deadweight.records.paths import State
from deadweight.records.runs import holder, locked
from deadweight.report.figures import when
from tests.support.trees import shell_script, written

pytestmark = pytest.mark.system

SCRIPT = "touch started; sleep 0.4; cp src/a.txt $OUT; sleep 0.4"


@pytest.mark.parametrize("moment", [None, *(pytest.param(number, marks=pytest.mark.slow) for number in range(4))])
def test_kill_9_of_the_task(project, moment):
    """While its tool works, and at random moments: another one each, the same in every run."""
    if moment is None:
        project.suite(v="touch started; exec sleep 300")
        process = project.begun()
    else:
        process = project.start("build")
        time.sleep(random.Random(f"moment {moment}").uniform(0.0, 1.6))
    process.kill()
    process.communicate()
    project.nothing_runs()


IGNORES = "sleep 300 & trap '' TERM INT; touch started; while :; do sleep 0.2; done"


@pytest.mark.parametrize(("number", "words", "script"), [
    (signal.SIGINT, "interrupted; ", SCRIPT), (signal.SIGTERM, "SIGTERM; ", SCRIPT), (signal.SIGHUP, "SIGHUP; ", SCRIPT),
    pytest.param(signal.SIGINT, "interrupted; ", IGNORES, marks=pytest.mark.slow, id="a tool that ignores it"),
])  # fmt: skip
def test_interrupted(project, number, words, script):
    project.suite(v=script)
    process = project.begun()
    process.send_signal(number)
    began = time.monotonic()
    done = project.finish(process)
    project.ended(done, 128 + number)
    assert ("error: " in done.errors, words in done.errors.splitlines()[-1]) == (False, True), done.errors
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_a_tool_that_hangs_is_ended_with_its_children(project):
    project.suite("timeout: '0.5'", v="sleep 300 & sleep 300")
    project.fails(1, wording("run.timed_out", seconds=0.5))


def is_told_of_the_image_before(project, how: str, error: str = "") -> None:
    """It is there and can be looked at, but nobody takes it for what was asked for, until the next build is right."""
    row = project.row()
    assert (row["state"], row["log"], row["config_digest"] is None) == ("failed", ".deadweight/logs/v.log", False)
    why = f"its last build {how}{error} ({when(row['failed_at'])}, log {row['log']})"
    assert f"v: {why}" in project.invoke("variants").errors
    assert f"run   v  ({wording('plan.last_build', how=how)})" in project.invoke("build", "--plan").output
    assert wording("project.older_image", variant="v", why=why, when=row["built_at"]) in project.invoke("verify").errors
    project.suite(v=SCRIPT)
    project.builds()
    assert project.row()["state"] == "built"


@pytest.mark.slow
def test_a_failed_build_leaves_the_image_before_it_and_says_so(project, engine):
    """``verify`` looks for an engine: one that it started itself would run on, and count as left behind."""
    project.builds()
    project.suite(v="echo half > $OUT; echo no more paper; exit 7")
    (project.root / "src" / "a.txt").write_text("b\n")
    project.fails(1, "no more paper")
    is_told_of_the_image_before(project, "failed", f": sh {wording('run.failed', code=7)}")


@pytest.mark.slow
def test_a_build_that_was_killed_is_not_taken_for_the_one_before(project, engine):
    """While the build goes on it is told who is at it, and afterwards that it did not end."""
    project.suite(v="touch started; while [ -e hold ]; do sleep 0.05; done; cp src/a.txt $OUT")
    project.builds()
    (project.root / "src" / "a.txt").write_text("b\n")
    (project.root / "started").unlink()
    (project.root / "hold").touch()
    process = project.begun()
    row = project.row()
    assert (row["state"], row["failed_at"]) == ("building", None)
    assert f"(pid {process.pid}, since" in project.invoke("variants").errors
    process.kill()
    process.communicate()
    (project.root / "hold").unlink()
    project.nothing_runs()
    with locked(State(project.root), print):  # somebody else works there now, but not at this
        assert project.row()["state"] == "failed"
    is_told_of_the_image_before(project, "did not end")


def test_the_others_are_built_when_one_tool_is_killed(project):
    project.suite(a="kill -9 $$", v="cp src/a.txt $OUT")
    done = project.fails(1, wording("project.not_built", failed=1, total=2, failures=""))
    assert ("SIGKILL" in done.errors, "a.log" in done.errors, project.out("v")) == (True, True, "a\n")


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_invocation_waits_for_the_first_and_builds_once(project, killed):
    project.suite(v="touch started; echo x >> count; until [ -e go ]; do sleep 0.05; done; cp src/a.txt $OUT")
    first = project.begun()
    second = project.start("build")
    line = second.stderr.readline()
    assert wording("records.waiting", holder=holder(State(project.root).lock), folder=project.state) in line
    assert f"(pid {first.pid}, since" in line
    if killed:
        first.kill()
    (project.root / "go").touch()
    assert project.finish(first).code == (-signal.SIGKILL if killed else 0)
    assert project.finish(second).code == 0
    assert killed or (project.root / "count").read_text() == "x\n"
    project.builds()


@pytest.mark.slow
@pytest.mark.parametrize(("script", "words"), [
    ("echo 0.0.1", "ko"), ("sleep 60", wording("run.timed_out", seconds=1)), ("kill -11 $$", "SIGSEGV"),
], ids=["wrong version", "hangs", "crashes"])  # fmt: skip
def test_a_tool_that_cannot_be_used_is_missing(project, tmp_path, script, words):
    tools = tmp_path / "tools"
    shell_script(tools / "ko", script)
    project.more = {"PATH": f"{tools}:/usr/bin:/bin", "DEADWEIGHT_PROBE_SECONDS": "1"}
    project.more["DEADWEIGHT_CACHE_DIR"] = str(tmp_path / "cache")
    project.suite("tools: ko", v=SCRIPT)
    done = project.fails(3, words)
    assert str(tools / "ko") in done.errors
    assert "hint: invoke setup" in done.errors


def test_the_holder_of_the_lock_wrote_nonsense(project):
    written(project.state, {"lock": b"\xff\x00", "lock.holder": json.dumps({"pid": "x", "since": []})})
