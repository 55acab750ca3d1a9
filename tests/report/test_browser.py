"""The page in a real browser: nothing is requested, nothing is logged, and it works on a phone, in the dark, without scripts."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deadweight.report.compare import compare
from deadweight.report.history import write_report
from deadweight.report.table import COLUMNS
from tests.support import report_demo, report_samples as samples

pytestmark = pytest.mark.browser

NAMES_OF_IT = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES_OF_IT)), None)
"""The shell without windows first: these tests take 34 seconds of a processor in it, and 78 in the whole browser."""
# As root and in a container Chromium's own sandbox cannot start; the rest keeps it from asking for anything by itself.
OFF = ("gpu", "quic", "background-networking", "component-update", "sync")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in OFF)]
WIDE = {"width": 1440, "height": 900}
GOT = f"sample 0, {samples.WHEN}"
REACH = next(column.title for column in COLUMNS if column.key == "reach")
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
    seen.page.locator("td.succeeded").first.click()
    seen.page.wait_for_load_state("networkidle")
    assert (seen.asked, seen.messages) == ([address], [])
    counts = [seen.page.locator(tag).count() for tag in ("script", "b:not(.tree b)")]
    assert counts == [2, 0], "the data block, and our own"


def test_columns_sort_both_ways_with_what_is_not_measured_last(visit) -> None:
    seen = visit()
    names = seen.column(1)
    heads = seen.page.locator("table.comparison >> nth=0").locator("thead th")
    size = heads.nth(2)
    sizes = ["11.2 MB", "12.9 MB", "14.7 MB", "98.4 MB", "1.13 GB"]
    size.get_by_role("button").click()
    assert (size.get_attribute("aria-sort"), seen.column(3)) == ("ascending", [*sizes, "not measured"])
    size.get_by_role("button").press("Enter")
    assert (size.get_attribute("aria-sort"), seen.column(3)) == ("descending", [*reversed(sizes), "not measured"])
    heads.nth(0).get_by_role("button").click()
    assert (size.get_attribute("aria-sort"), seen.column(1)) == (None, sorted(names))


def test_a_heat_map_cell_opens_to_its_evidence_also_by_keyboard_alone(visit) -> None:
    """One stop for Tab, arrows from there; the walls are named where the focus is; the focus comes back."""
    page = visit().page
    panel = page.locator("#panel")
    assert not panel.is_visible()
    page.locator("#castle td.succeeded").first.click()
    for words in ("canary came back", "canary: <b>c0ffee</b>", "invoke attack --variant all-in-one --posture open"):
        assert panel.get_by_text(words).first.is_visible()
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    page.reload()
    page.locator("#castle td[tabindex='0']").focus()  # there is one
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = "[document.activeElement.parentElement.dataset.payload, document.activeElement.cellIndex]"
    assert page.evaluate(focused) == ["1", 2]
    walls = page.locator("#walls").inner_text()
    assert walls.startswith("multi-stage-ubuntu, Reverse shell over /inet/tcp: open: ")
    assert " no network" in walls
    page.keyboard.press("Enter")
    assert panel.is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == ["1", 2]


@pytest.mark.slow
def test_figures_go_by_keyboard_with_one_stop_a_row(visit, heavy) -> None:
    """Tab leads from row to row, arrows from figure to figure and over rows that the filter hides; the stop stays where one was."""
    page = visit(heavy.as_uri(), viewport=WIDE).page
    stops = ":is(.comparison, .figures, #castle .sums) :is(tr, tr > *) button.cell"
    count = page.eval_on_selector_all(stops, "all => [all.filter(e => e.tabIndex === 0).length, all.length]")
    assert count == [63, 648]
    here = "['variant', 'key'].map(key => document.activeElement.closest(`[data-${key}]`).dataset[key]).join(' ')"
    page.locator(".comparison tr[data-variant='ko'] button.cell").first.focus()
    for key, place in {"ArrowRight": "ko size", "ArrowDown": "apko size", "ArrowLeft": "apko checks"}.items():
        page.keyboard.press(key)
        assert page.evaluate(here) == place
    page.locator("#find").fill("ubuntu")
    page.locator(".comparison tr[data-variant='multi-stage-ubuntu'] td[data-key='size'] button").focus()
    for keys in (["ArrowDown"], ["Shift+Tab", "Tab"]):  # there is no other row
        for key in keys:
            page.keyboard.press(key)
        assert page.evaluate(here) == "multi-stage-ubuntu size"


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


def test_a_deep_link_opens_its_box_whose_map_zooms_to_a_file_and_marks_what_is_hidden(visit, address) -> None:
    box = visit(f"{address}#layers-all-in-one").page.locator("#layers-all-in-one")
    box.locator(".map svg").wait_for(timeout=10_000)
    box.locator("svg [role='button']", has_text="layer 2").press("Enter")
    assert box.locator(".crumbs button").all_inner_texts()[-1].startswith("layer 2, ")
    assert box.locator(".tree").get_by_text("hidden: removed in layer 3; secret: private-key").is_visible()
    box.locator(".crumbs button").first.click()
    assert box.locator(".crumbs button").count() == 1


def test_findings_stand_by_package_with_those_that_were_reached_first(visit) -> None:
    page = visit().page
    page.locator("#findings > summary").click()
    packages = page.locator("#findings details > summary")
    assert packages.all_inner_texts() == [
        "stdlib 2 findings, worst critical, reached",
        "libc6 1 finding, worst high, not used by the operations asked",
    ]
    packages.first.click()
    assert page.locator("#findings tbody tr").first.inner_text().startswith("CVE-2031-0002")


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
    seen.page.locator("#findings .note", has_text="the least grave, in report.json").wait_for(timeout=10_000)
    seen.page.locator("#castle td").nth(-1).click()
    assert "see report.json" in seen.page.locator("#panel").inner_text()
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


NAMES = ".comparison :is(th[scope='row'] a, td[data-key='base'], td[data-key='builder']), .heat thead th"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_name_is_broken_within_a_word(heavy_page, width) -> None:
    heavy_page.set_viewport_size({"width": width, "height": 900})
    assert heavy_page.eval_on_selector_all(NAMES, BROKEN_WORDS) == []


def test_the_winner_is_labelled_and_the_table_begins_on_the_first_screen(heavy_page) -> None:
    heavy_page.set_viewport_size(WIDE)
    rows = heavy_page.locator(".comparison tr:has(th .ship)")
    assert [row.get_attribute("data-variant") for row in rows.all()] == ["multi-stage-distroless", "jib-distroless"]
    first = (rows.first.get_attribute("class"), rows.first.bounding_box()["y"] < 850)
    assert first == ("winner", True), "the first ladder's winner is on the first screen"


@pytest.mark.slow
def test_cards_are_sorted_from_a_list(visit, heavy) -> None:
    seen = visit(heavy.as_uri(), viewport={"width": 360, "height": 800})
    choice = seen.page.get_by_label("Sort by")
    attacks = "Attacks stopped: image + engine (+ hardened)"
    for label, column, text in ((attacks, 1, "apko"), ("Size", 3, "9.7 MB"), ("as written", 1, "all-in-one*")):
        choice.select_option(label=label)
        assert seen.column(column)[0] == text
    seen.page.set_viewport_size(WIDE)
    assert not choice.is_visible(), "there the headings sort"


def test_the_history_shows_one_figure_at_a_time_with_its_line(visit, heavy) -> None:
    seen = visit(heavy.as_uri(), viewport=WIDE)
    cells = seen.page.locator("#history tr[data-variant='apko'] > *")
    assert cells.all_inner_texts()[1::5] == ["25.9 MB", "23.5 MB"]
    assert cells.last.locator("svg").get_attribute("aria-label") == "from 26.8 MB to 23.5 MB in 8 reports"
    sample = seen.page.locator("#history tr[data-variant='insecure-layer-sample'] td").first
    last = {"Findings": "14", "Attacks stopped": "52/79", "Start-up": "0.32 s", "Build time": "83 s"}
    for title, figure in last.items():
        seen.page.get_by_label("Show").select_option(label=title)
        own = {"Start-up": "\u2013", "Build time": "3.1 s"}.get(title, sample.inner_text())
        assert (cells.all_inner_texts()[6], sample.inner_text()) == (figure, own)
    assert seen.messages == []


def test_on_a_phone_each_variant_is_a_card(heavy_page) -> None:
    heavy_page.set_viewport_size({"width": 360, "height": 800})
    card = heavy_page.locator(".comparison tr[data-variant='apko']")
    last = card.locator("td[data-key='builder']").bounding_box()
    size = card.bounding_box()
    assert (size["width"] <= 360, size["height"] > 150, last["x"] < 100) == (True, True, True)


def test_paper_shows_every_column(visit, changed) -> None:
    """Chromium shrinks what is too wide for the paper; the page may not need that."""
    seen = visit(changed.as_uri(), viewport={"width": 1047, "height": 718})  # A4 across, without its margins
    seen.page.emulate_media(media="print")
    wide = "all => all.map(e => e.scrollWidth - e.clientWidth)"
    assert max(seen.page.eval_on_selector_all(".scroll, :root", wide)) <= 0
    assert seen.page.eval_on_selector_all(NAMES, BROKEN_WORDS) == []
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
    for picture, ladder in zip(page.get_by_role("img").all()[:2], ("Go", "Java"), strict=True):
        assert ladder in (picture.get_attribute("aria-label") or "").split()
        assert picture.bounding_box()["height"] > 50
    page.evaluate(OPEN_ALL)
    assert_never_sideways(page)
    for font in ("Liberation Sans", "DejaVu Sans"):  # no text of a picture is cut off, whatever font the reader has
        assert page.eval_on_selector_all(".chart svg text", CUT_OFF, font) == []


CUT_OFF = """(texts, font) => texts.filter(text => {
  text.style.fontFamily = font;
  const [inner, outer] = [text, text.ownerSVGElement].map(element => element.getBoundingClientRect());
  return inner.left < outer.left || inner.right > outer.right;
}).map(text => text.textContent)"""


def luminance(colour: str) -> float:
    """Relative luminance of an ``rgb()`` colour (WCAG 2.2)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_can_be_read(visit, scheme) -> None:
    """Text and the letters of pictures have at least 4.5 : 1 (WCAG 2.2, 1.4.3); axe-core finds nothing in all that opens. Whoever
    wants the other theme can choose it."""
    page = visit(color_scheme=scheme).page
    page.evaluate(OPEN_ALL)
    ink = page.locator(".chart svg text").first.evaluate("element => getComputedStyle(element).fill")
    paper = "getComputedStyle(document.body).backgroundColor"
    darker, lighter = sorted((luminance(ink), luminance(page.evaluate(paper))))
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    assert violations(page) == []
    page.locator("#castle td.succeeded").first.click()
    assert violations(page, ("#panel",)) == []
    page.locator("#theme").select_option("dark" if scheme == "light" else "light")
    assert (luminance(page.evaluate(paper)) < 0.05) is (scheme == "light")


def test_it_is_all_there_without_scripts(visit) -> None:
    page = visit(java_script_enabled=False).page
    assert page.locator("table.comparison >> nth=0").locator("tbody tr").count() == 6
    assert page.get_by_text("1 check failed").is_visible()
    assert page.locator("#castle td.succeeded").count() > 5
    for box, text in (("#layers-all-in-one", "/etc/secret.txt"), ("#findings", "CVE-2031-0002")):
        page.locator(f"{box} > summary").click()
        assert text in page.locator(f"{box} noscript").inner_text()
    assert not page.locator("#tools").is_visible(), "what needs the script is not there without it"


def test_what_changed_since_an_earlier_report_is_marked_where_it_stands(visit, changed) -> None:
    page = visit(changed.as_uri(), viewport=WIDE).page
    assert "Since the report of 2031-01-27 04:05 UTC: 8 regressions among" in page.locator(".since").inner_text()
    cell = page.locator(".comparison tr[data-variant='multi-stage-alpine'] td[data-key='size']")
    assert cell.locator(".mark-regression").get_attribute("href") == "#changes"
    cell.locator("button").click()
    first = [page.locator(css).first.inner_text() for css in ("#panel p strong", "#changes tbody tr td:last-child")]
    assert first == ["12.9 MB", "regression"]
    assert page.locator("#panel").get_by_text("regression: size 9.9 MB → 12.9 MB (+3 MB, +30.3 %)").is_visible()
    assert page.locator("#changes").get_by_text("jib: check api: pass → not measured").is_visible()
    page.locator("#changed").check()
    assert shown(page) == ["multi-stage-ubuntu", "multi-stage-alpine", "ko", "apko-alpine"]


@pytest.mark.parametrize("more", [False, True], ids=["plain", "marks and history"])
def test_fifteen_variants_stay_light(visit, heavy, changed, more) -> None:
    path = changed if more else heavy
    assert path.stat().st_size < 500_000
    seen = visit(path.as_uri(), viewport=WIDE)
    page = seen.page
    most = 3600 if more else 4000  # room for forty changes, and more attacks
    assert page.evaluate("document.querySelectorAll('*').length") < most
    hidden = "all => all.map(e => e.parentElement.scrollWidth - e.parentElement.clientWidth)"
    assert page.eval_on_selector_all("table.comparison", hidden) == [0, 0, 0], "every column is visible"
    castle, rows = page.locator(".castle").bounding_box(), page.locator("#history tbody tr").count()
    assert (castle["height"] < 900, rows) == (True, 15), "the castle fits one screen, and scrolls in it"
    assert_never_sideways(page)
    assert seen.messages == []


@pytest.mark.parametrize(("cell", "title", "words", "command"), [
    (".comparison tr[data-variant='apko'] td[data-key='size']", "apko: Size", GOT, "layers --variant apko"),
    ("section#layers tr[data-variant='apko'] td:nth-child(4)", "apko: Hidden", GOT, "layers --variant apko"),
    ("section#vulnerabilities tr[data-variant='apko'] td[data-key='reach']", "apko: Reached",
     "Not measured: the service was not watched", "verify --variant apko --check vulnerabilities"),
    ("section#vulnerabilities tr[data-variant='jib'] td[data-key='reach']", "jib: Reached", GOT,
     "verify --variant jib --check vulnerabilities"),
    ("section#vulnerabilities tr[data-variant='apko'] td.reference", "apko: Reference", "A talk, November 2023", ""),
    ("#castle tr.sums:last-child td:nth-child(2)", "all-in-one: stopped, hardened", GOT,
     "attack --variant all-in-one --posture hardened"),
    ("#history tr[data-variant='ko'] td:nth-child(2)", "ko: 2031-01-03 00000000+", "2031-01-03 00000000+.", "report --history"),
    (".comparison tr[data-variant='apko'] td[data-key='reach']", f"apko: {REACH}",
     "Not measured: the service was not watched", "verify --variant apko --check vulnerabilities"),
])  # fmt: skip
def test_every_figure_of_every_table_tells_how_it_was_got(heavy_page, cell, title, words, command) -> None:
    page, panel = heavy_page, heavy_page.locator("#panel")
    page.set_viewport_size(WIDE)
    page.keyboard.press("Escape")  # it may be open, and lies over the right columns
    page.locator(cell).first.locator("button").first.click()
    assert page.locator("#panel-title").inner_text() == title
    assert words in panel.inner_text()
    assert panel.locator("code").all_inner_texts() == ([f"invoke {command}"] if command else [])
    if command:
        panel.get_by_role("button", name="Copy").click()
        panel.get_by_role("button", name=re.compile("Copied|Selected")).wait_for(timeout=10_000)


def test_no_figure_of_a_table_is_without_its_answer(heavy_page) -> None:
    """Whatever cell a reader asks."""
    silent = heavy_page.eval_on_selector_all(
        ":is(.comparison, .figures, #castle .sums) td",
        "all => all.filter(e => e.textContent.trim() && !e.querySelector('button')).map(e => e.outerHTML.slice(0, 90))",
    )
    assert silent == []


def test_copies_are_marked_and_a_heavy_file_lies_in_its_folder(visit, heavy) -> None:
    """Whichever of its layer's folders that is."""
    box = visit(f"{heavy.as_uri()}#layers-all-in-one").page.locator("#layers-all-in-one")
    for names in (["layer 1", "etc"], ["layer 1", "usr", "lib"]):
        for name in names:
            box.locator("svg [role='button']", has_text=name).first.click()
        if "etc" in names:
            assert box.locator(".tree li").all_inner_texts() == ["97.4 MB other files", "28.3 MB big.db"]
            box.locator(".crumbs button").first.click()
    assert box.locator(".tree .copy").first.inner_text().strip() == "stored 2 times: also /usr/share/copy0.so (layer 2)"
    assert box.locator("rect.copy").count() == 3
    assert "are copies" in box.locator(".note").first.inner_text()


@pytest.mark.slow
def test_forced_colours_lose_nothing(visit, changed) -> None:
    """Where the system chooses all colours, what only a colour told is told by a border or a word."""
    page = visit(changed.as_uri(), forced_colors="active", viewport=WIDE).page
    borders = {
        "#castle td.succeeded": ("Top", "2px"), "#castle td.s0": ("Top", "0px"), ".ship": ("Top", "1px"),
        ".badge": ("Top", "1px"), ".mark-regression": ("Top", "1px"), ".comparison tr.wrong > th": ("Left", "4px"),
    }  # fmt: skip
    for words, (side, width) in borders.items():
        style = f"element => getComputedStyle(element).border{side}Width"
        assert (words, page.locator(words).first.evaluate(style)) == (words, width)
    assert violations(page, (".since", "#changes", ".comparison", "#history")) == []
