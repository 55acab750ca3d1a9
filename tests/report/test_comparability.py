"""What is compared is comparable: one denominator for attacks, ranges for start-up, like with like for builds."""

import re
from dataclasses import replace

import pytest

from deadweight.report import attacks, charts, figures
from deadweight.report.attacks import with_splits
from deadweight.report.compare import compare
from deadweight.report.html import render_html
from deadweight.report.model import (
    AttackRecord,
    BuildRecord,
    CheckRecord,
    Coverage,
    Outcome,
    Reachability,
    Report,
    VariantRecord,
    VulnerabilitiesRecord,
)
from deadweight.report.table import ladders, startup_differs
from deadweight.report.verdict import View, verdict
from deadweight.suite.model import ReportThresholds
from tests.support import report_samples as samples
from tests.support.report_samples import everywhere


def cell(outcome: Outcome, *walls: str) -> AttackRecord:
    return AttackRecord(outcome, walls)


SHELL = AttackRecord("blocked", by_user=True)  # what the image lacks is known by the posture open
BY_ENGINE = cell("blocked", "seccomp", "non-root")
TOGETHER = cell("blocked")
TOKEN = AttackRecord(
    "blocked", handed_in=True
)  # whether or not its walls were tried one by one, as ``verify`` does not
THROUGH = cell("succeeded")


def attacked(default: dict[str, AttackRecord], hardened: dict[str, AttackRecord] | None = None) -> VariantRecord:
    return samples.variant(ladder="go", attacks={"default": default, **({"hardened": hardened} if hardened else {})})


def two() -> Report:
    """The second is measured for more, as apko was, which was called 48 of 70 beside 43 of 62."""
    plain = {
        "shell": THROUGH,
        "mount": BY_ENGINE,
        "token": TOKEN,
        "connect": THROUGH,
        "read": THROUGH,
        "fork": TOGETHER,
    }
    hard = {**dict.fromkeys(plain, BY_ENGINE), "read": THROUGH, "token": TOKEN}
    more = {"more": SHELL, "others": SHELL, "unknown": cell("not_measured")}
    small = {**plain, "shell": SHELL, **more}
    return samples.report({"shelled": attacked(plain, hard), "small": attacked(small, hard)})


def cells_of(report: Report, key: str, part: str = "text") -> dict[str, str]:
    (ladder,) = ladders(report)
    index = [column.key for column in ladder.columns].index(key)
    return {row.variant: getattr(row.cells[index], part) for row in ladder.rows}


def test_variants_are_compared_on_the_attacks_that_were_measured_for_all_of_them() -> None:
    assert cells_of(two(), "attacks") == {"shelled": "2/5", "small": "3/5"}
    assert cells_of(two(), "attacks", "badge") == {
        "shelled": "0 + 2 (+ 2)",
        "small": "1 + 2 (+ 1)",
    }


def test_the_report_holds_the_split_and_what_was_never_handed_in_is_apart() -> None:
    found = with_splits(two().variants)["small"].attack_split
    assert (found.of, found.by_engine, found.by_image, found.by_hardening, found.got_through) == (5, 2, 1, 1, 1)
    assert (found.unknown, found.not_handed_in, found.stopped) == (0, 1, 3)
    assert with_splits({"a": samples.variant()})["a"].attack_split is None


def test_what_fails_without_any_protection_is_stopped_by_the_image() -> None:
    alone = cell("blocked")
    found = samples.report(
        {"a": samples.variant(attacks={"open": {"x": alone, "y": THROUGH}, "default": {"x": alone, "y": alone}})}
    )
    split = with_splits(found.variants)["a"].attack_split
    assert (split.by_image, split.by_engine) == (1, 1)


def test_what_was_not_tried_hardened_is_not_said_to_get_through() -> None:
    found = with_splits({"a": attacked({"x": THROUGH, "y": BY_ENGINE})})["a"].attack_split
    assert (found.of, found.unknown, found.got_through) == (2, 1, 0)


def test_ladders_have_denominators_of_their_own() -> None:
    java = {"jib": replace(attacked({"shell": THROUGH, "mount": BY_ENGINE}), ladder="java")}
    found = with_splits({**two().variants, **java})
    assert [each.attack_split and each.attack_split.of for each in found.values()] == [5, 5, 2]


def test_all_forms_and_the_sums_of_the_matrix_count_alike() -> None:
    for text in everywhere(two()):
        assert "3/5" in text
        assert "6/8" not in text
    assert [str(each["default"]) for each in attacks.sums(two(), ["default"]).values()] == ["2/5", "3/5"]


# start-up


def started(*samples_of: float, **changes: object) -> VariantRecord:
    median = sorted(samples_of)[len(samples_of) // 2]
    return samples.variant(ladder="go", startup_seconds=median, startup_samples=samples_of, **changes)


FAST, ALIKE, SLOW = (
    started(0.2, 0.21, 0.22, 0.3, 0.41),
    started(0.4, 0.5, 0.55, 0.6, 0.7),
    started(1, 1.1, 1.2, 1.3, 2.0),
)


def test_ranges_that_overlap_are_no_difference() -> None:
    assert startup_differs(FAST, ALIKE) is False
    assert startup_differs(FAST, SLOW) is True
    assert startup_differs(FAST, started(9.0)) is None


def test_starts_in_a_run_or_an_engine_of_their_own_are_not_compared() -> None:
    """As where `verify` uses several engines, each of which starts its variants five times in a row."""
    apart = replace(SLOW, startup_alone=True)
    assert startup_differs(FAST, apart) is None
    report = samples.report({"a": FAST, "b": apart})
    assert cells_of(report, "startup", "badge")["b"] == "1.00 to 2.00; not compared"
    assert not any("start" in note for note in View(report).figure_notes)


def test_start_up_is_told_with_its_range() -> None:
    report = samples.report({"a": FAST, "b": ALIKE, "c": started(9.0)})
    assert cells_of(report, "startup") == {"a": "0.22 s", "b": "0.55 s", "c": "9 s"}
    assert cells_of(report, "startup", "badge") == {"a": "0.20 to 0.41", "b": "0.40 to 0.70", "c": "one start"}
    assert any("no difference" in note for note in View(report).figure_notes)
    different = samples.report({"a": FAST, "b": ALIKE, "c": SLOW})
    assert any("c starts later than a" in note for note in View(different).figure_notes)
    for text in everywhere(report):
        assert "no difference" in text


@pytest.mark.parametrize(("after", "changes"), [((0.8, 0.9, 0.95, 1.0, 1.1), 1), ((0.3, 0.9, 0.95, 1.0, 1.1), 0)])
def test_a_slower_start_is_a_change_only_beyond_the_range_of_the_earlier_ones(after, changes) -> None:
    limits = ReportThresholds(noise_seconds=0.1, noise_startup_percent=10, ratchet_startup_percent=10)
    found = compare(samples.report({"a": FAST}), samples.report({"a": started(*after)}), limits)
    assert [change.kind for change in found.changes] == ["startup"] * changes
    assert len(found.regressions) == changes


# builds


def built(seconds: float, cache: str, *, alone: bool | None) -> VariantRecord:
    return samples.variant(build=BuildRecord(seconds, False, samples.WHEN, "t 1", cache=cache, alone=alone))


def test_only_builds_from_nothing_with_the_machine_to_themselves_are_compared() -> None:
    """66.1 s (warm), 0.54 s (warm) and 61.7 s (cold, beside another) measured the order of builds."""
    kinds = {
        "cold": built(60, "cold", alone=True), "other": built(50, "cold", alone=True), "warm": built(66, "warm", alone=True),
        "beside": built(61, "cold", alone=False), "old": built(61, "cold", alone=None),
    }  # fmt: skip
    report = samples.report(kinds)
    (ladder,) = ladders(report)
    index = [column.key for column in ladder.columns].index("build")
    found = {row.variant: (row.cells[index].badge, row.cells[index].sort) for row in ladder.rows}
    assert found == {
        "cold": ("cold", 60), "other": ("cold", 50), "warm": ("warm", None), "beside": ("cold, beside others", None),
        "old": ("cold", None),
    }  # fmt: skip
    drawn = charts.build_chart(report)
    assert drawn is not None
    assert [name for name in kinds if f">{name}<" in drawn] == ["cold", "other"]
    assert charts.build_chart(samples.report({name: kinds[name] for name in ("cold", "warm", "beside")})) is None


# checks without a gate, and what rests on requests


def test_a_check_without_a_gate_is_measured_and_not_passed() -> None:
    checks = {
        "runs": CheckRecord("pass", True, "healthy"),
        "vulnerabilities": CheckRecord("pass", True, "84", gated=False),
    }
    report = samples.report({"a": samples.variant(checks=checks)})
    assert verdict(report).counts == "1 of 1 check as expected, 1 more measured without a gate. 1 of 1 variant built."
    assert cells_of(report, "checks") == {"a": "1/1 ok; measured: vulnerabilities"}
    failed = replace(checks["vulnerabilities"], status="fail", expected=False)
    report = samples.report({"a": samples.variant(checks={**checks, "vulnerabilities": failed})})
    assert verdict(report).counts.startswith("1 of 2 checks as expected.")


def scanned(language: str) -> VulnerabilitiesRecord:
    reach = Reachability("measured", reachable=0, dead_weight=7, requests=16)
    return VulnerabilitiesRecord("scanned", Coverage("covered", language), 7, copies=140, reachability=reach)


def test_dead_weight_says_what_it_rests_on_and_nothing_where_the_language_is_not_known() -> None:
    report = samples.report({"go": samples.variant(vulnerabilities=scanned("covered"))})
    for text in everywhere(report):
        assert "not touched by the requests sent" in text.lower().replace("\n", " ")
        assert "dead weight" not in text.lower()
    assert "0 / 7 (16 requests)" in everywhere(report)[0]
    java = samples.variant(vulnerabilities=scanned("not_covered"))
    both = samples.report({"go": report.variants["go"], "java": java})
    assert cells_of(both, "reach") == {"go": "0 / 7", "java": figures.NOTHING}


HOSTILE = "a\u202eb\u2066c\x9bd\x7fe\x1b[2J"


def test_no_order_to_a_terminal_or_of_direction_reaches_a_page_or_terminal() -> None:
    """U+202E of a service's answer reached the page and the terminal."""
    checks = {"api": CheckRecord("fail", False, HOSTILE, evidence={"items": [{"reason": HOSTILE}]})}
    record = samples.variant(checks=checks, notes=(HOSTILE,), description=HOSTILE)
    for text in (*everywhere(samples.report({"a": record})), render_html(samples.report({"a": record}))):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
