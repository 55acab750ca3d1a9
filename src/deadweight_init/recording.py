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
from deadweight_init.coming_up import first_line
from deadweight_init.described import served
from deadweight_init.draft import Draft, Recorded
from deadweight_init.observe import Health, Seen, ask
from deadweight_init.records import SEEN, Known
from deadweight_init.tree import Tree

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer

MOST = 12
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
    """

    def __init__(self, tree: Tree, described: Known[str] | None, told: Sequence[str] = ()) -> None:
        self._tree, self.described, self._told = tree, described, told
        self._first: dict[str, Answer | None] = {}
        self._second: dict[str, Answer | None] = {}
        self._printed = ""

    def one(self, container: Container, health: Health) -> None:
        """Find out what to ask, and ask it."""
        if health.kind == "http":
            self.described, document = _described(container, health, self._tree, self.described, self._told)
            paths = dict.fromkeys((health.path, "/", *gets(document)))
            self._first = {path: ask(container, health.port, path, tls=health.tls) for path in list(paths)[:MOST]}

    def other(self, container: Container, health: Health) -> None:
        """Ask the same again; of a job, take its first line."""
        if health.kind == "exit":
            self._printed = first_line(container)
        self._second = {path: ask(container, health.port, path, tls=health.tls) for path in self._first}

    def recorded(self, draft: Draft, seen: Seen) -> Draft:
        """The draft with what both answered, or printed, alike."""
        if seen.health.kind == "exit":
            return replace(draft, prints=seen.printed if self._printed == seen.printed else "")
        return replace(draft, api=tuple(self._alike()), service=replace(draft.service, described=self.described))

    def _alike(self) -> Iterator[Recorded]:
        """What both answer with the same status below 500 becomes a check."""
        for path, first in self._first.items():
            second = self._second.get(path)
            if first is None or second is None or first.status != second.status or first.status >= 500:
                continue
            if not first.truncated:
                yield _recorded(path, first, second)


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


def gets(document: Any) -> Iterator[str]:
    """Paths of an OpenAPI document (2 and 3) that a GET needs nothing for."""
    for path, item in openapi.paths(document).items():
        operation = item.get("get")
        if not isinstance(operation, dict) or "{" in path or _DANGEROUS.search(path):
            continue
        given = [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]
        if any(isinstance(each, dict) and (each.get("required") or "$ref" in each) for each in given):
            continue
        if operation.get("security") or (document.get("security") and operation.get("security") is None):
            continue
        yield f"{openapi.prefix(document)}{path}"
