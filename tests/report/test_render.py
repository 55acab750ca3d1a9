"""Markdown, HTML and console: everything known is shown, nothing unknown is shown as a figure, nothing smuggled in runs."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from deadweight._errors import wording
from deadweight.report import attacks, collect, figures, html, model, table
from deadweight.report.history import load_report, write_report
from deadweight.report.html import box, provenance, render_html
from deadweight.report.markdown import escape, render_markdown
from deadweight.report.verdict import View
from tests.support import report_demo, report_samples as samples
from tests.support.report_samples import printed


@pytest.fixture(scope="module")
def full_page() -> str:
    return render_html(samples.full_report())


class Outline(HTMLParser):
    """Counts tags, and checks that they nest and that ids are unique."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags = Counter[str]()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_stands_alone_and_every_table_and_picture_says_what_it_is(full_page) -> None:
    outline = Outline(full_page)
    assert outline.open == []
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in outline.attributes:  # nothing is loaded, and no style needs more than the policy allows
        assert name not in {"src", "srcset", "style"}
        assert not name.startswith("on")
        assert name != "href" or value == "report.json" or value.startswith(("#", "data:,"))
        assert name != "aria-label" or value
    assert full_page.count("<script") == 2, "the data block, and our own script"
    assert outline.tags["caption"] == outline.tags["table"]
    assert full_page.count('role="img" aria-label="') == outline.tags["svg"]


def test_text_from_evidence_is_never_markup(full_page) -> None:
    assert not [markup for markup in ("<script>alert", "<b>c0ffee") if markup in full_page]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in full_page
    assert "a note &lt;b&gt;" in full_page


def test_sections_without_evidence_are_left_out(full_page) -> None:
    plain_page = render_html(samples.report())
    for section in ("attacks", "layers", "vulnerabilities"):
        assert f'<section id="{section}">' not in plain_page
        assert f'href="#{section}"' not in plain_page
        assert f'<section id="{section}">' in full_page
        assert f"<b>{section.capitalize()}</b>" not in render_markdown(samples.report())


def test_stand_ins_are_labelled_wherever_their_figures_are(full_page) -> None:
    report = samples.full_report()
    for name, resting in (("multi-stage-ubuntu", True), ("jib", False)):
        assert {"stand-in" in row for row in re.findall(rf"^\| {name}.*", render_markdown(report), re.M)} == {resting}
    ladder = html.ladder_chart(table.ladders(report)[0])
    assert "98.4 MB, stand-in (reference 101 MB)" in ladder
    assert "14.7 MB (reference 20.8 MB)" in ladder, "apko has no base"
    heads = re.findall(r'<th scope="row(?:group)?"[^>]*>(.*?)</th>', full_page, re.S)
    assert {"stand-in" in head for head in heads if "multi-stage-ubuntu" in head} == {True}
    assert View(report).verdict.stand_ins in " ".join(printed(report).split())


def test_what_is_not_measured_is_said_and_no_figure(full_page) -> None:
    report = samples.report({"one": samples.full_report().variants["never-built"]})
    texts = list(samples.cells(report)["one"].values())
    assert [text for text in texts[1:] if re.fullmatch(r"[\d.,]+( \w+)?", text)] == []
    assert texts.count("not measured") >= 7
    assert {"not built", "not scanned"} <= set(texts)
    assert html.ladder_chart(table.ladders(report)[0]) is None
    assert ("<figure" in render_html(report), "ladder-" in render_markdown(report)) == (False, False)
    assert "<strong>not scanned</strong></td>" in full_page, "no colon before a reason that is not there"
    assert "<strong>not covered</strong>: the OS is unknown</td>" in full_page


def scan(os: str, language: str) -> model.VulnerabilitiesRecord:
    return model.VulnerabilitiesRecord("scanned", model.Coverage(os, language), 3)


@pytest.mark.parametrize(("scan", "text", "badge", "sorts"), [
    (model.VulnerabilitiesRecord(), "not scanned", "", False),
    (model.VulnerabilitiesRecord("not_covered"), "not covered", "", False),
    (model.VulnerabilitiesRecord("scanned", total=0), "0", "", True),
    (model.VulnerabilitiesRecord("scanned", total=None), "not scanned", "", False),
    (model.VulnerabilitiesRecord("scanned", total=2578), "2,578", "", True), (scan("covered", "covered"), "3", "", True),
    (scan("covered", "none"), "3", "", True), (scan("partly_covered", "covered"), "3", "OS partly", True),
    (scan("not_covered", "covered"), "3", "OS not covered", False),
    (scan("partly_covered", "not_covered"), "\u2013", "OS partly, language not covered", False),
])  # fmt: skip
def test_no_findings_are_three_things_and_a_count_sorts_only_beside_whole_ones(scan, text, badge, sorts) -> None:
    cell = table.vulnerabilities_cell(scan)
    assert (cell.text, cell.badge, cell.sort is not None) == (text, badge, sorts)


def test_markdown_tells_alike_results_in_one_row_those_that_failed_first() -> None:
    text = render_markdown(report_demo.failing())
    checks = text[text.index("<b>Checks</b>") :].partition("</details>")[0]
    lines = [line.strip("| ").split(" | ") for line in checks.splitlines() if line.startswith("| ")][1:]
    reason = "runs as root, and holds a shell at /bin/sh"
    assert lines[0] == ["multi-stage-ubuntu (stand-in)", "hardening", "fail", "**no**", reason]
    assert lines[1][:4] == ["jib (stand-in)", "api", "not measured", "\u2013"], "what is not known is not as expected"
    assert "apko, apko-alpine" in lines[2][0], "alike ones share a row"
    assert len(lines) == 7


def test_a_scan_that_nobody_asks_for_leaves_no_hole() -> None:
    """Its column goes where nobody asks; where others have one, the figure says what would get it."""
    none = model.VulnerabilitiesRecord()
    unmeasured, passed = model.CheckRecord("not_measured", True, "no database"), model.CheckRecord("pass", True, "")
    asked = samples.variant(vulnerabilities=none, checks={"vulnerabilities": unmeasured})
    other = samples.variant(vulnerabilities=none, checks={"layers": passed})

    both = samples.column(samples.report({"one": asked, "two": other}), "vulnerabilities")
    assert both == {"one": "not scanned", "two": "\u2013"}
    assert "vulnerabilities" not in samples.cells(samples.report({"two": other}))["two"]
    words, command = provenance("two", other)["vulnerabilities"]
    assert (words, command) == (f"Not measured: {wording('report.not_asked')}", "invoke scan --variant two")


def test_the_reference_stands_apart_and_a_failed_check_is_told_in_every_form(full_page) -> None:
    markdown = render_markdown(samples.report())
    assert "*Reference size*" in markdown
    for text in (markdown, full_page, printed(samples.report())):
        for words in ("A talk, November 2023; ", "FAILED: budget", "1 check failed"):
            assert words in text


def test_ladders_stand_apart_and_have_their_own_largest() -> None:
    go, java = table.ladders(samples.report())
    assert (go.name, go.largest_bytes, java.name, java.largest_bytes) == ("go", 1_131_000_000, "java", 180_000_000)
    assert "jib" not in {row.variant for row in go.rows}
    assert [finding.ladder for finding in View(samples.report()).verdict.findings] == ["go"], "one rung is no ladder"
    report = samples.report({name: samples.variant(ladder=name) for name in ("guestbook", "gRPC")})
    assert [ladder.title for ladder in table.ladders(report)] == ["Guestbook", "gRPC"], "as the suite calls them"


def test_the_same_records_give_the_same_bytes(full_page, tmp_path) -> None:
    assert full_page == render_html(samples.full_report())
    first = write_report(samples.full_report(), tmp_path / "a")
    second = write_report(samples.full_report(), tmp_path / "b")
    for one in (first.json, first.html, *first.charts):
        assert one.read_bytes() == (second.json.parent / one.name).read_bytes()
    assert samples.full_report() == load_report(tmp_path / "a")


def test_pictures_beside_the_markdown_are_there_and_those_of_ladders_that_are_gone_go(tmp_path) -> None:
    """They would be pushed to a registry with the others."""
    for ladders in (["go", "java"], ["go"]):
        written = write_report(samples.report({name: samples.variant(ladder=name) for name in ladders}), tmp_path)
        named = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", written.markdown.read_text())
        assert len(ladders) == len(named)
        assert set(written.charts) == set(tmp_path.glob("*.svg")) == {tmp_path / name for name in named}
        assert all(chart.read_text().startswith("<svg") for chart in written.charts)


def test_a_terminal_gets_colours_and_a_pipe_gets_plain_lines() -> None:
    colourful = printed(samples.report(), force_terminal=True, width=120, color_system="standard")
    plain = printed(samples.report(), width=40)
    assert ("\x1b[" in colourful, "\x1b[" in plain, "│" in plain) == (True, False, False)
    assert max(map(len, plain.splitlines())) <= 40


@pytest.mark.parametrize("width", [60, 80, 120, 160, 400])
def test_a_terminal_gets_the_columns_that_fit_whole_and_the_label_always(width) -> None:
    report = samples.report()
    lines = printed(report, force_terminal=True, width=width, color_system=None).splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in "".join(lines)
    resting = {f"{name} *" for name, record in report.variants.items() if record.stand_in}
    assert resting <= {line.strip().split("  ")[0].replace(" (ship)", "") for line in lines}
    row = next(line for line in lines if line.strip().startswith("multi-stage-ubuntu "))
    assert ("98.4 MB" in row, "dockerfile" in row) == (True, width == 400)


@pytest.mark.parametrize(("cells", "since", "tone"), [
    ({"open": "blocked", "default": "blocked", "hardened": "blocked"}, "open", "s0"),
    ({"hardened": "blocked", "default": "blocked", "open": "succeeded"}, "default", "s1"),
    ({"open": "succeeded", "default": "crashed", "hardened": "blocked"}, "hardened", "s2"),
    ({"open": "succeeded", "default": "succeeded", "hardened": "succeeded"}, "never", "succeeded"),
    ({"open": "crashed", "default": "crashed"}, "crash", "crashed"), ({"open": "not_applicable"}, "n/a", "not_applicable"),
    ({"open": "not_measured"}, "\u2013", "not_measured"), ({}, "\u2013", "not_measured"),
])  # fmt: skip
def test_a_cell_of_the_castle_names_the_laxest_posture_that_stops_the_attack(cells, since, tone) -> None:
    """In both reports, which say what the word means, and in the class that colours the page's cell."""
    by_posture = {posture: {"a": model.AttackRecord(outcome)} for posture, outcome in cells.items()}
    other = {posture: {"b": model.AttackRecord("succeeded")} for posture in ("open", "default", "hardened")}
    record = samples.variant(attacks={name: {**by_posture.get(name, {}), **cell} for name, cell in other.items()})
    assert attacks.castle(record, "a", attacks.LAXEST_FIRST) == attacks.Castle(since, tone)
    if cells:
        seen = samples.report({"v": record})
        page, text = render_html(seen), render_markdown(seen)
        parts = (f'<td class="{tone}">{since}</td>', f"<strong>{since}</strong>")
        assert [part for part in parts if part not in page] == []
        assert f"| a | {'**never**' if since == 'never' else since} |" in text
        assert re.search(rf"\*{since}\*+:? ", text)


def test_sums_leave_out_what_does_not_apply_or_was_not_measured() -> None:
    outcomes = ("blocked", "blocked", "succeeded", "crashed", "not_applicable", "not_measured")
    cells = {str(index): model.AttackRecord(outcome) for index, outcome in enumerate(outcomes)}
    record = samples.variant(attacks={"default": cells, "open": {"a": cells["5"]}})
    assert attacks.held(record, "default") == model.HeldRecord(held=2, tried=4)
    assert attacks.held(record, "open") is None


UNSTARTED = {"outcome": "not_measured", "reason": "engine: cannot be started"}
NO_SHELL = {"outcome": "not_measured", "reason": "no shell"}
NOTED: dict[str, Any] = {
    "walls_not_there": {"apparmor": "this engine has no AppArmor"},
    "notes": {"apparmor": "this engine has no AppArmor", "open": "cannot start a container with <b>SYS_RESOURCE</b>"},
    "postures": {
        "open": {"a": {"outcome": "succeeded"}, "b": NO_SHELL},
        "privileged": {"a": UNSTARTED, "b": NO_SHELL, "c": UNSTARTED, "d": {"outcome": "not_applicable"}},
    },
}


def test_what_a_reader_of_the_attacks_must_know_stands_beside_them() -> None:
    assert collect.attack_notes({}) == collect.attack_notes({"postures": {"open": NOTED["postures"]["open"]}}) == ()
    notes = collect.attack_notes(NOTED)
    assert notes == (
        "this engine has no AppArmor",
        "cannot start a container with <b>SYS_RESOURCE</b>",
        wording("report.nothing_in_posture", posture="privileged", reason="engine: cannot be started"),
    )
    attacked = samples.variant(attacks={"open": {"a": model.AttackRecord("succeeded")}}, attack_notes=notes)
    two = replace(attacked, attack_notes=notes[:1])
    seen = samples.report({"one": attacked, "two": two, "three": samples.variant()})
    section = render_html(seen).partition('<section id="attacks">')[2]
    below = render_markdown(seen).partition("<b>Attacks</b>")[2]
    for part in ("all: this engine has no AppArmor</p>", "one: cannot start a container with &lt;b&gt;SYS"):
        assert part in section
    for part in ("all: this engine has no AppArmor", f"one: {notes[2]}"):
        assert f"\n- {part}\n" in below


def test_the_ladder_picture_keeps_the_order_of_the_suite() -> None:
    """Also where the first variants have no figure."""
    never = samples.full_report().variants["never-built"]
    names = {"unbuilt": never, **samples.report().variants, "last": never}
    (ladder, _) = table.ladders(samples.report(names))
    texts = re.findall(r">([^<>]+)</text>", html.ladder_chart(ladder))
    assert [text for text in texts if text in names] == [row.variant for row in ladder.rows]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_markdown_escapes_keep_a_row_one_row(text: str) -> None:
    escaped = escape(text)
    assert len(escaped.splitlines()) <= 1
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<`\[]", escaped)


def test_an_empty_suite_makes_a_report(tmp_path) -> None:
    text = write_report(samples.report({}), tmp_path).markdown.read_text()
    assert (wording("report.nothing_checked") in text, "0 of 0 variants built" in text) == (True, True)


@pytest.mark.parametrize(("runtime", "shown"), [
    (None, "not measured"), (model.RuntimeRecord("none"), "none"), (model.RuntimeRecord("Go", "1.26.8", "/s"), "Go 1.26"),
    (model.RuntimeRecord("JRE", "17.0.9"), "JRE 17"), (model.RuntimeRecord("JDK", "1.8.0_402"), "JDK 8"),
    (model.RuntimeRecord("Node", "22.1.0"), "Node 22"), (model.RuntimeRecord("Python", "3.11"), "Python 3.11"),
    (model.RuntimeRecord("Ruby"), "Ruby"), (model.RuntimeRecord("native"), "native"),
])  # fmt: skip
def test_the_runtime_is_told_as_people_say_it(runtime, shown) -> None:
    record = replace(samples.variant(), go_version=None, runtime=runtime)
    report = samples.report({"one": record, "two": replace(record, runtime=model.RuntimeRecord("Go", "1.9"))})
    earlier = samples.report({"one": samples.variant()})
    assert [samples.column(version, "runtime")["one"] for version in (report, earlier)] == [shown, "Go 1.21"]
    assert [part for part in (f"| {shown} |", "| Runtime |") if part not in render_markdown(report)] == []


def test_a_column_in_which_no_variant_has_anything_is_left_out_of_its_ladder() -> None:
    record = samples.full_report().variants["all-in-one"]
    java = replace(record, ladder="java", go_version=None, runtime=model.RuntimeRecord("none"), reference=None)
    report = samples.report({"one": record, "two": java})
    one, two = samples.cells(report).values()
    assert one.keys() - two.keys() == {"runtime", "reference_size", "reference_vulnerabilities"}
    assert render_markdown(report).count("| *Reference size* |") == 1
    assert render_html(report).count(">Reference size</th>") == 1


PLAIN = ("goes to east (first choice)", "was built on east in 4.6 s")


def test_a_variants_own_box_says_where_it_was_built() -> None:
    def built_on(**changes: object) -> str | None:
        build = replace(model.BuildRecord(1.0, False, samples.WHEN, "t 1", built_on="east (tcp://h:1)"), **changes)  # type: ignore[arg-type]
        return dict(box("it", samples.variant(build=build))[1]).get("Built on")

    assert built_on(built_on=None) is None
    assert built_on(decisions=PLAIN) == "east (tcp://h:1)"
    moved = ("goes to near (first choice)", "was lost on near: it gives no answer", "goes to east (again)", PLAIN[1])
    assert built_on(decisions=moved) == "; ".join(("east (tcp://h:1)", *moved))


# figures as people read them


SIZES = {
    0: "0 B", 999: "999 B", 1000: "1 kB", 932_000: "932 kB", 999_600: "1 MB", 15_300_000: "15.3 MB", 101_000_000: "101 MB",
    1_010_000_000: "1.01 GB", None: "not measured",
}  # fmt: skip
"""Three digits, in decimal units."""
SECONDS = {0.004: "4 ms", 0.21: "0.21 s", 12.34: "12.3 s", 640.2: "640 s", None: "not measured"}
LISTS = {"a": "a", "ab": "a and b", "abcde": "a, b, c, d and e", "abcdefg": "a, b, c, d and 3 more"}


def test_figures_are_written_as_people_read_them() -> None:
    assert {count: figures.size(count) for count in SIZES} == SIZES
    assert {value: figures.seconds(value) for value in SECONDS} == SECONDS
    assert {names: figures.listed(names) for names in LISTS} == LISTS
    assert figures.ratio(1_010_000_000, 14_500_000) == "69.7 : 1"
    assert {figures.ratio(*pair) for pair in ((None, 1), (1, None), (0, 0), (5, 0))} == {figures.NOT_MEASURED}
    assert (figures.digest("sha256:" + "ab" * 32), figures.digest(None)) == ("sha256:abababababab", "none")


@given(st.integers(1, 10**14))
def test_a_shown_size_is_within_half_a_percent(count: int) -> None:
    number, unit = figures.size(count).split(" ")
    shown = float(number) * 1000 ** ["B", "kB", "MB", "GB", "TB"].index(unit)
    assert abs(shown - count) <= count * 0.00501
