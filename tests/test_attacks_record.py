"""What a run keeps of an earlier, longer one, and from when that is."""

from __future__ import annotations

from typing import Any

from deadweight.checks.attacks.record import TOGETHER, completed

FIRST, SECOND = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def cell(outcome: str = "blocked", **changes: Any) -> dict[str, Any]:
    return {"outcome": outcome, "walls": [], "depth": None, "reason": "refused", "evidence": {"said": "no"}, **changes}


def run(**postures: dict[str, Any]) -> dict[str, Any]:
    return {"payloads": {"mount": {}}, "postures": {name: {"mount": one} for name, one in postures.items()}}


def long() -> dict[str, Any]:
    """As of a run that put up each wall alone, and took each away."""
    walls = {"alone": {"read-only": "blocked"}, "without": {"read-only": "succeeded"}, "single_points": ["read-only"]}
    return cell(walls=["read-only"], depth=1, evidence={"said": "no", **walls})


def test_what_was_not_tried_again_is_kept_with_its_time():
    found = completed(run(hardened=cell()), run(hardened=long(), default=cell("succeeded")), FIRST)["postures"]
    assert found["default"]["mount"]["evidence"] == {"measured_at": FIRST, "said": "no"}
    assert (found["hardened"]["mount"]["walls"], found["hardened"]["mount"]["depth"]) == (["read-only"], 1)
    assert found["hardened"]["mount"]["evidence"]["walls_measured_at"] == FIRST


def test_the_time_stays_that_of_the_measurement_however_often_it_is_kept():
    once = completed(run(hardened=cell()), run(hardened=long(), default=cell()), FIRST)
    twice = completed(run(hardened=cell()), once, SECOND)["postures"]
    assert twice["hardened"]["mount"]["evidence"]["walls_measured_at"] == FIRST
    assert twice["default"]["mount"]["evidence"]["measured_at"] == FIRST


def test_walls_that_were_tried_now_are_not_replaced():
    """An earlier run may have taken away walls too, which this one did not."""
    now = cell(walls=["non-root"], depth=1, evidence={"said": "no", "alone": {"non-root": "blocked"}})
    found = completed(run(hardened=now), run(hardened=long()), FIRST)["postures"]["hardened"]["mount"]
    assert (found["walls"], found["depth"]) == (["non-root"], 1)
    assert found["evidence"]["alone"] == {"non-root": "blocked"}
    assert found["evidence"]["single_points"] == ["read-only"]


def test_an_outcome_that_changed_keeps_nothing():
    found = completed(run(hardened=cell("succeeded")), run(hardened=long()), FIRST)["postures"]["hardened"]["mount"]
    assert found == cell("succeeded")


def test_that_walls_stop_it_only_together_is_still_said():
    earlier = cell(depth=1, reason=f"{TOGETHER}refused", evidence={"alone": {"read-only": "succeeded"}})
    once = completed(run(hardened=cell()), run(hardened=earlier), FIRST)
    twice = completed(run(hardened=cell()), once, SECOND)
    for found in (once, twice):
        assert found["postures"]["hardened"]["mount"]["reason"] == f"{TOGETHER}refused"
