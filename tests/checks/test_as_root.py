"""Attacks by a user who is not root but has sudo: a process of root's does them, and ends when we do; and without sudo."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from deadweight import _run, _sudo as sudo
from deadweight._errors import CommandError, Interrupted, MissingError
from deadweight.checks import as_root
from deadweight.engine import labels
from deadweight.toolchain import golang
from deadweight_attacks import check, host
from tests.support.attack_grounds import castle
from tests.support.fault_project import wait_for
from tests.support.trees import shell_script

pytestmark = [
    pytest.mark.usefixtures("engine", "playground_image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="stands in for sudo, so it must be root"),
]


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Path:
    """As if we were not root: sudo notes what it is asked, forgets our variables and keeps our signals away as the real one does,
    and obeys."""
    note = tmp_path / "asked"
    shell_script(tmp_path / "bin" / "sudo", f'echo "$*" >>{note}\nshift\nexec setsid -w env -i PATH="$PATH" "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    return note


GATES = "checks: {attacks: {gates: [{posture: hardened, blocked: [write-root]}]}}"


@pytest.fixture
def subject(request, tmp_path, engine, playground_archive, local_source):
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    return castle(tmp_path / "project", engine, playground_archive, getattr(request, "param", GATES))


def _outcomes(evidence) -> dict[str, dict[str, tuple[str, tuple[str, ...]]]]:
    return {
        posture: {name: (cell["outcome"], tuple(cell["walls"])) for name, cell in cells.items()}
        for posture, cells in evidence.data["postures"].items()
    }


@pytest.mark.slow
def test_the_evidence_is_that_of_root(subject, asked, engine, monkeypatch):
    before = set(_ours(engine))
    lines: list[str] = []
    evidence = check.attack(subject, brief=True, say=lines.append)
    assert set(_ours(engine)) <= before
    assert asked.read_text().splitlines()[-1].startswith("-n ")
    assert "-I -B -m deadweight.checks.as_root deadweight_attacks.check" in asked.read_text()
    monkeypatch.setattr(sudo, "is_root", lambda: True)
    assert _outcomes(evidence) == _outcomes(check.attack(subject, brief=True))
    # it worked with the shell that was got here
    assert (evidence.status, _outcomes(evidence)["open"]["system"][0]) == ("pass", "blocked")
    assert any(line.startswith("castle: ") for line in lines)


def test_what_is_wrong_is_told_as_by_root(subject, asked):
    """The same error, not that a command of ours failed."""
    with pytest.raises(MissingError, match="no/such:image"):
        check.attack(dataclasses.replace(subject, engine_image=lambda: "no/such:image"), brief=True)


def test_what_ends_without_a_word_is_told_with_its_last_lines(subject, asked, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CommandError) as caught:
        check.attack(subject, brief=True)
    assert (Path(caught.value.argv[0]).name, caught.value.exit_code_of_command) == ("sudo", 1)


@pytest.mark.slow
def test_it_ends_and_leaves_nothing_when_we_are_interrupted(request, subject, asked, engine, cancelling):
    """As in the background of a script: Ctrl-C is ignored, by us and by all that we start."""
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, usual))
    before, begun = set(_ours(engine)), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        attack = pool.submit(check.attack, subject, brief=True, say=lambda _line: begun.set())
        assert begun.wait(60)
        _run.cancel_all()
        assert type(attack.exception(60)) is Interrupted
    wait_for(lambda: set(_ours(engine)) <= before)


def test_ctrl_c_withdraws_the_order_before_it_waits_for_the_end(subject, monkeypatch):
    """In the main thread, where it is an exception: no signal of ours reaches sudo, so it would end in its own time."""
    withdrawn: list[bool] = []

    def run(argv, **_given):
        time.sleep(0.5)  # until it is waited for
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: not Path(argv[-1], as_root.ORDER).exists(), 10)
        withdrawn.append(True)

    monkeypatch.setattr(sudo, "run", run)
    with pytest.raises(KeyboardInterrupt):
        as_root.call(check.AS_ROOT, check.Order("", "", "", "", (), True), subject, print)
    assert withdrawn == [True]


def _ours(engine) -> list[str]:
    """Containers and networks of attacks and searches of this test run whose owner is no live process any more."""
    return [
        leftover.name
        for leftover in engine.leftovers()
        if leftover.labels[labels.PURPOSE] == host.PURPOSE
        and leftover.labels[labels.PROJECT] == engine.project
        and not Path("/proc", leftover.labels[labels.OWNER].partition(":")[0]).exists()
    ]


def test_it_ends_with_a_caller_that_nobody_waits_for(tmp_path, monkeypatch):
    """A killed process stays in the list of processes until its parent asks for it."""
    (tmp_path / "order").touch()
    kill = Mock()
    monkeypatch.setattr(as_root, "os", SimpleNamespace(getpid=os.getpid, kill=kill))
    with subprocess.Popen(["sleep", "60"]) as caller:
        marks = {labels.OWNER: f"{caller.pid}:{labels._started(caller.pid)}", labels.HOST: labels.host_id()}
        waiting = threading.Thread(target=as_root._end_with, args=(tmp_path / "order", marks), daemon=True)
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
        caller.kill()
        waiting.join(10)
        kill.assert_called_once_with(os.getpid(), signal.SIGINT)
        assert Path(f"/proc/{caller.pid}").exists(), "a zombie"


def test_the_order_is_withdrawn_when_its_time_is_over(tmp_path):
    order = tmp_path / "order"
    order.touch()
    with as_root._withdrawn(order, 0.1):
        wait_for(lambda: not order.exists(), 10)


@pytest.mark.slow
def test_without_sudo_and_without_go_it_is_told_what_attacks_need(subject, tmp_path, monkeypatch):
    """Who is not root attacks through the engine, with a program that Go makes."""

    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(golang, "built", Mock(side_effect=MissingError("go is not here", hint="invoke setup")))
    evidence = check.attack(subject, brief=True)
    assert (evidence.status, "go is not here" in evidence.reason) == ("not_measured", True)


def test_no_root_is_borrowed_for_an_engine_without_root(subject, monkeypatch):
    """It opens nothing there that its user could not."""
    engine = subject.engine()
    monkeypatch.setattr(sudo, "silent", lambda: True)
    assert as_root.possible(subject)
    monkeypatch.setitem(engine.__dict__, "info", dataclasses.replace(engine.info, rootless=True))
    assert not as_root.possible(subject)
