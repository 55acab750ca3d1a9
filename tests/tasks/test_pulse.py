"""A sign of life: never silent for more than two seconds, on a terminal and in a pipe, and no line runs into it."""

from __future__ import annotations

import time

import pytest

from deadweight.tasks import _pulse
from deadweight.tasks._show import say


@pytest.mark.parametrize("terminal", [True, False])
def test_a_step_that_says_nothing_is_told_within_two_seconds(monkeypatch, capsys, terminal) -> None:
    monkeypatch.setattr(_pulse, "colour", lambda: terminal)
    with _pulse.pulse("scan"):
        time.sleep(1.4)
        say("one: done")
    told = capsys.readouterr().err
    if terminal:
        assert told == f"{_pulse.CLEAR}scan, 1 s{_pulse.CLEAR}one: done\n{_pulse.CLEAR}"
    else:
        assert told == "scan, 1 s so far\none: done\n"


def test_a_quick_step_leaves_no_trace(capsys) -> None:
    with _pulse.pulse("scan"):
        pass
    assert capsys.readouterr().err == ""
