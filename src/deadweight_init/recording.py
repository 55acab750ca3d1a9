"""First api checks from real answers: what an OpenAPI document names, else the root and the health path.

Only what two containers answer alike is held in the body: times, host names and counters differ between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deadweight.suite import openapi
from deadweight_init.coming_up import first_line, first_lines
from deadweight_init.described import served
from deadweight_init.doubts import FIRST_LINES
from deadweight_init.draft import Draft, Recorded
from deadweight_init.observe import Health, Seen, ask
from deadweight_init.operations import described, routes
from deadweight_init.records import SEEN, Known
from deadweight_init.tree import Tree

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer

Place = tuple[str, int]
"""A path and a port."""

MOST = 30
MOST_JSON = 300
MOST_TEXT = 60
_DANGEROUS = re.compile(
    r"panic|exit|quit|kill|shutdown|crash|delay|sleep|stream|slow|drip|logout|delete|metrics|env\b|debug", re.IGNORECASE
)

_OF_THE_BUILD = re.compile(
    r"version|revision|commit|\bgit|sha\d*$|build|built|compile|hostname|platform|arch$|^os$|^go(?:os)?$|^node$|python|^java|jdk|jvm"
    r"|runtime|kernel|uptime|memory|^cpus?$|^pid$|^uid$|^cwd$",
    re.IGNORECASE,
)
"""Names of values that a build or a base puts in: they differ between variants that answer alike."""


class Recorder:
    """Asks two containers of the first variant, each while it is up for another reason: a start may take long.

    ``described`` is the OpenAPI document of the repository, where it has one; the service may serve one under a path of ``told``.
    ``declared`` are the ports that the repository names, ``folder`` is that of its code.
    """

    def __init__(
        self,
        tree: Tree,
        described: Known[str] | None,
        told: Sequence[str] = (),
        declared: Sequence[int] = (),
        folder: str = ".",
    ) -> None:
        self._tree, self.described, self._told, self._declared, self._folder = tree, described, told, declared, folder
        self._first: dict[Place, Answer | None] = {}
        self._second: dict[Place, Answer | None] = {}
        self._known = 0
        self._printed = ""
        self.lines: tuple[str, ...] = ()
        """The first lines that the service wrote."""

    def one(self, container: Container, health: Health) -> None:
        """Find out what to ask, and ask it: on the port of its health, and at the root of the others that are declared."""
        if health.kind == "http":
            self.described, document = _described(container, health, self._tree, self.described, self._told)
            listed = described(document, _DANGEROUS) or routes(self._tree, self._folder, _DANGEROUS)
            paths = dict.fromkeys((health.path, "/", *(each.path for each in listed if each.is_plain)))
            open_now = {each.port for each in container.listeners() or () if not each.loopback}
            others = [port for port in self._declared if port != health.port and port in open_now]
            places = [*((path, health.port) for path in list(paths)[:MOST]), *(("/", port) for port in others)]
            self._first = {
                (path, port): ask(container, port, path, tls=health.tls and port == health.port)
                for path, port in places
            }
            asked = {("GET", path) for path, port in places if port == health.port and self._first[path, port]}
            self._known = len({(each.method, each.path) for each in listed} | asked)
        self.lines = first_lines(container, FIRST_LINES)

    def other(self, container: Container, health: Health) -> None:
        """Ask the same again; of a job, take its first line."""
        if health.kind == "exit":
            self._printed = first_line(container)
        self._second = {
            (path, port): ask(container, port, path, tls=health.tls and port == health.port)
            for path, port in self._first
        }

    def recorded(self, draft: Draft, seen: Seen) -> Draft:
        """The draft with what both answered, or printed, alike."""
        if seen.health.kind == "exit":
            return replace(draft, prints=seen.printed if self._printed == seen.printed else "")
        api = tuple(self._alike(seen.health.port))
        works = sum(200 <= each.status < 300 for each in api)
        service = replace(draft.service, described=self.described)
        return replace(draft, api=api, service=service, works=works, known=max(self._known, works))

    def _alike(self, port: int) -> Iterator[Recorded]:
        """What both answer with the same status below 500 becomes a check; a route of its code that is not found does not."""
        for place, first in self._first.items():
            second = self._second.get(place)
            if first is None or second is None or first.status != second.status or first.status >= 500:
                continue
            if not first.truncated and (first.status not in (404, 405) or place[0] == "/"):
                recorded = _recorded(place[0], first, second)
                yield recorded if place[1] == port else replace(recorded, port=place[1])


def _recorded(path: str, first: Answer, second: Answer) -> Recorded:
    kind = first.headers.get("content-type", "").split(";")[0].strip()
    plain = kind if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else ""
    if first.body != second.body:
        return Recorded(path, first.status, plain)
    if "json" in kind or first.body.lstrip()[:1] in (b"{", b"["):
        return Recorded(path, first.status, plain, json=_json(first))
    return Recorded(path, first.status, plain, text=_text(first))


def _json(answer: Answer) -> str | None:
    """The document where it is short; of a long mapping the values that are short."""
    try:
        value = answer.json()
    except ValueError:
        return None
    value = held(value)
    if isinstance(value, dict) and len(json.dumps(value)) > MOST_JSON:
        value = {key: each for key, each in value.items() if isinstance(each, str | int | bool) and len(str(each)) < 60}
    if value in ({}, None):
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_JSON else None


def held(value: Any) -> Any:
    """A document without what the build or the base puts in."""
    if isinstance(value, dict):
        return {key: held(each) for key, each in value.items() if not _OF_THE_BUILD.search(key)}
    return [held(each) for each in value] if isinstance(value, list) else value


def _text(answer: Answer) -> str | None:
    """Its title, or its first line."""
    text = answer.text()
    title = re.search(r"<title>([^<\n]{1,60})</title>", text)
    line = title[0] if title else next((each.strip() for each in text.splitlines() if each.strip()), "")
    return line[:MOST_TEXT] if line and line.isprintable() else None


def _described(
    container: Container, health: Health, tree: Tree, known: Known[str] | None, told: Sequence[str]
) -> tuple[Known[str] | None, Any]:
    """The OpenAPI document that the service serves, else the one of the repository, and what is in it."""
    if found := served(lambda path: ask(container, health.port, path, tls=health.tls), told):
        return Known(found[0], f"{SEEN}: it serves its OpenAPI document"), found[1]
    return known, openapi.parsed(tree.text(known.value)) if known else None
