"""What a run keeps of an earlier, longer one, and from when that is."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight.engine.info import parse_info
from deadweight.suite.checks import AttacksCheck
from deadweight.suite.model import Variant
from deadweight_attacks import run as attacking
from deadweight_attacks.load import load_payloads
from deadweight_attacks.outcomes import TOGETHER, Cell, Matrix, completed, data

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


@pytest.mark.parametrize(
    "change", [{"apparmor": True}, {"seccomp": False}, {"kernel": "6.9"}, {"version": "29"}, {"cpus": 1}, {}]
)
def test_what_another_machine_found_is_not_kept(tmp_path, change):
    """Evidence may come from a cache; with AppArmor switched on, or another kernel, it would be another's."""

    def digest(**changes: Any) -> str:
        info = dataclasses.replace(parse_info({}, {"NCPU": 2, "SecurityOptions": ["name=seccomp"]}), **changes)
        subject = SimpleNamespace(
            variant=Variant(name="castle", builder="ko", port=8080),
            engine=lambda: SimpleNamespace(info=info),
            suite=SimpleNamespace(root=tmp_path),
            built=SimpleNamespace(config_digest="sha256:1"),
        )
        return attacking._measured_with(subject, AttacksCheck())

    assert (digest() == digest(**change)) is (change == {})


@pytest.mark.parametrize(
    ("limits", "depth", "together"),
    [("succeeded", 1, True), ("crashed", None, False), ("not_measured", None, False), ("blocked", 1, False)],
)
def test_that_no_wall_stops_it_alone_is_only_said_where_all_let_it_through(limits, depth, together):
    """Under one wall alone the service may have died, which is neither."""
    held = Matrix(
        cells={"hardened": {"fork-bomb": Cell("blocked", "held")}},
        alone={"fork-bomb": {"image": "succeeded", "non-root": "succeeded", "limits": limits}},
    )
    engine = SimpleNamespace(seccomp=True, apparmor=True, user_namespaces=True, rootless=False)
    found = data(held, load_payloads(), "", engine)["postures"]["hardened"]["fork-bomb"]
    assert (found["depth"], found["walls"]) == (depth, ["limits"] if limits == "blocked" else [])
    assert found["reason"].startswith(TOGETHER) is together
