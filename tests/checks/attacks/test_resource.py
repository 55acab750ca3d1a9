"""Attacks on resources have the machine for themselves, and tell what they saw."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.checks.attacks import deliver, resource
from deadweight.checks.attacks.load import load_payloads
from deadweight.engine.faults import Ended

pytestmark = pytest.mark.system

HOLDER = """\
import pathlib, sys
from deadweight.checks.attacks import deliver, resource
from deadweight.checks.attacks.load import load_payloads
resource.ALONE = pathlib.Path(sys.argv[1])
with resource.alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A process that has the machine, until its input ends: through sudo, each variant is attacked by one of its own."""
    monkeypatch.setattr(resource, "ALONE", tmp_path / "lock")
    argv = [sys.executable, "-c", HOLDER, resource.ALONE]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def test_they_run_one_at_a_time_whoever_sends_them(other):
    threading.Timer(1.5, other.stdin.close).start()
    started = time.monotonic()
    with resource.alone():
        assert time.monotonic() - started > 1


def test_who_waits_for_the_machine_can_be_interrupted(other):
    _run.cancel_all()
    try:
        with pytest.raises(Interrupted), resource.alone():
            pass
    finally:
        _run.reset_cancel()
        other.stdin.close()


def test_a_service_that_died_before_anything_was_counted_has_no_peak_of_0():
    container = SimpleNamespace(state=lambda: SimpleNamespace(told=lambda: "ended with exit code 2"))
    assert resource._crashed(container, 0.0, 64.0).detail == {"granted": 64.0}
    assert resource._crashed(container, 61.0, 64.0).detail == {"peak": 61.0, "granted": 64.0}


def test_the_folders_that_were_tried_are_told_by_name(monkeypatch):
    disk = next(each for each in load_payloads().payloads if each.id == "fill-disk")
    monkeypatch.setattr(deliver, "_once", lambda *_: deliver.Shot("failed", "refused", status=200))
    shot = deliver.fire(SimpleNamespace(app_folder="/opt/app", worked={}), SimpleNamespace(), disk)
    assert "; /opt/app: refused; /: refused" in shot.said


def test_a_service_that_ends_while_it_is_asked_is_not_exchanged_for_another():
    """The yard put a new container in its place, and the counters of the one that was attacked were gone: not measured."""

    def ended(_limit: float) -> str:
        raise Ended("container 1 does not run")

    container = SimpleNamespace(question=lambda *_: ended)
    lab = SimpleNamespace(variant=SimpleNamespace(health=None, port=8080))
    assert resource._answer_seconds(container, lab, 3.0) == 3.0
