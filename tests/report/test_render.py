"""Markdown, HTML and console: everything known is shown, nothing unknown is shown as a figure, nothing smuggled in runs."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from deadweight._errors import wording
from deadweight.report import attacks, charts, collect, figures, model, table
from deadweight.report.history import load_report, write_report
from deadweight.report.html import provenance, render_html
from deadweight.report.markdown import escape, render_markdown
from deadweight.report.verdict import View
from deadweight_images import findings
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
    assert full_page.count("<script") == 1, "our own"
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


def pictures(report: model.Report) -> dict[str, list[charts.Chart]]:
    return charts.pictures(View(report))


def test_stand_ins_are_labelled_wherever_their_figures_are(full_page) -> None:
    """By an asterisk that is explained once: the word stood on a page 119 times."""
    report = samples.full_report()
    for name, resting in (("multi-stage-ubuntu", True), ("jib", False)):
        assert {r"\*" in row for row in re.findall(rf"^\| {name}.*", render_markdown(report), re.M)} == {resting}
    heads = re.findall(r'<th scope="row(?:group)?"[^>]*>(.*?)</th>', full_page, re.S)
    assert {"stand-in" in head for head in heads if "multi-stage-ubuntu" in head} == {True}
    assert View(report).verdict.stand_ins in " ".join(printed(report).split())


def test_what_is_not_measured_is_said_and_no_figure(full_page) -> None:
    report = samples.report({"one": samples.full_report().variants["never-built"]})
    texts = list(samples.cells(report)["one"].values())
    assert [text for text in texts[1:] if re.fullmatch(r"[\d.,]+( \w+)?", text)] == []
    assert texts.count("not measured") >= 4
    assert {"not built", "not scanned"} <= set(texts)
    assert pictures(report)["sizes"] == []
    assert "<figure" not in render_html(report)
    assert ": not scanned.</li>" in re.sub("</?b>", "", full_page), "no colon before a reason that is not there"
    assert "</b>: not covered: the OS is unknown.</li>" in full_page


def test_a_language_that_the_database_lacks_is_not_scanned_and_has_no_bar() -> None:
    """ "0 findings (language not covered)" read as zero."""
    missing = model.VulnerabilitiesRecord("scanned", model.Coverage("partly_covered", "not_covered"), 0)
    report = samples.report(
        {
            name: samples.variant(vulnerabilities=record)
            for name, record in {"a": missing, "b": scan("covered", "covered")}.items()
        }
    )
    (chart,) = pictures(report)["findings"]
    assert {bar.name: (bar.label, dict(bar.parts)) for bar in chart.bars} == {
        "a": ("not scanned (language not covered)", {}), "b": ("3", {"found": 3}),
    }  # fmt: skip


@pytest.mark.parametrize(("sizes", "most", "cut"), [
    ((623, 75, 12, 10, 8), 12, {623, 75}), ((156, 156, 95), 156, set()), ((40, 10), 40, set()), ((7,), 7, set()),
])  # fmt: skip
def test_the_axis_of_sizes_is_linear_and_what_is_far_larger_is_cut_off(sizes, most, cut) -> None:
    report = samples.report({str(size): samples.variant(size) for size in sizes})
    (chart,) = pictures(report)["sizes"]
    assert (chart.most, {int(bar.name) for bar in chart.bars if chart.cut(bar)}) == (most, cut)
    small = min(chart.bars, key=lambda bar: sum(bar.parts.values()))
    assert sum(width for _, _, width in chart.placed(small)) == pytest.approx(100 * min(sizes) / most)


JAVA = model.RuntimeRecord("JRE", "17.0.9", "/opt/java/openjdk/bin/java")
STEPS = {
    "FROM base": 40,
    "RUN /bin/sh -c apt-get update && apt-get install -y awk": 9,
    "COPY jre /opt/java": 80,
    "COPY app /app": 6,
}


def test_a_bar_shows_what_an_image_is_made_of_as_far_as_the_evidence_tells() -> None:
    made = tuple(model.LayerRecord(size, instruction=step) for step, size in STEPS.items())
    folders = (findings.FolderFigure(2, "/opt/java", 78), findings.FolderFigure(3, "/app", 6))
    record = samples.variant(
        image=replace(samples.image(135, 60), layers=made), layers=replace(samples.layers(1), folders=folders)
    )
    assert charts.contents(replace(record, runtime=JAVA)) == {"base": 40, "runtime": 78, "packages": 9, "app": 8}
    assert charts.contents(replace(record, base=None)) == {"base": 0, "runtime": 0, "packages": 9, "app": 126}
    apko = replace(
        record,
        builder="apko",
        layers=replace(
            samples.layers(1),
            packages=(samples.package("glibc", "2", 90), replace(samples.package("app", "1", 45), kind="go")),
        ),
    )
    assert charts.contents(apko) == {"packages": 90, "app": 45}
    assert charts.contents(samples.full_report().variants["never-built"]) == {}


def test_letters_show_the_same_bars() -> None:
    chart = charts.Chart(
        "", (charts.Bar("a", "5 MB", {"base": 4, "app": 1}, mark="ship"), charts.Bar("bb", "20 MB", {"base": 20})), 10
    )
    lines = chart.text().splitlines()
    assert lines[:2] == [f"a   {16 * '█'}{4 * '░'} 5 MB  <- ship", f"bb  {40 * '█'}» 20 MB"]
    assert [chart.placed(bar) for bar in chart.bars] == [[("base", 0, 40), ("app", 40, 10)], [("base", 0, 100)]]
    dots = charts.Chart("", (charts.Bar("a", "1 s", dots=(0.0, 10.0)),), 10)
    assert dots.text() == f"a  •{38 * ' '}•  1 s"


def scan(os: str, language: str) -> model.VulnerabilitiesRecord:
    return model.VulnerabilitiesRecord("scanned", model.Coverage(os, language), 3)


@pytest.mark.parametrize(("scan", "text", "badge", "sorts"), [
    (model.VulnerabilitiesRecord(), "not scanned", "", False),
    (model.VulnerabilitiesRecord("not_covered"), "not covered", "", False),
    (model.VulnerabilitiesRecord("scanned", total=0), "0", "", True),
    (model.VulnerabilitiesRecord("scanned", total=None), "not scanned", "", False),
    (model.VulnerabilitiesRecord("scanned", total=2578), "2,578", "", True), (scan("covered", "covered"), "3", "", True),
    (scan("covered", "none"), "3", "", True), (scan("partly_covered", "covered"), "3", "OS partly covered", True),
    (scan("not_covered", "covered"), "3", "OS not covered", False),
    (scan("partly_covered", "not_covered"), "not scanned", "language not covered", False),
])  # fmt: skip
def test_no_findings_are_three_things_and_a_count_sorts_only_beside_whole_ones(scan, text, badge, sorts) -> None:
    cell = table.vulnerabilities_cell(scan)
    assert (cell.text, cell.badge, cell.sort is not None) == (text, badge, sorts)


def test_a_scan_that_nobody_asks_for_leaves_no_hole() -> None:
    """Its column goes where nobody asks; where others have one, the figure says what would get it."""
    none = model.VulnerabilitiesRecord()
    unmeasured, passed = model.CheckRecord("not_measured", True, "no database"), model.CheckRecord("pass", True, "")
    asked = samples.variant(vulnerabilities=none, checks={"vulnerabilities": unmeasured})
    other = samples.variant(vulnerabilities=none, checks={"layers": passed})

    both = samples.column(samples.report({"one": asked, "two": other}), "vulnerabilities")
    assert both == {"one": "not scanned", "two": table.NOT_ASKED}
    assert "vulnerabilities" not in samples.cells(samples.report({"two": other}))["two"]
    words, command = provenance("two", other)["vulnerabilities"]
    assert (words, command) == (f"Not measured: {wording('report.not_asked')}", "invoke scan --variant two")


def test_the_reference_stands_apart_and_a_failed_check_is_told_in_every_form(full_page) -> None:
    markdown = render_markdown(samples.report())
    assert all("(reference 101 MB)" in text.replace("\u00a0", " ") for text in (markdown, full_page))
    assert "A talk, November 2023; not measured here" in " ".join(full_page.split())
    for text in (markdown, full_page, printed(samples.report())):
        for words in ("FAILED", "budget", "1 check failed"):
            assert words in text


def test_a_comment_has_six_columns_and_pictures_that_load_there() -> None:
    """A picture beside the report does not load where the text is pasted."""
    text = render_markdown(report_demo.failing())
    heads = [line for line in text.partition("<details>")[0].splitlines() if line.startswith("| Variant")]
    assert {head.count("|") - 1 for head in heads} == {6}
    assert ("![" in text, "```text" in text, len(text) < 15_000) == (False, True, True)


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
    for one in (first.json, first.html, first.markdown):
        assert one.read_bytes() == (second.json.parent / one.name).read_bytes()
    assert samples.full_report() == load_report(tmp_path / "a")


def test_pictures_that_an_earlier_version_left_go(tmp_path) -> None:
    """They would be published with the others."""
    (tmp_path / "ladder-0.svg").write_text("<svg/>")
    write_report(samples.report(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "report.json", "report.md"}


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
    assert ("98.4 MB" in row, "65532" in row) == (True, True)


@pytest.mark.parametrize(("cells", "since", "tone"), [
    ({"open": "blocked", "default": "blocked", "hardened": "blocked"}, "open", "s0"),
    ({"hardened": "blocked", "default": "blocked", "open": "succeeded"}, "default", "s1"),
    ({"open": "succeeded", "default": "crashed", "hardened": "blocked"}, "hardened", "s2"),
    ({"open": "succeeded", "default": "succeeded", "hardened": "succeeded"}, "never", "succeeded"),
    ({"open": "crashed", "default": "crashed"}, "crash", "crashed"), ({"open": "not_applicable"}, "n/a", "not_applicable"),
    ({"open": "not_measured"}, "\u2013", "not_measured"), ({}, "\u2013", "not_measured"),
])  # fmt: skip
def test_the_laxest_posture_that_stops_an_attack_is_named(cells, since, tone) -> None:
    """On the page, which says what the word means, in its own tone."""
    by_posture = {posture: {"a": model.AttackRecord(outcome)} for posture, outcome in cells.items()}
    other = {posture: {"b": model.AttackRecord("succeeded")} for posture in ("open", "default", "hardened")}
    record = samples.variant(attacks={name: {**by_posture.get(name, {}), **cell} for name, cell in other.items()})
    assert attacks.castle(record, "a", attacks.LAXEST_FIRST) == attacks.Castle(since, tone)
    if cells:
        page = render_html(samples.report({"v": record}))
        parts = (f'<li><b class="{tone}">{since}</b>: v</li>', f"<strong>{since}</strong>")
        assert [part for part in parts if part not in page] == []


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
    for part in ("all: this engine has no AppArmor</li>", "one: cannot start a container with &lt;b&gt;SYS"):
        assert part in section
    for part in ("all: this engine has no AppArmor", f"one: {notes[2]}"):
        assert f"\n- {part}\n" in below


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
    (None, ""), (model.RuntimeRecord("none"), "none"), (model.RuntimeRecord("Go", "1.26.8", "/s"), "Go 1.26"),
    (model.RuntimeRecord("JRE", "17.0.9"), "JRE 17"), (model.RuntimeRecord("JDK", "1.8.0_402"), "JDK 8"),
    (model.RuntimeRecord("Node", "22.1.0"), "Node 22"), (model.RuntimeRecord("Python", "3.11"), "Python 3.11"),
    (model.RuntimeRecord("Ruby"), "Ruby"), (model.RuntimeRecord("native"), "native"),
])  # fmt: skip
def test_the_runtime_is_told_as_people_say_it(runtime, shown) -> None:
    record = replace(samples.variant(), go_version=None, runtime=runtime)
    assert [table.runtime_words(one) for one in (record, samples.variant())] == [shown, "Go 1.21"]
    assert (f"<dt>Runtime</dt><dd>{shown}</dd>" in render_html(samples.report({"one": record}))) is bool(shown)


def test_a_column_in_which_no_variant_has_anything_is_left_out_of_its_ladder() -> None:
    record = samples.full_report().variants["all-in-one"]
    report = samples.report({"one": record, "two": replace(record, ladder="java", attacks={}, attack_split=None)})
    one, two = samples.cells(report).values()
    assert one.keys() - two.keys() == {"attacks"}


PLAIN = ("goes to east (first choice)", "was built on east in 4.6 s")


def test_a_variants_own_box_says_where_it_was_built() -> None:
    def built_on(**changes: object) -> str | None:
        build = replace(model.BuildRecord(1.0, False, samples.WHEN, "t 1", built_on="east (tcp://h:1)"), **changes)  # type: ignore[arg-type]
        told = re.search(
            "<dt>Built on</dt><dd>(.*)</dd>", render_html(samples.report({"it": samples.variant(build=build)}))
        )
        return told and told[1]

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
