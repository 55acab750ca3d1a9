"""Two invocations at once: the second waits, and says for whom."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deadweight._errors import DeadweightError
from deadweight.plan.lock import locked
from deadweight.records.paths import State

HOLD = (
    "import sys; from pathlib import Path\n"
    "from deadweight.plan.lock import locked; from deadweight.records.paths import State\n"
)


def test_the_second_waits_and_names_the_holder(tmp_path):
    code = HOLD + "with locked(State(Path(sys.argv[1])), print):\n    print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "held\n"
        said: list[str] = []
        with (
            pytest.raises(DeadweightError, match=f"pid {other.pid}"),
            locked(State(tmp_path), said.append, timeout=0.3),
        ):
            pass
        assert f"pid {other.pid}" in said[0]
        other.kill()  # as hard as it gets: the kernel frees the lock
        other.wait()
        with locked(State(tmp_path), said.append, timeout=5):
            pass
