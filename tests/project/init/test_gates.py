"""The gates of a fresh suite are as tight as what was measured allows."""

from __future__ import annotations

import pytest
import yaml

from deadweight.image.look.base_image import BaseImage
from deadweight.project.init.gates import and_attacks, by_owner, measured
from deadweight.records.evidence import Evidence, Provenance
from tests.support.small_project import write_suite

SECRET = {"owner": "mine", "confidence": "high", "allowed": None}
BASE = {**SECRET, "owner": "gcr.io/x"}
LOW, ALLOWED = {**SECRET, "confidence": "low"}, {**SECRET, "allowed": "x"}


def layers(secrets=(), skipped=(), hidden=(), failed=("secrets",)) -> Evidence:
    gates = [{"name": name, "held": name not in failed, "reason": "7"} for name in ("secrets", "unread")]
    data = {"secrets": list(secrets), "skipped": list(skipped), "hidden": list(hidden), "gates": gates}
    provenance = Provenance(image_digest="", tool="", tool_version="", at="")
    return Evidence("v", "layers", "fail", "secrets: 7 secrets", provenance, data=data)


def test_a_size_becomes_a_budget_above_it():
    assert measured(20_000_000, None, killed=False).value == "{budget: {size_bytes: {soft: 22.0MB, hard: 30.0MB}}}"
    assert "runs: {if_killed: warn}" in measured(1, None, killed=True).value


def test_attacks_that_take_long_are_one_variants_own():
    checks = yaml.safe_load(and_attacks(measured(1, None, killed=True), "docs/open api.json").value)
    assert checks["attacks"] == {"openapi": "docs/open api.json"}
    assert checks["runs"] == {"if_killed": "warn"}


@pytest.mark.parametrize(
    ("found", "gate"),
    [
        (layers([SECRET, BASE]), "layers: {secrets: allow}"),
        (
            layers([BASE, {**SECRET, "confidence": "low"}, {**SECRET, "allowed": "x"}]),
            "layers: {secrets: {mine: none, base: allow}}",
        ),
        (layers([BASE], hidden=[{"owner": "mine", "secrets": [{}]}]), "layers: {secrets: allow}"),
        (
            layers(skipped=[{"owner": "base", "unread": True}, {"owner": "mine", "unread": False}], failed=("unread",)),
            "layers: {unread: {mine: none, base: allow, reason: seen when the suite was written}}",
        ),
    ],
)
def test_what_is_found_in_the_base_does_not_open_the_gate_for_mine(found, gate, tmp_path):
    made = measured(1, found, killed=False)
    assert gate in made.value
    assert made.origin.endswith("secrets: 7 secrets: look at them (invoke layers), then write none")
    write_suite(tmp_path, f"name: x\nvariants:\n  v: {{builder: ko, base: alpine, checks: {made.value}}}\n")


def test_what_the_base_brought_is_told_as_the_bases():
    found = layers(
        [{**SECRET, "layer": "sha256:b"}], [{"unread": True, "layer": "sha256:b"}], failed=("secrets", "unread")
    )
    told = by_owner(found, BaseImage(frozenset(("sha256:b",))))
    assert "secrets: {mine: none, base: allow}" in measured(1, told, killed=False).value
    assert "unread: {mine: none, base: allow" in measured(1, told, killed=False).value
    mine = by_owner(found, BaseImage(frozenset(("sha256:c",))))
    assert "secrets: allow" in measured(1, mine, killed=False).value
