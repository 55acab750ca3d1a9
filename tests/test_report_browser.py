"""The page in a real browser: nothing is requested, nothing is logged, and it works on a phone, in the dark, without scripts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples

from deadweight.report.write import write_report

pytestmark = pytest.mark.browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# As root and in a container Chromium's own sandbox cannot start; the rest keeps it from asking for anything by itself.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OPEN_ALL = "document.querySelectorAll('details').forEach(details => { details.open = true; })"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium here; on Debian and Ubuntu: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
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
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def column(self, index: int) -> list[str]:
        cells = self.page.locator("table.comparison >> nth=0").locator(f"tbody tr > :nth-child({index})")
        return [text.strip() for text in cells.all_inner_texts()]


@pytest.fixture
def visit(chromium, address) -> Iterator[Any]:
    made: list[Visit] = []

    def make(**context: Any) -> Visit:
        made.append(Visit(chromium, address, **context))
        return made[-1]

    yield make
    for each in made:
        each.context.close()


def test_nothing_is_requested_and_nothing_is_logged(visit, address) -> None:
    seen = visit()
    seen.page.evaluate(OPEN_ALL)
    seen.page.wait_for_load_state("networkidle")
    assert seen.asked == [address]
    assert seen.said == []


def test_smuggled_markup_did_not_become_elements(visit) -> None:
    page = visit().page
    assert page.locator("script").count() == 1
    assert page.locator("b").count() == 0


def test_columns_sort_both_ways_with_what_is_not_measured_last(visit) -> None:
    seen = visit()
    names = seen.column(1)
    head = seen.page.locator("table.comparison >> nth=0").locator("thead th").nth(1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert seen.column(2) == ["11.2 MB", "12.9 MB", "14.7 MB", "98.4 MB", "1.13 GB", "not measured"]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert seen.column(2) == ["1.13 GB", "98.4 MB", "14.7 MB", "12.9 MB", "11.2 MB", "not measured"]
    seen.page.locator("table.comparison >> nth=0").locator("thead th").nth(0).get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert seen.column(1) == sorted(names)


def test_a_heat_map_cell_opens_to_its_evidence(visit) -> None:
    page = visit().page
    cell = page.locator("table.heat >> nth=0").locator("td.succeeded").first
    evidence = cell.get_by_text("canary came back")
    assert not evidence.is_visible()
    cell.locator("summary").click()
    assert evidence.is_visible()
    assert cell.get_by_text("c0ffee").is_visible()


def test_every_link_within_the_page_leads_somewhere(visit) -> None:
    page = visit().page
    targets = page.eval_on_selector_all(
        "a[href^='#']", "links => links.map(link => link.getAttribute('href').slice(1))"
    )
    assert targets
    assert [target for target in targets if page.locator(f"[id='{target}']").count() != 1] == []


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_the_body_never_scrolls_sideways(visit, width) -> None:
    page = visit(viewport={"width": width, "height": 800}).page
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    """Relative luminance of an ``rgb()`` colour (WCAG 2.2)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


BACKDROP = """element => {
  for (let node = element; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!colour.startsWith('rgba(') || !colour.endsWith(' 0)')) return colour;
  }
  return 'rgb(255, 255, 255)';
}"""
TEXTS = (
    "p, h1, h2, caption, th, td, .good, .warn, .bad, .muted, .badge, figcaption, summary, nav a, dt, code, "
    ".heat td summary, thead th.reference"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(visit, scheme) -> None:
    """At least 4.5 : 1 (WCAG 2.2, 1.4.3)."""
    page = visit(color_scheme=scheme).page
    page.evaluate(OPEN_ALL)
    pairs = page.eval_on_selector_all(
        TEXTS,
        f"all => all.map(e => [getComputedStyle(e).color, ({BACKDROP})(e), e.className + ' ' + e.textContent.slice(0, 40)])",
    )
    weak = {(text, background): label for text, background, label in pairs if contrast(text, background) < 4.5}
    assert weak == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pictures_take_the_colours_of_the_page(visit, scheme) -> None:
    page = visit(color_scheme=scheme).page
    label = page.locator(".chart svg text").first
    ink = label.evaluate("element => getComputedStyle(element).fill")
    assert contrast(ink, page.evaluate("getComputedStyle(document.body).backgroundColor")) >= 4.5


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_column_leaves_room_for_the_figures(visit, width) -> None:
    """In the comparison it stays where it is while the others are scrolled below it."""
    page = visit(viewport={"width": width, "height": 800}).page
    page.evaluate(OPEN_ALL)
    found = page.eval_on_selector_all("tbody th", "all => all.map(e => e.getBoundingClientRect().width)")
    assert len(found) > 10
    assert max(found) < width / 2
    sentence = page.locator("table.heat tbody th").first.bounding_box()
    assert sentence["width"] > 0.4 * min(width, 800), "what an attack is takes more than a word a line"


def test_a_path_is_not_broken_into_a_few_letters_a_line(visit) -> None:
    page = visit(viewport={"width": 360, "height": 800}).page
    page.evaluate(OPEN_ALL)
    lines = page.eval_on_selector_all(
        "td > code", "all => all.map(e => e.textContent.length / e.getClientRects().length)"
    )
    assert max(lines) > 15
    paths = page.locator("td:first-child > code")
    assert [box.evaluate("e => e.getClientRects().length") for box in paths.all()[:2]] == [1, 2]


def test_it_is_all_there_without_scripts(visit) -> None:
    page = visit(java_script_enabled=False).page
    assert page.locator("table.comparison >> nth=0").locator("tbody tr").count() == 6
    page.locator("details.variant > summary").nth(1).click()
    assert page.get_by_text("set-user-id", exact=False).nth(1).is_visible()


def test_the_pictures_are_pictures_with_a_description(visit) -> None:
    page = visit().page
    pictures = page.get_by_role("img").all()
    assert len(pictures) >= 2
    for picture in pictures[:2]:
        assert "ladder" in (picture.get_attribute("aria-label") or "")
        assert picture.bounding_box()["height"] > 50


@pytest.mark.parametrize("font", ["Liberation Sans", "DejaVu Sans"])
def test_no_text_of_a_picture_is_cut_off(visit, font) -> None:
    """Whatever font the reader has: vl-convert measured the texts in another."""
    page = visit(viewport={"width": 1400, "height": 900}).page
    page.evaluate(OPEN_ALL)
    cut = page.eval_on_selector_all(
        ".chart svg text",
        """(texts, font) => texts.filter(text => {
          text.style.fontFamily = font;
          const [inner, outer] = [text, text.ownerSVGElement].map(element => element.getBoundingClientRect());
          return inner.left < outer.left || inner.right > outer.right;
        }).map(text => text.textContent)""",
        font,
    )
    assert cut == []


def test_a_published_folder_opens_the_same(chromium, tmp_path) -> None:
    from deadweight.publish.report import publish

    write_report(samples.report(), tmp_path / "report")
    publish(tmp_path / "report", str(tmp_path / "site"))
    seen = Visit(chromium, (Path(tmp_path) / "site" / "index.html").as_uri())
    assert seen.said == []
    assert seen.page.title() == "sample-suite: container images compared"
    seen.context.close()
