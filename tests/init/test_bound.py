"""What is under way when a proof's time is over is ended, and the proof goes on."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace

import pytest

from deadweight import _run, _signals
from deadweight._errors import DeadweightError, Interrupted
from deadweight_init.bound import Bound, OutOfTime
from deadweight_init.prove import together
from deadweight_init.records import Rung
from deadweight_init.reference import _begin

SOON = 0.2 / 60


def test_a_program_that_runs_too_long_is_ended_and_others_run_afterwards():
    began = time.monotonic()
    with pytest.raises(OutOfTime, match=r"^not finished within .+ minutes \(deadweight init --"), Bound(SOON).kept():
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


def test_what_may_go_on_is_not_ended():
    with Bound(SOON).kept(unless=lambda: True):
        _run.run(["sleep", "0.5"])  # longer than the bound


def test_side_by_side_are_those_of_one_builder_and_one_alone_where_time_is_short():
    rungs = [Rung(name, builder, "", {}) for name, builder in (("a", "dockerfile"), ("b", "ko"), ("c", "dockerfile"))]
    for most, names in ((2, "ac"), (1, "a")):
        some, rest = together(rungs, most)
        assert [each.name for each in some] == list(names)
        assert [each.name for each in rest] == [each.name for each in rungs if each.name not in names]


@pytest.mark.parametrize("there", [True, False])
def test_an_own_image_whose_base_cannot_be_had_takes_no_share_of_the_time(there):
    built = []
    own, made = Rung("today", "dockerfile", "", {}), Rung("debian", "dockerfile", "", {}, ("build/Dockerfile",))
    proof = SimpleNamespace(
        bound=Bound(10),
        draft=SimpleNamespace(service=SimpleNamespace(project=None)),
        can_be_had=lambda _: there,
        build=lambda *rungs: built.append(rungs),
        teller_of_failure=lambda _: bool,
    )
    _begin(proof, (own, made))
    assert built == ([(own, made)] if there else [])


@pytest.mark.parametrize(("language", "processors", "last"), [("rust", 2, True), ("rust", 4, False), ("go", 2, False)])
def test_what_compiles_for_minutes_is_built_alone_on_few_processors(monkeypatch, language, processors, last):
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    built = []
    own, made = Rung("today", "dockerfile", "", {}), Rung("debian", "dockerfile", "", {}, ("build/Dockerfile",))
    proof = SimpleNamespace(
        bound=Bound(10),
        draft=SimpleNamespace(service=SimpleNamespace(project=SimpleNamespace(language=language))),
        put_last=set(),
        say=lambda _: None,
        can_be_had=lambda _: True,
        build=lambda *rungs: built.append(rungs),
        teller_of_failure=lambda _: bool,
    )
    _begin(proof, (own, made))
    assert proof.put_last == ({"today"} if last else set())
    assert built == ([] if last else [(own, made)])
