"""The gates of a fresh suite are as tight as what was measured allows."""

from dataclasses import replace
from datetime import date

import pytest

from deadweight.records.evidence import Evidence, Provenance
from deadweight_images.findings import MAX_FINDINGS, BaseImage
from deadweight_init.languages.common import flow
from deadweight_init.prove.gates import MOST_NAMED, accepted_findings, by_owner, measured_gates as measured_data
from deadweight_init.records import wording
from tests.support.codes import parts
from tests.support.small_project import write_suite

SECRET = {"owner": "mine", "confidence": "high", "allowed": None}
BASE = {**SECRET, "owner": "gcr.io/x"}
LOW, ALLOWED = {**SECRET, "confidence": "low"}, {**SECRET, "allowed": "x"}


def measured(*words, **more):
    """What is measured, as it is written."""
    known = measured_data(*words, **more)
    return replace(known, value=flow(known.value))


def layers(secrets=(), skipped=(), hidden=(), failed=("secrets",)) -> Evidence:
    gates = [{"name": name, "held": name not in failed, "reason": "7"} for name in ("secrets", "unread")]
    data = {"secrets": list(secrets), "skipped": list(skipped), "hidden": list(hidden), "gates": gates}
    provenance = Provenance(image_digest="", tool="", tool_version="", at="")
    return Evidence("v", "layers", "fail", "secrets: 7 secrets", provenance, data=data)


def test_a_size_becomes_a_budget_above_it():
    assert measured(20_000_000, None, killed=False).value == '{budget: {size_bytes: {soft: "22.0MB", hard: "30.0MB"}}}'
    assert measured(116_000, None, killed=False).value == '{budget: {size_bytes: {soft: "128kB", hard: "174kB"}}}'
    assert "runs: {if_killed: warn}" in measured(1, None, killed=True).value


@pytest.mark.parametrize(("evidence", "gate"), [
    (layers([SECRET, BASE]), "layers: {secrets: allow}"),
    (layers([BASE, LOW, ALLOWED]), "layers: {secrets: {mine: none, base: allow}}"),
    (layers([BASE], hidden=[{"owner": "mine", "secrets": [{}]}]), "layers: {secrets: allow}"),
    (
        layers(skipped=[{"owner": "base", "unread": True}, {"owner": "mine", "unread": False}], failed=("unread",)),
        f'layers: {{unread: {{mine: none, base: allow, reason: "{wording("gates.when_written")}"}}}}',
    ),
])  # fmt: skip
def test_what_is_found_in_the_base_does_not_open_the_gate_for_mine(evidence, gate, tmp_path):
    made = measured(1, evidence, killed=False)
    assert gate in made.value
    only_base = "base: allow" in gate and "unread" not in gate
    findings = [parts(finding) for finding in accepted_findings(evidence, killed=False)]
    assert findings == [("gates.of_base" if only_base else "gates.unnamed", {"found": "secrets: 7 secrets"})]
    write_suite(tmp_path, f"name: x\nvariants:\n  v: {{builder: ko, base: alpine, checks: {made.value}}}\n")


MARKED = [
    {**SECRET, "fingerprint": "a" * 32, "path": "/srv/app.conf"},
    {**SECRET, "fingerprint": "a" * 32, "path": "/srv/copy.conf"},
    {**SECRET, "fingerprint": "1" * 32, "where": "config.Env[0]", "path": None},
]


@pytest.mark.parametrize("base", [(), (BASE,)])
def test_mine_are_accepted_one_by_one(base, tmp_path):
    mark = {"fingerprint": "2" * 32, "confidence": "high"}
    hidden = [{"owner": "mine", "path": '/srv/"old".conf', "secrets": [mark]}]
    evidence = layers([*MARKED, LOW, ALLOWED, *base], hidden=hidden)
    made = measured(1, evidence, killed=False)
    assert [parts(finding)[0] for finding in accepted_findings(evidence, killed=False)] == ["gates.named"]
    yaml = f"name: x\nvariants:\n  v:\n    builder: ko\n    base: alpine\n    checks: {made.value}\n"
    check = write_suite(tmp_path, yaml).variants[0].checks.layers
    named = {entry.fingerprint: entry.reason for entry in check.allow}
    places = {"a" * 32: "/srv/app.conf", "1" * 32: "config.Env[0]", "2" * 32: '/srv/"old".conf'}
    assert named == {mark: wording("gates.seen_in", place=place) for mark, place in places.items()}
    assert all(entry.expires > date.today().isoformat() for entry in check.allow)  # noqa: DTZ011
    assert (check.secrets.mine, check.secrets.base) == ("none", "allow" if base else "none")


def test_a_list_that_nobody_reads_is_no_list():
    many = [{**SECRET, "fingerprint": f"{number:032x}", "path": "/a"} for number in range(MOST_NAMED + 1)]
    assert "layers: {allow: " in measured(1, layers(many[1:]), killed=False).value
    for more in (many, MARKED[:1] * MAX_FINDINGS):  # there may be others
        assert "layers: {secrets: allow}" in measured(1, layers(more), killed=False).value


def test_what_the_base_brought_is_told_as_the_bases():
    place, failed = {"layer": "sha256:b"}, ("secrets", "unread")
    evidence = layers([{**SECRET, **place}], [{"unread": True, **place}], failed=failed)

    def gates(layer: str) -> str:
        return measured(1, by_owner(evidence, BaseImage(frozenset((layer,)))), killed=False).value

    assert [f"{name}: {{mine: none, base: allow" in gates("sha256:b") for name in failed] == [True, True]
    assert "secrets: allow" in gates("sha256:c")
