"""What is under way when a proof's time is over is ended, and the proof goes on."""

from __future__ import annotations

import contextlib
import time

import pytest

from deadweight import _run, _signals
from deadweight._errors import DeadweightError, Interrupted
from deadweight_init.prove.proof import Bound, OutOfTime

SOON = 0.2 / 60


def test_a_program_that_runs_too_long_is_ended_and_others_run_afterwards():
    began = time.monotonic()
    with pytest.raises(OutOfTime, match=r"^not tried within .+ minutes$"), Bound(SOON).kept():
        _run.run(["sleep", "60"])
    assert time.monotonic() - began < 30
    assert _run.run(["echo", "on"]).output == "on\n"


def test_what_is_found_of_something_that_was_ended_does_not_count():
    with pytest.raises(OutOfTime), Bound(SOON).kept(), contextlib.suppress(Interrupted):
        _run.run(["sleep", "60"])  # a check takes such an error for its finding


def test_nothing_is_begun_when_the_time_is_over_but_for_the_grace():
    over = Bound(1e-9)
    time.sleep(0.001)
    with pytest.raises(OutOfTime, match=r"^not tried within 1e-09 minutes"), over.kept():
        pytest.fail("it was begun")
    with over.kept(60.0):
        assert over.over()


def test_without_a_bound_and_within_it_nothing_changes():
    for each in (Bound(0), Bound(10)):
        assert not each.over()
        with each.kept():
            assert _run.run(["echo", "on"]).output == "on\n"
        with pytest.raises(DeadweightError, match="its own error"), each.kept():
            raise DeadweightError("its own error")


def test_the_users_own_interrupt_stays_one(monkeypatch):
    def by_hand() -> None:
        time.sleep(0.5)  # longer than the bound
        raise Interrupted("by hand")

    monkeypatch.setattr(_signals, "received", lambda: 2)
    with pytest.raises(Interrupted, match="by hand"), Bound(SOON).kept():
        by_hand()
    assert not _run.cancelled()


def test_the_clock_stands_still_while_bases_are_made():
    bound = Bound(SOON)
    with bound.stopped():
        time.sleep(0.5)  # longer than the bound
    assert not bound.over()
    assert bound.left() > 0
