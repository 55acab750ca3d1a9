"""The verdict, in the same words in every form, and that what is compared is comparable: attacks, start-up, builds, findings."""

import re
from dataclasses import replace

import pytest

from deadweight._errors import wording
from deadweight.records.built_image import Cache
from deadweight.report import charts, model
from deadweight.report.attacks import with_splits
from deadweight.report.compare import compare
from deadweight.report.html import render_html
from deadweight.report.markdown import LIMIT_BYTES, render_markdown
from deadweight.report.table import startup_differs
from deadweight.report.verdict import Point, View, secrets_label, stand_ins_note, verdict
from deadweight.suite.model import ReportThresholds
from deadweight_images import findings
from tests.support import report_demo as demo, report_samples as samples
from tests.support.codes import codes, parts
from tests.support.report_samples import column, everywhere, printed


def scanned(total: int, os: str = "covered") -> model.VulnerabilitiesRecord:
    return model.VulnerabilitiesRecord("scanned", model.Coverage(os, "covered"), total)


def variant(size: int, total: int, stopped: int, *, shell: bool = False) -> model.VariantRecord:
    seen = replace(samples.layers(4), shells=samples.layers(0).shells if shell else ())
    cells = {str(n): model.AttackRecord("blocked" if n < stopped else "succeeded") for n in range(31)}
    return samples.variant(size, vulnerabilities=scanned(total), attacks={"default": cells}, layers=seen)


def counted(report: model.Report) -> list[object]:
    return list(parts(verdict(report).counts)[1].values())


LADDER = {
    "all-in-one": variant(480_000_000, 1729, 4, shell=True), "ko": variant(9_000_000, 15, 12, shell=True),
    "apko": variant(10_000_000, 14, 25),
}  # fmt: skip


def test_the_winner_is_named_with_what_it_costs() -> None:
    (finding,) = verdict(samples.report(LADDER)).findings
    assert finding.winner == "apko"
    values = r"apko \(10 MB\) .* 14 CVEs \(ko: 15\), .* 25 of 31 attacks .*\(ko: 12\) .* no shell; ko .* \(9 MB\), .* a shell\."
    assert re.fullmatch(values, finding.text), finding.text


def test_a_language_that_the_database_lacks_is_told_with_the_count() -> None:
    unknown = model.VulnerabilitiesRecord("scanned", model.Coverage("partly_covered", "not_covered"), 0)
    records = {name: replace(record, vulnerabilities=unknown) for name, record in LADDER.items()}
    (finding,) = verdict(samples.report(records)).findings
    assert "was not scanned for CVEs, stops " in finding.text
    assert "instead of" not in finding.text
    assert all("language not covered" in text for text in everywhere(samples.report(records)))


def test_the_image_that_a_repository_builds_already_is_what_others_are_compared_with() -> None:
    own = {**LADDER, "today": replace(LADDER["all-in-one"])}
    assert "is 48 times smaller than today, " in verdict(samples.report(own)).findings[0].why


def test_where_there_are_two_ladders_each_winner_says_of_which_it_is() -> None:
    java = {f"{name}-java": replace(record, ladder="java") for name, record in LADDER.items()}
    broken = {name: replace(record, failed="failed") for name, record in java.items()}
    assert [finding.head for finding in verdict(samples.report(LADDER)).findings] == ["Ship"]
    assert [finding.head for finding in verdict(samples.report(LADDER | java)).findings] == ["Ship (Go)", "Ship (Java)"]
    none = verdict(samples.report(LADDER | broken)).findings[1]
    assert (none.head, none.winner) == ("No winner (Java)", None)


def test_every_form_says_the_same() -> None:
    """That a build failed stands in the variant's row too, whatever columns there is room for."""
    report = demo.failing()
    outcome = verdict(report)
    parts = [f"{outcome.title}.", outcome.counts, "insecure-layer-sample (/etc/secret.txt, removed "]
    parts += ["FAILED: build; before: 5/5 ok", "FAILED: hardening"]
    parts += [part for point in outcome.failures for part in (point.reason[:60], f"{point.variant}/{point.check}")]
    parts += [finding.why for finding in outcome.findings]
    console, *others = everywhere(report)
    for text in (console, *others):
        line = " ".join(text.split())
        assert [part for part in parts if part not in line] == []
        assert line.count(outcome.stand_ins) == 1, "said once"
        ladders = line.index(" ladder " if text is console else "Attacks stopped")
        assert (ladders < line.index(outcome.title)) == (text is console), "first on a page, last where lines end"


def labelled(report: model.Report, name: str, label: str) -> None:
    """Fails unless each form has this label at the winner's name."""
    console, page, markdown = everywhere(report)
    assert f"{name} ({label})" in console
    assert f"{name}* {label}" in page
    assert f"**{name}*** ({label}) |" in markdown or f"**{name}** ({label}) |" in markdown


def test_the_winner_is_labelled_in_every_table() -> None:
    labelled(demo.passing(), "multi-stage-distroless", "ship")
    assert printed(demo.passing(), width=300).count("(ship)") == 2, "one for each ladder that has a winner"


def test_what_failed_may_not_be_shipped() -> None:
    broken = {"hardening": model.CheckRecord("fail", False, "runs as root")}
    outcome = verdict(samples.report({**LADDER, "apko": replace(LADDER["apko"], checks=broken)}))
    assert (outcome.status, outcome.title, outcome.findings[0].winner) == ("fail", "1 check failed", "ko")
    assert str(outcome.failures[0]) == "apko/hardening: runs as root"
    (none,) = verdict(samples.report({name: replace(rung, checks=broken) for name, rung in LADDER.items()})).findings
    assert (none.winner, none.head, codes(none.text)) == (None, "No winner", ["report.nothing_to_ship"])


def test_what_is_not_measured_never_wins() -> None:
    """An image whose OS the database does not cover has no fewest findings, and what was not attacked held against nothing."""
    assert scanned(0, "not_covered").counted is None
    unknown = replace(LADDER["ko"], vulnerabilities=model.VulnerabilitiesRecord(), attacks={}, layers=None)
    assert verdict(samples.report({**LADDER, "ko": unknown})).findings[0].winner == "apko"
    alone = {name: replace(record, attacks={}) for name, record in LADDER.items()}
    assert "attacks" not in verdict(samples.report(alone)).findings[0].text


def test_a_winner_of_which_something_is_not_known_says_so() -> None:
    stale = model.CheckRecord("not_measured", True, "stale", why_not="stale")
    report = samples.report({**LADDER, "apko": replace(LADDER["apko"], checks={"api": stale, "runs": stale})})
    assert verdict(report).findings[0].text.endswith("; its api, runs are not known.")
    labelled(report, "apko", "ship, api and runs not known")


def test_a_pass_that_was_to_fail_is_a_failure_and_images_of_one_weight_are_no_ladder() -> None:
    pair = {"one": samples.variant(1_930_000), "two": samples.variant(1_930_100)}
    assert verdict(samples.report(pair)).findings == ()
    odd = samples.variant(checks={"layers": model.CheckRecord("pass", False, "no secret found")})
    (point,) = verdict(samples.report({"leaky": odd})).failures
    assert str(point) == f"leaky/layers: {wording('report.passed_unexpectedly', reason='no secret found')}"


def test_samples_that_leak_tell_their_story_beside_the_fixed_ones() -> None:
    outcome = verdict(demo.passing())
    hidden = r"insecure-layer-sample \(/etc/secret.txt, removed .* 3, .* 2\)"
    visible = r"insecure-layer-sample-history \(2 secrets in config.Env\[1\] and history\[2\].created_by\)"
    beside = "insecure-layer-sample-fixed and insecure-layer-sample-ssh pass."
    assert re.fullmatch(f"{hidden} and {visible} .* layers .*; {beside}", "|".join(outcome.stories)), outcome.stories
    ladders = {finding.ladder for finding in outcome.findings}
    assert (outcome.status, ladders) == ("pass", {"go", "java"}), "samples have no winner"


def test_stale_is_no_pass_what_could_not_be_measured_says_why_and_what_is_not_built_is_a_gap() -> None:
    outcome = verdict(demo.stale())
    (gap,) = outcome.gaps
    assert (outcome.status, outcome.title, gap.word, gap.count) == ("gaps", "Nothing failed, but 8 stale", "stale", 8)
    assert counted(demo.stale())[:2] == ["51 of 59 checks", ", 8 stale"]
    once = "api and runs .* multi-stage-alpine, ko, apko and jib; .*; next: invoke verify"
    assert re.fullmatch(once, gap.text), "each variant once"
    (gap,) = verdict(demo.failing()).gaps
    assert (gap.word, gap.text) == ("not measured", "api of jib (engine: the bridge is gone)")
    never = samples.full_report().variants["never-built"]
    outcome = verdict(samples.report({"one": samples.variant(), "two": never}))
    assert (outcome.status, outcome.gaps[0].text) == ("gaps", "two; next: invoke build")
    outcome = verdict(samples.report({"one": samples.variant(unproven=("no_operation",))}))
    assert (outcome.status, codes(outcome.gaps[0].text)) == ("gaps", ["report.unproven"])


def test_stand_ins_take_one_sentence() -> None:
    assert (stand_ins_note((), 3), parts(stand_ins_note(("good",), 1))[1]["variant"]) == ("", "good")
    assert len(stand_ins_note(tuple(demo.SHAPES), 15)) < 130


def test_the_markdown_of_fifteen_variants_fits_a_comment() -> None:
    reports = (demo.passing(), demo.failing(), demo.stale())
    assert all(len(render_markdown(report).encode()) < 20_000 for report in reports)


@pytest.mark.slow
def test_markdown_that_is_too_long_names_what_it_leaves_out() -> None:
    whole = demo.failing()
    many = {f"{name}-{n}": record for name, record in whole.variants.items() for n in range(20)}
    text = render_markdown(replace(whole, variants=many))
    assert (len(text.encode()) <= LIMIT_BYTES, "<b>Attacks</b>" in text) == (True, False)
    assert re.search(r"Not shown, to fit a comment: .*Attacks.*; see `index.html` for everything", text)
    assert text.index("failed.") < 200, "the verdict stays"


def test_the_terminal_names_the_columns_that_have_no_room() -> None:
    out = printed(demo.failing(), width=80, force_terminal=True, color_system=None)
    line = " ".join(out.split())
    assert (max(map(len, out.splitlines())) <= 80, "FAILED:" in line) == (True, True)
    assert re.search("room for .*User", line, re.IGNORECASE)


# attacks

SHELL = model.AttackRecord("blocked", by_user=True)  # what the image lacks is known by the posture open
BY_ENGINE = model.AttackRecord("blocked", ("seccomp", "non-root"))
TOGETHER = model.AttackRecord("blocked")
TOKEN = model.AttackRecord("blocked", handed_in=True)  # whether or not its walls were tried one by one
THROUGH = model.AttackRecord("succeeded")


def attacked(
    default: dict[str, model.AttackRecord], hardened: dict[str, model.AttackRecord] | None = None
) -> model.VariantRecord:
    return samples.variant(ladder="go", attacks={"default": default, **({"hardened": hardened} if hardened else {})})


def two() -> model.Report:
    """The second is measured for more, as apko was, which was called 48 of 70 beside 43 of 62."""
    plain = dict.fromkeys(("shell", "connect", "read"), THROUGH)
    plain |= {"mount": BY_ENGINE, "token": TOKEN, "fork": TOGETHER}
    hard = {**dict.fromkeys(plain, BY_ENGINE), "read": THROUGH, "token": TOKEN}
    small = {**plain, "shell": SHELL, "more": SHELL, "others": SHELL, "unknown": model.AttackRecord("not_measured")}
    return samples.report({"shelled": attacked(plain, hard), "small": attacked(small, hard)})


def test_variants_are_compared_on_the_attacks_that_were_measured_for_all_of_them() -> None:
    assert column(two(), "attacks") == {"shelled": "2/5", "small": "3/5"}
    (chart,) = charts.pictures(View(two()))["attacks"]
    shares = {bar.name: tuple(bar.parts.values()) for bar in chart.bars}
    assert shares == {"small": (1, 2, 1, 1, 4), "shelled": (0, 2, 2, 1, 4)}
    assert {sum(parts) for parts in shares.values()} == {9}, "each bar holds all attacks"


BARE = {"open": {"x": TOGETHER, "y": THROUGH}, "default": {"x": TOGETHER, "y": TOGETHER}}
SPLITS = {
    "handed in": (two().variants, model.AttackSplit("default", 5, 2, 1, 1, 1, 0, not_handed_in=1)),
    "none": ({"small": samples.variant()}, None),
    "by the image: it fails without any protection": (
        {"small": samples.variant(attacks=BARE)}, model.AttackSplit("default", 2, 1, 1, 0, 0, 0, 0)
    ),
    "not tried hardened, so not said to get through": (
        {"small": attacked({"x": THROUGH, "y": BY_ENGINE})}, model.AttackSplit("default", 2, 1, 0, 0, 0, unknown=1, not_handed_in=0)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLITS)
def test_the_report_holds_what_stops_the_attacks(case) -> None:
    variants, split = SPLITS[case]
    assert with_splits(variants)["small"].attack_split == split


def test_ladders_have_denominators_of_their_own_and_all_forms_count_alike() -> None:
    java = {"jib": replace(attacked({"shell": THROUGH, "mount": BY_ENGINE}), ladder="java")}
    variants = with_splits({**two().variants, **java})
    assert [record.attack_split and record.attack_split.of for record in variants.values()] == [5, 5, 2]
    assert all("3/5" in text and "6/8" not in text for text in everywhere(two()))


# start-up


def started(*samples_of: float, **changes: object) -> model.VariantRecord:
    median = sorted(samples_of)[len(samples_of) // 2]
    return samples.variant(ladder="go", startup_seconds=median, startup_samples=samples_of, **changes)


FAST, ALIKE = started(0.2, 0.21, 0.22, 0.3, 0.41), started(0.4, 0.5, 0.55, 0.6, 0.7)
SLOW = started(1, 1.1, 1.2, 1.3, 2.0)


def test_ranges_that_overlap_are_no_difference_nor_are_starts_of_their_own_compared() -> None:
    """As where `verify` uses several engines, each of which starts its variants five times in a row."""
    apart = replace(SLOW, startup_alone=True)
    others = (ALIKE, SLOW, started(9.0), apart)
    assert [startup_differs(FAST, other) for other in others] == [False, True, None, None]
    report = samples.report({"a": FAST, "b": apart})
    assert column(report, "startup", "badge")["b"] == "1.00 to 2.00; not compared"


def test_start_up_is_told_with_its_range() -> None:
    report = samples.report({"a": FAST, "b": ALIKE, "c": started(9.0)})
    assert column(report, "startup") == {"a": "0.22 s", "b": "0.55 s", "c": "9 s"}
    assert column(report, "startup", "badge") == {"a": "0.20 to 0.41", "b": "0.40 to 0.70", "c": "one start"}
    (chart,) = charts.pictures(View(report))["starts"]
    assert (chart.most, {bar.name: len(bar.dots) for bar in chart.bars}) == (9, {"a": 5, "b": 5, "c": 1})


@pytest.mark.parametrize(("after", "changes"), [((0.8, 0.9, 0.95, 1.0, 1.1), 1), ((0.3, 0.9, 0.95, 1.0, 1.1), 0)])
def test_a_slower_start_is_a_change_only_beyond_the_range_of_the_earlier_ones(after, changes) -> None:
    limits = ReportThresholds(noise_seconds=0.1, noise_startup_percent=10, ratchet_startup_percent=10)
    diff = compare(samples.report({"a": FAST}), samples.report({"a": started(*after)}), limits)
    assert ([change.kind for change in diff.changes], len(diff.regressions)) == (["startup"] * changes, changes)


# builds


def built(seconds: float, cache: Cache | None, *, alone: bool | None) -> model.VariantRecord:
    return samples.variant(build=model.BuildRecord(seconds, False, samples.WHEN, "t 1", cache=cache, alone=alone))


def test_only_builds_from_nothing_with_the_machine_to_themselves_are_compared() -> None:
    """66.1 s (warm), 0.54 s (warm) and 61.7 s (cold, beside another) measured the order of builds. No time is without its mark."""
    kinds = {
        "cold": built(60, "cold", alone=True), "other": built(50, "cold", alone=True), "warm": built(66, "warm", alone=True),
        "beside": built(61, "cold", alone=False), "old": built(61, "cold", alone=None),
        "cached": built(0.3, "cached", alone=True), "unknown": built(7, None, alone=True),
    }  # fmt: skip
    report = samples.report(kinds)
    badges = {"warm": "warm", "beside": "cold, beside others", "cached": "cached", "unknown": "cache unknown"}
    marks = {**dict.fromkeys(kinds, "cold"), **badges}
    phrases = ["60 s cold", "66 s warm", "0.3 s cached", "7 s cache unknown", wording("report.builds")]
    for text in everywhere(report):
        plain = " ".join(text.replace("(", "").replace(")", "").split())
        assert phrases[4] in " ".join(text.split())
        if "Build" in plain.partition("Build times")[0]:  # a comment has no room for them
            assert [words for words in phrases[:4] if words not in plain] == []
    assert column(report, "build", "badge") == marks
    assert column(report, "build", "sort") == {**dict.fromkeys(kinds), "cold": 60, "other": 50}


# checks without a gate, and what rests on requests


def test_a_check_without_a_gate_is_measured_and_not_passed() -> None:
    free = model.CheckRecord("pass", True, "84", gated=False)
    checks = {"runs": model.CheckRecord("pass", True, "healthy"), "vulnerabilities": free}
    report = samples.report({"a": samples.variant(checks=checks)})
    assert counted(report) == ["1 of 1 check", wording("report.ungated", count=1), "1 of 1 variant built."]
    assert column(report, "checks") == {"a": "1/1 ok; measured: vulnerabilities"}
    failed = replace(free, status="fail", expected=False)
    checks["vulnerabilities"] = failed
    assert counted(samples.report({"a": samples.variant(checks=checks)}))[:2] == ["1 of 2 checks", ""]
    meant = samples.report({"a": samples.variant(checks={"layers": replace(failed, expected=True)})})
    cells = [column(meant, "checks", part)["a"] for part in ("text", "tone")]
    assert cells == ["1/1 ok; expected failures: layers", "good"]


def test_reached_findings_say_what_they_rest_on_and_nothing_where_the_language_is_not_known() -> None:
    reach = model.Reachability("measured", reachable=0, dead_weight=7, operations=16)
    scan = replace(scanned(7), copies=140, reachability=reach)
    unknown = replace(scan, coverage=model.Coverage("covered", "not_covered"))
    pages = [render_html(samples.report({"it": samples.variant(vulnerabilities=record)})) for record in (scan, unknown)]
    assert ["<dd>0 of 7, asked 16 operations</dd>" in page for page in pages] == [True, False]


HOSTILE = "a\u202eb\u2066c\x9bd\x7fe\x1b[2J"


def test_no_order_to_a_terminal_or_of_direction_reaches_a_page_or_terminal() -> None:
    """U+202E of a service's answer reached the page and the terminal."""
    checks = {"api": model.CheckRecord("fail", False, HOSTILE, evidence={"items": [{"reason": HOSTILE}]})}
    report = samples.report({"a": samples.variant(checks=checks, notes=(HOSTILE,), description=HOSTILE)})
    for text in (*everywhere(report), render_html(report)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_a_regression_is_part_of_the_one_verdict() -> None:
    """The banner stayed green above "1 regression"."""
    checks = {"runs": model.CheckRecord("pass", True, "it runs")}
    small, large = (samples.report({"a": samples.variant(size, checks=checks)}) for size in (9_000_000, 90_000_000))
    changed = compare(small, large)
    judged = verdict(large, changed.worse)
    assert (bool(changed.regressions), verdict(large).status, judged.status) == (True, "pass", "fail")
    for text in (render_markdown(large, changed=changed), render_html(large, changed=changed)):
        assert str(judged.title) in text


# findings, each once, and the one change


def found(version: str, *fixes: str | None, copies: int = 1, **changes: object) -> model.VariantRecord:
    """One that holds Go's library in a version with so many findings, each in so many programs."""
    rows = [model.Finding(f"CVE-{n}", "stdlib", "unknown", version, fix, "language") for n, fix in enumerate(fixes)]
    scan = replace(
        scanned(len(rows)), findings=tuple(rows * copies), by_severity={"unknown": len(rows)}, copies=copies * len(rows)
    )
    return samples.variant(9_000_000 + 1_000_000 * len(rows), vulnerabilities=replace(scan, **changes))


OLD = found("v1.21.3", "1.21.4", "1.24.9, 1.25.3", "1.26.9, 1.27.2", "1.26.10, 1.27.3", None, copies=20)
NEW = found("v1.26.8", "1.26.9, 1.27.2")


def test_a_finding_counts_once_in_however_many_programs_it_lies() -> None:
    """1,680 were 84 in twenty copies."""
    (group,) = View(samples.report({"a": OLD})).groups
    assert (len(group.findings), group.variants, group.fix, group.fixed) == (5, ("a",), "1.26.10", 4)
    assert all(
        "1,680" not in text and "100 CVEs" not in text for text in everywhere(samples.report({"a": OLD, "b": NEW}))
    )
    assert "the same CVEs in 100 places" in " ".join(render_html(samples.report({"a": OLD})).split())


@pytest.mark.parametrize(("others", "code", "after"), [
    ({"ko": NEW}, "report.as_peer", 1), ({"same": OLD}, "report.fixes", 1),
    ({"unscanned": replace(NEW, vulnerabilities=model.VulnerabilitiesRecord())}, "report.fixes", 1),
])  # fmt: skip
def test_the_one_change_is_the_one_that_another_variant_made_else_the_fix(others, code, after) -> None:
    best = replace(OLD, attacks={"default": {"a": model.AttackRecord("blocked")}})
    rest = {
        name: replace(record, attacks={"default": {"a": model.AttackRecord("succeeded")}})
        for name, record in others.items()
    }
    (finding,) = verdict(samples.report({"best": replace(best, image=samples.image(8_000_000, 1)), **rest})).findings
    (told, fields) = parts(finding.next[0][0])
    assert (finding.winner, told, fields["before"], fields["after"]) == ("best", code, 5, after)
    assert finding.next[0][1] == "invoke build --variant best"


def test_a_database_without_severities_is_told_because_no_gate_on_them_can_fail() -> None:
    graded = replace(NEW, vulnerabilities=replace(NEW.vulnerabilities, by_severity={"high": 1}))
    reports = [
        samples.report({"a": record, "b": replace(record, image=samples.image(90_000_000, 1))})
        for record in (NEW, graded)
    ]
    assert [codes(verdict(report).findings[0].doubts[0]) for report in reports] == [
        ["report.no_severity"],
        ["report.stand_in_base"],
    ]
    assert [View(report).ungraded for report in reports] == [True, False]
    assert ["No severity is known" in render_markdown(report) for report in reports] == [True, False]


def test_secrets_are_one_figure_with_its_label() -> None:
    """All-in-one had 6 in the table, 37 when opened and in the comment, and "ok" beside them."""
    leaks = [
        findings.SecretFinding("rule", f"{n:032}", "file", f"f{n}", confidence="high" if n < 6 else "low")
        for n in range(37)
    ]
    seen = replace(samples.layers(1), secrets=tuple(leaks))
    passed, failed = (
        model.CheckRecord("pass", True, "allowed secrets: 6"),
        model.CheckRecord("fail", False, "6 secrets"),
    )
    records = [samples.variant(layers=seen, checks={"layers": check}) for check in (passed, failed)]
    assert [secrets_label(record) for record in (*records, samples.variant())] == [
        "6 accepted, 31 low confidence", "6 found, 31 low confidence", "not measured",
    ]  # fmt: skip
    texts = everywhere(samples.report({"a": records[0]}))[1:]
    assert all("6 accepted, 31 low confidence" in text and not re.search(r"\b37\b", text) for text in texts)


# what to ship where something is wrong


@pytest.mark.parametrize(("state", "head", "command"), [
    ({}, "Ship", "invoke push --variant apko --to REGISTRY/NAME"),
    ({"apko": "stale"}, "Verify, then ship", "invoke verify --variant apko"),
    ({"ko": "stale"}, "So far, ship", "invoke verify"),
    ({"apko": "worse"}, "Review, then ship", "invoke build --variant apko"),
])  # fmt: skip
def test_the_next_step_makes_the_choice_certain_first(state, head, command) -> None:
    """One that was built anew may be better as far as it is unknown."""
    stale = {"runs": model.CheckRecord("not_measured", True, "stale", why_not="stale")}
    anew = replace(LADDER["ko"], checks=stale, attacks={}, layers=None, vulnerabilities=model.VulnerabilitiesRecord())
    old = {"ko": anew, "apko": replace(LADDER["apko"], checks=stale)}
    records = {name: old[name] if state.get(name) == "stale" else record for name, record in LADDER.items()}
    worse = [Point(name, "size", "size 1 MB to 10 MB", "WORSE") for name, word in state.items() if word == "worse"]
    (finding,) = verdict(samples.report(records), worse).findings
    assert (finding.winner, finding.head, finding.next[0][1]) == ("apko", head, command)


def test_a_variant_that_failed_is_out_and_named() -> None:
    failed = {"api": model.CheckRecord("fail", False, "500")}
    outcome = verdict(samples.report({**LADDER, "apko": replace(LADDER["apko"], checks=failed)}))
    assert (outcome.status, outcome.findings[0].winner, outcome.failures[0].next) == (
        "fail",
        "ko",
        "invoke verify --variant apko",
    )
    assert "apko is out (api failed)" in outcome.findings[0].why
