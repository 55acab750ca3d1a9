"""Follow a service's own links from its front page: links, assets, and forms that are sent with GET."""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from deadweight_workload.model import operation_of
from deadweight_workload.openapi import NOT_THERE

if TYPE_CHECKING:
    from deadweight.engine.http import Answer

MOST_REQUESTS, MOST_SECONDS = 40, 10.0
MOST_LINKS, MOST_PAGE = 400, 2**20
_LINKS = {"a": "href", "link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


def crawl(get: Callable[[str], Answer | None], harmless: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """The paths that the service links to, one for each operation, and whether it answers there with what is no error.

    ``get`` asks for a path. ``harmless``: paths that it is not true of are named only, and never asked for.
    """
    end, left, seen, waiting = time.monotonic() + MOST_SECONDS, MOST_REQUESTS, {operation_of("GET", "/")}, ["/"]
    while waiting:
        path = waiting.pop(0)
        if not harmless(path) or not left or time.monotonic() > end:
            yield path, False
            continue
        answer, left = get(path), left - 1
        if answer is not None and answer.status not in NOT_THERE:
            yield path, answer.status < 400
        for link in _linked(path, answer) if answer is not None else ():
            if (operation := operation_of("GET", link)) not in seen and len(seen) < MOST_LINKS:
                seen.add(operation)
                waiting.append(link)


def _linked(path: str, answer: Answer) -> Iterator[str]:
    """Paths on the same host, without fragments."""
    page = _Page()
    if answer.headers.get("content-type", "").startswith("text/html"):
        with contextlib.suppress(AssertionError):  # of markup that the parser does not expect
            page.feed(answer.text()[:MOST_PAGE])
    here = f"http://service{path}"
    for link in (answer.headers.get("location", ""), *page.links):
        try:
            url = urllib.parse.urlsplit(urllib.parse.urljoin(here, link))
        except ValueError:
            continue
        if link and url.scheme == "http" and url.netloc == "service":
            yield f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links = list[str]()
        self._form: tuple[str, dict[str, str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            get = named.get("method", "get").lower() == "get"
            self._form = (named.get("action", ""), {}) if get else None
        elif tag == "input" and self._form and named.get("name") and named.get("type") != "password":
            self._form[1][named["name"]] = named.get("value") or "a"
        elif tag in _LINKS and _LINKS[tag] in named:
            self.links.append(named[_LINKS[tag]])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._form:
            action, fields = self._form
            self.links.append(f"{action.partition('?')[0]}?{urllib.parse.urlencode(fields)}")
            self._form = None
