"""Attacks on resources have the machine for themselves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.checks.attacks import resource

HOLDER = """\
import pathlib, sys
from deadweight.checks.attacks import resource
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
