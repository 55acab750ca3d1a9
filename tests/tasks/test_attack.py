"""``invoke attack`` as people call it: what this machine could not start or build is told."""

import json
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from deadweight.report.collect import collect
from deadweight_attacks import show as attack, summary, walls
from tests.support.attack_grounds import castle
from tests.support.codes import codes
from tests.support.invoking import invoke

pytestmark = pytest.mark.system
ADDS = "{name: adds, request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 1 }'}}}"
FEW = f"checks: {{attacks: {{packs: [http]}}, api: [{ADDS}]}}"
"""A suite's checks with the fewest attacks: what is tested here is how the task tells of them."""


def evidence(variant: str = "v", *, status: str = "pass", ok: bool = True, reason: str = "", **postures: dict):
    data = {"postures": postures} if postures else {}
    return SimpleNamespace(variant=variant, status=status, ok=ok, reason=reason, data=data)


def cells(**outcomes) -> dict:
    past = {"earlier": {"measured_at": "then"}}
    return {name: {"outcome": outcome, "depth": None, "evidence": past.get(name)} for name, outcome in outcomes.items()}


@pytest.mark.parametrize("columns", [40, 80])
def test_the_table_names_every_variant_in_full(capsys, columns):
    """Shortened to what fits, ``multi-stage-ubuntu`` and ``multi-stage-alpine`` were the same."""
    variants = [f"multi-stage-{name}" for name in ("ubuntu", "alpine", "distroless", "chainguard", "java")]
    results = [evidence(variant, open=cells(system="crashed", mount="blocked")) for variant in variants]
    attack.print_attacks(results, Console(width=columns, highlight=False))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["attacks", "stopped", "open"], *([variant, "1/2"] for variant in variants)]


def test_only_what_was_tried_now_is_shown():
    postures = {"open": cells(system="blocked", earlier="blocked"), "privileged": cells(earlier="blocked")}
    assert summary.tried_now([evidence(**postures), evidence()]) == ["open"]


def blocked(*walls: str) -> dict:
    return {"outcome": "blocked", "walls": list(walls), "depth": max(1, len(walls)), "evidence": None}


def test_of_one_variant_the_walls_are_named(capsys):
    postures = {
        "open": cells(system="succeeded", mount="succeeded"),
        "default": {"system": blocked("image"), "mount": blocked("capabilities", "seccomp", "non-root")},
        "hardened": {"system": blocked(), "mount": cells(mount="not_measured")["mount"]},
    }
    results = [evidence("apko", **postures)]
    attack.print_attacks(results, Console(width=80, highlight=False))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: re.split(r"\s{2,}", line.strip()) for line in lines}
    assert rows["system"] == ["system", "THROUGH", "image", "walls together"]
    assert rows["mount"] == ["mount", "THROUGH", "capabilities, seccomp +1", "-"]
    assert summary.total(results) == "attacks stopped: open 0 of 2, default 2 of 2, hardened 1 of 1"
    postures["hardened"]["token"] = {"outcome": "blocked", "handed_in": True}
    assert summary.total([*results, evidence("ko")]) == "attacks stopped: open 0 of 2, default 2 of 2, hardened 1 of 1"


@pytest.mark.parametrize(("second", "code"), [("not_applicable", "gate.no_hole"), ("not_measured", "gate.nothing")])
def test_a_service_without_a_hole_is_not_said_to_be_unmeasured(second, code):
    postures = {posture: cells(a="not_applicable", b=second) for posture in ("open", "hardened")}
    assert codes(summary.total([evidence(**postures)])) == [code]


def test_where_a_hole_is_is_told_where_the_attack_came_through():
    opened = {
        "http-command": {"outcome": "succeeded", "evidence": {"at": "GET /ping query host: ; id"}},
        "breach-shell": {"outcome": "succeeded", "evidence": {"proof": "a word"}},
        "http-ssrf": {"outcome": "not_applicable", "evidence": None},
    }
    assert summary.holes(evidence(open=opened)) == ["http-command: GET /ping query host: ; id"]
    assert summary.holes(evidence()) == []


def test_what_was_not_measured_or_broke_a_gate_is_said_first():
    """A table of a hundred rows before it hid that nothing in it was measured."""
    summary = "open: 3 not measured; default: 3 not measured"
    nothing = f"nothing was measured in open, default: {'no route, ' * 40}. {summary}"
    holed = f"write-root succeeded in hardened. {summary}"
    results = [
        evidence("fine", reason=summary),
        *(evidence(name, status="not_measured", reason=nothing) for name in ("a", "b")),
        evidence("holed", status="fail", ok=False, reason=holed),
        evidence("meant", status="fail", reason=holed),
    ]
    first, second = attack.amiss(results)
    assert first.startswith(f"a, b: not measured: {nothing[:60]}")
    assert first.endswith("…")
    assert len(first) < 200
    assert second == "holed: fail: write-root succeeded in hardened"


@pytest.mark.slow
@pytest.mark.usefixtures("playground_image")
def test_one_not_built_stops_no_attack_and_notes_are_told(tmp_path, engine, playground_archive, local_source):
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    subject = castle(tmp_path, engine, playground_archive, f"{FEW}\n  keep:\n    builder: ko", awk=False)
    done = invoke(tmp_path, "attack", "--posture", "privileged", "--json", env={"DOCKER_HOST": engine.host})
    assert done.returncode == 3, done.stderr
    assert [row["variant"] for row in json.loads(done.stdout)["evidence"]] == ["castle"]
    error, hint = done.stderr.splitlines()[-2:]  # privileged cannot be started everywhere; then that is told as well
    assert (error.startswith("error: "), ": keep" in error, hint.endswith("invoke build")) == (True,) * 3
    notes = collect(subject.suite, subject.state).variants["castle"].attack_notes
    assert list(notes[: len(walls.absent(engine.info))]) == list(walls.absent(engine.info).values())
    assert [note for note in notes if f"note: castle: {note}" not in done.stderr] == []
