"""The page in a real browser: nothing is requested, nothing is logged, and it works on a phone, in the dark, without scripts."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deadweight.report.compare import compare
from deadweight.report.history import write_report
from tests.support import report_demo, report_samples as samples
from tests.support.report_states import states

pytestmark = pytest.mark.browser

NAMES_OF_IT = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES_OF_IT)), None)
"""The shell without windows first: these tests take 34 seconds of a processor in it, and 78 in the whole browser."""
# As root and in a container Chromium's own sandbox cannot start; the rest keeps it from asking for anything by itself.
OFF = ("gpu", "quic", "background-networking", "component-update", "sync")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in OFF)]
WIDE = {"width": 1440, "height": 900}
GOT = f"sample 0, {samples.WHEN}"
OPEN_ALL = "document.querySelectorAll('details').forEach(details => { details.open = true; })"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium here; on Debian and Ubuntu: apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    return write_report(samples.full_report(), tmp_path_factory.mktemp("page")).html.as_uri()


class Visit:
    """One page, and all that it said and asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.messages: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def column(self, index: int) -> list[str]:
        cells = self.page.locator("table.comparison >> nth=0").locator(f"tbody tr > :nth-child({index})")
        return [text.strip() for text in cells.all_inner_texts()]


@pytest.fixture
def visit(chromium, address) -> Iterator[Any]:
    """Opens a page of its own; the small report's if none is named."""
    made: list[Visit] = []

    def make(where: str = address, **context: Any) -> Visit:
        made.append(Visit(chromium, where, **context))
        return made[-1]

    yield make
    for page in made:
        page.context.close()


@pytest.fixture(scope="module")
def heavy(tmp_path_factory) -> Path:
    return write_report(report_demo.failing(), tmp_path_factory.mktemp("heavy")).html


@pytest.fixture(scope="module")
def changed(tmp_path_factory) -> Path:
    """The heavy report beside the one of a week before."""
    new = report_demo.failing()
    return write_report(new, tmp_path_factory.mktemp("changed"), compare(report_demo.before(), new)).html


@pytest.fixture(scope="module")
def heavy_page(chromium, heavy) -> Iterator[Any]:
    """The heavy report, for tests that leave it as they find it."""
    seen = Visit(chromium, heavy.as_uri(), viewport=WIDE)
    yield seen.page
    assert seen.messages == []


@pytest.mark.slow
def test_nothing_is_requested_or_logged_and_smuggled_markup_did_not_become_elements(visit, address) -> None:
    seen = visit()
    seen.page.evaluate(OPEN_ALL)
    seen.page.wait_for_load_state("networkidle")
    assert (seen.asked, seen.messages) == ([address], [])
    counts = [seen.page.locator(tag).count() for tag in ("script", "img")]
    assert counts == [1, 0], "our own"


def test_columns_sort_both_ways_with_what_is_not_measured_last(visit) -> None:
    seen = visit()
    names = seen.column(1)
    heads = seen.page.locator("table.comparison >> nth=0").locator("thead th")
    size = heads.nth(1)
    sizes = ["11.2 MB", "12.9 MB", "14.7 MB", "98.4 MB", "1.13 GB"]
    size.get_by_role("button").click()
    assert (size.get_attribute("aria-sort"), seen.column(2)) == ("ascending", [*sizes, "not measured"])
    size.get_by_role("button").press("Enter")
    assert (size.get_attribute("aria-sort"), seen.column(2)) == ("descending", [*reversed(sizes), "not measured"])
    heads.nth(0).get_by_role("button").click()
    assert (size.get_attribute("aria-sort"), seen.column(1)) == (None, sorted(names))


def test_an_attack_opens_to_its_evidence_by_keyboard_alone_and_without_scripts(visit) -> None:
    page = visit(java_script_enabled=False).page
    page.locator("#each-attack > summary").press("Enter")
    attack = page.locator("#each-attack .attack").first
    attack.locator(":scope > summary").press("Enter")
    assert attack.locator("li").first.inner_text().startswith("never: ")
    seen = "open, default, hardened: every variant: got through (canary came back)\n    canary: <b>c0ffee</b>"
    assert attack.locator("pre").inner_text() == seen


def shown(page) -> list[str]:
    visible = "all => all.filter(e => e.checkVisibility()).map(e => e.dataset.variant)"
    return page.eval_on_selector_all("table.comparison tbody tr", visible)


def test_the_filter_takes_words_ladders_and_what_failed(visit) -> None:
    page = visit().page
    page.locator("#find").fill("multi ALPINE")
    state = (page.locator("#shown").inner_text(), page.locator("#variant-apko").is_visible())
    assert (shown(page), state) == (["multi-stage-alpine"], ("1 of 7 variants shown", False))
    page.locator("#find").fill("")
    page.locator("#ladder").select_option("java")
    assert shown(page) == ["jib"]
    page.locator("#ladder").select_option("")
    page.locator("#failed").check()
    assert shown(page) == ["all-in-one", "never-built"]


def test_a_deep_link_opens_its_box_that_shows_what_each_layer_holds_and_hides(visit, address) -> None:
    box = visit(f"{address}#layers-all-in-one").page.locator("#layers-all-in-one")
    assert box.get_by_text("/etc/secret.txt, removed in layer 3, secret: private-key").is_visible()
    blocks = box.locator("summary rect")
    assert [blocks.nth(number).get_attribute("class") for number in range(3)] == ["k-layer1", "k-gone", "k-layer0"]
    assert blocks.first.bounding_box()["width"] == pytest.approx(
        blocks.last.bounding_box()["x"] - blocks.first.bounding_box()["x"], abs=2
    )


def test_findings_stand_by_package_and_can_be_searched(visit) -> None:
    page = visit().page
    page.locator("#findings > summary").click()
    packages = page.locator("#findings details > summary")
    assert packages.all_inner_texts() == [
        "Go 1.21.3 2 CVEs, worst critical, used", "libc6 2.36 1 CVE, worst high, not used by the operations asked",
    ]  # fmt: skip
    packages.first.click()
    assert page.locator("#findings li").first.inner_text().startswith("CVE-2031-0002")
    page.locator("#find-cve").fill("cve-2031-0003")
    assert [row.is_visible() for row in page.locator("#findings li").all()] == [False, True, False]


def violations(page, parts: tuple[str, ...] = ("html",)) -> list[tuple[str, list[str]]]:
    """What axe-core finds, by all of its rules, in these parts of a page: also text of less than 4.5 : 1 (3 : 1 if large)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    rules = axe.Axe().run(page, context={"include": [[part] for part in parts]}).response["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"]][:3]) for rule in rules]


def test_evidence_findings_and_files_beyond_measure_are_cut_and_counted(visit, tmp_path) -> None:
    """Whatever a report holds, its page stays light: each kind has its budget."""
    whole, long, variants = report_demo.failing(), {"said": "<img src=x onerror=alert(1)>" * 40}, {}
    for name, record in whole.variants.items():
        filler, attacks, checks = {str(n): name for n in range(99)}, {}, {}
        for posture, cells in record.attacks.items():
            reasons = {attack: f"{name} {attack} " * 9 for attack in cells}
            attacks[posture] = {key: replace(cell, reason=reasons[key], evidence=long) for key, cell in cells.items()}
        for check, result in record.checks.items():
            checks[check] = replace(result, evidence={**filler, "check": check})
        variants[name] = replace(record, attacks=attacks, checks=checks)
    written = write_report(replace(whole, variants=variants), tmp_path)
    assert written.html.stat().st_size < 500_000
    seen = visit(written.html.as_uri())
    seen.page.locator("#findings > summary").click()
    seen.page.locator("#findings .note", has_text="are in report.json").wait_for(timeout=10_000)
    seen.page.evaluate(OPEN_ALL)
    seen.page.locator("#each-attack pre", has_text="see report.json").first.wait_for(timeout=10_000, state="attached")
    assert (seen.page.locator("img").count(), seen.messages) == (0, [])


def test_a_failed_check_shows_its_evidence_in_words(visit, heavy) -> None:
    box = visit(f"{heavy.as_uri()}#variant-apko").page.locator("#variant-apko")
    box.get_by_text("Evidence of api").click()
    assert box.locator("pre").first.inner_text() == "figures: seconds 1.2"


BROKEN_WORDS = """all => all.flatMap(element => {
  const found = [], range = document.createRange();
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const letters = [];
  while (walker.nextNode()) for (let at = 0; at < walker.currentNode.length; at++) {
    range.setStart(walker.currentNode, at);
    range.setEnd(walker.currentNode, at + 1);
    const box = range.getBoundingClientRect();
    if (box.width) letters.push([walker.currentNode.data[at], box.bottom]);
  }
  letters.forEach(([letter, bottom], at) => {
    if (at && bottom > letters[at - 1][1] + 5 && !"/:@- ".includes(letters[at - 1][0])) found.push(element.textContent.trim());
  });
  return found;
})"""


NAMES = ".comparison th[scope='row'] a, .bars .name a, .layered .name"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_name_is_broken_within_a_word(heavy_page, width) -> None:
    heavy_page.set_viewport_size({"width": width, "height": 900})
    assert heavy_page.eval_on_selector_all(NAMES, BROKEN_WORDS) == []


@pytest.mark.parametrize("state", ["passing", "failing", "worse", "stale"])
def test_the_first_screen_says_what_to_ship_why_what_next_and_what_is_not_known(visit, tmp_path, state) -> None:
    made = {name: (report, changed) for name, report, changed in states(report_demo.passing())}
    page = visit(write_report(made[state][0], tmp_path, made[state][1]).html.as_uri(), viewport=WIDE).page
    card = page.locator(".card").first
    box = card.bounding_box()
    assert box["y"] + box["height"] < 900
    words = card.inner_text()
    assert [
        word
        for word in ("ship", "Why:", "Next:", "Not known:", "invoke push", "sha256:")
        if word.lower() not in words.lower()
    ] == []
    assert page.locator("#verdict").get_attribute("class") == f"verdict {VERDICTS[state]}"
    assert page.locator(".bars .winner").first.inner_text().startswith(card.locator("h2 a").inner_text())


VERDICTS = {"passing": "pass", "failing": "fail", "worse": "fail", "stale": "gaps"}


@pytest.mark.slow
def test_cards_are_sorted_from_a_list(visit, heavy) -> None:
    seen = visit(heavy.as_uri(), viewport={"width": 360, "height": 800})
    choice = seen.page.get_by_label("Sort by")
    for label, column, text in (
        ("Attacks stopped", 1, "apko"),
        ("Size", 2, "9.7 MB"),
        ("as written", 1, "all-in-one*"),
    ):
        choice.select_option(label=label)
        assert seen.column(column)[0] == text


def test_the_history_shows_the_last_reports_and_a_line(visit, heavy) -> None:
    seen = visit(heavy.as_uri(), viewport=WIDE)
    cells = seen.page.locator("#history tr[data-variant='apko'] > *")
    assert [text.split("\n")[0] for text in cells.all_inner_texts()[1:7:5]] == ["25.9 MB", "23.5 MB"]
    assert cells.nth(6).locator(".how").inner_text() == "14 CVEs, 41/66, 0.32 s", "of what its ladder shares"
    assert cells.last.locator("svg").get_attribute("aria-label") == "from 26.8 MB to 23.5 MB in 8 reports"


def test_on_a_phone_each_variant_is_a_card(heavy_page) -> None:
    heavy_page.set_viewport_size({"width": 360, "height": 800})
    card = heavy_page.locator(".comparison tr[data-variant='apko']")
    last = card.locator("td[data-key='checks']").bounding_box()
    size = card.bounding_box()
    assert (size["width"] <= 360, size["height"] > 150, last["x"] < 100) == (True, True, True)


PLACES = "all => all.map(e => e.getBoundingClientRect()).filter(b => b.height).map(b => [b.top, b.bottom])"


def test_paper_shows_every_column(visit, changed) -> None:
    """Chromium shrinks what is too wide for the paper; the page may not need that."""
    seen = visit(changed.as_uri(), viewport={"width": 703, "height": 1032})  # A4, without its margins
    seen.page.emulate_media(media="print")
    wide = "all => all.map(e => e.scrollWidth - e.clientWidth)"
    assert max(seen.page.eval_on_selector_all(".scroll, :root", wide)) <= 0
    assert seen.page.eval_on_selector_all(NAMES, BROKEN_WORDS) == []
    boxes = seen.page.eval_on_selector_all("section > *", PLACES)
    assert all(after[0] >= before[1] - 1 for before, after in pairwise(boxes)), "nothing lies over another"
    assert seen.page.locator("#variant-apko dl").is_visible(), "what is closed is opened"
    assert seen.page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def assert_never_sideways(page) -> None:
    for width in (360, 768, 1400, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_as_it_opens(visit) -> None:
    """Every link within it leads somewhere, its pictures are described, and at no width does it scroll sideways."""
    page = visit().page
    links = page.locator("a[href^='#']").all()
    assert links
    assert all(page.locator(f"[id='{link.get_attribute('href')[1:]}']").count() == 1 for link in links)
    for picture in page.locator(".bars svg").all():
        assert picture.get_attribute("aria-label")
        assert picture.bounding_box()["width"] > 100
    page.evaluate(OPEN_ALL)
    assert_never_sideways(page)


def luminance(colour: str) -> float:
    """Relative luminance of an ``rgb()`` colour (WCAG 2.2)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


FILL = """kind => {
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("class", `k-${kind}`);
  document.body.append(rect);
  return getComputedStyle(rect).fill;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit, scheme) -> None:
    """axe-core finds nothing in all that opens, and the parts of a bar differ also without colours. Whoever wants the other theme
    can choose it."""
    page = visit(color_scheme=scheme).page
    page.evaluate(OPEN_ALL)
    paper = "getComputedStyle(document.body).backgroundColor"
    assert violations(page) == []
    for kinds in (("base", "runtime", "packages", "app"), ("image", "engine", "hardening", "never", "unmeasured")):
        lights = [luminance(page.evaluate(FILL, kind)) + 0.05 for kind in kinds]
        assert all(max(pair) / min(pair) >= 1.3 for pair in pairwise(lights)), "neighbours differ in lightness"
    page.locator("#theme").select_option("dark" if scheme == "light" else "light")
    assert (luminance(page.evaluate(paper)) < 0.05) is (scheme == "light")


def test_it_is_all_there_without_scripts(visit) -> None:
    page = visit(java_script_enabled=False).page
    assert page.locator("table.comparison >> nth=0").locator("tbody tr").count() == 6
    assert page.get_by_text("1 check failed").is_visible()
    assert page.locator(".bars rect").count() > 10
    for box, text in (
        ("#layers-all-in-one", "/etc/secret.txt"),
        ("#each-attack", "never"),
        ("#variant-apko", "sample 0"),
    ):
        page.locator(f"{box} > summary").click()
        assert text in page.locator(box).inner_text()
    assert not page.locator("#tools").is_visible(), "what needs the script is not there without it"


def test_what_changed_since_an_earlier_report_is_listed_gravest_first(visit, changed) -> None:
    page = visit(changed.as_uri(), viewport=WIDE).page
    assert page.locator("#changes h2").inner_text() == "What changed since 2031-01-27 04:05 UTC"
    assert page.locator("#verdict .title").inner_text().startswith("✗ 1 build and 1 check failed; 8 regressions")
    first = page.locator("#changes li").first
    assert first.locator(".mark-regression").is_visible()
    assert (
        page.locator("#changes").get_by_text("multi-stage-alpine: size 9.9 MB → 12.9 MB (+3 MB, +30.3 %)").is_visible()
    )
    assert page.locator("#changes").get_by_text("jib: check api: pass → not measured").is_visible()
    page.locator("#changed").check()
    assert shown(page) == ["multi-stage-ubuntu", "multi-stage-alpine", "ko", "apko-alpine"]


@pytest.mark.parametrize("more", [False, True], ids=["plain", "marks and history"])
def test_fifteen_variants_stay_light(visit, heavy, changed, more) -> None:
    path = changed if more else heavy
    assert path.stat().st_size < 500_000
    seen = visit(path.as_uri(), viewport=WIDE)
    page = seen.page
    assert page.evaluate("document.querySelectorAll('*').length") < 6000
    hidden = "all => all.map(e => e.parentElement.scrollWidth - e.parentElement.clientWidth)"
    assert page.eval_on_selector_all("table.comparison", hidden) == [0, 0, 0], "every column is visible"
    assert page.locator("#history tbody tr").count() == 15
    assert_never_sideways(page)
    assert seen.messages == []


def test_every_figure_of_the_table_tells_how_it_was_got(visit, heavy) -> None:
    """In the variant's own box, with the command that gets it again."""
    page = visit(f"{heavy.as_uri()}#variant-apko", viewport=WIDE).page
    heads = page.locator("table.comparison >> nth=0").locator("thead th").all_inner_texts()
    rows = page.locator("#variant-apko table").last.locator("tbody tr")
    assert [row.locator("th").inner_text() for row in rows.all()] == [head.replace("\u2011", "-") for head in heads[1:]]
    assert [text for text in rows.all_inner_texts() if "invoke " not in text] == []
    size = rows.first.inner_text()
    assert (GOT in size, "invoke layers --variant apko" in size) == (True, True)


@pytest.mark.slow
def test_forced_colours_lose_nothing(visit, changed) -> None:
    """Where the system chooses all colours, what only a colour told is told by a border or a word."""
    page = visit(changed.as_uri(), forced_colors="active", viewport=WIDE).page
    borders = {
        ".ship": ("Top", "1px"), ".mark-regression": ("Top", "1px"), ".comparison tr.wrong > th": ("Left", "4px"),
    }  # fmt: skip
    for words, (side, width) in borders.items():
        style = f"element => getComputedStyle(element).border{side}Width"
        assert (words, page.locator(words).first.evaluate(style)) == (words, width)
    assert violations(page, ("#changes", ".comparison", "#history")) == []
