"""Record real answers as the first API checks, list known operations, and say why a run proves little.

An answer is checked only as far as two containers agree each time that they are asked: times, host names and counters differ.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deadweight_init.draft import Doubt, Draft, Recorded
from deadweight_init.languages.sources import TESTS, served_document
from deadweight_init.prove.observe import LIKELY, NOWHERE, Health, Observation, all_lines, ask, first_line
from deadweight_init.records import SEEN, Known, wording
from deadweight_init.tree import Tree, aside
from deadweight_workload import answers, openapi

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer

_CODE = (
    r"[\w.-]+\.(?:go|rs|py|[cm]?[jt]sx?|java|kt|scala|groovy|rb|php|p[lm]|psgi|exs?|erl|cs|fs|c|h|cc|cpp|cxx|hpp|swift|lua|clj|hs|dart"
    r"|nim|zig|cr)"
)
_ROUTE = re.compile(
    r"""(?:^|[\s.@:(\[>])(?P<word>get|post|put|delete|patch|head|any|all|match|route|resource|handle|handlefunc|path|re_path|url|add_url_rule"""
    r"""|(?:get|post|put|delete|patch|request)mapping|map(?:get|post|put|delete|patch)|http(?:get|post|put|delete|patch)|crow_route|scope)"""
    r"""\b\s*!?\s*(?:\(|\s(?=["'`/]))\s*(?:\w+\s*,\s*)?(?:(?:value|path)\s*=\s*)?\{?\s*["'`](?:(?P<method>GET|POST|PUT|DELETE|PATCH|HEAD)\s+)?"""
    r"""(?P<path>/[^"'`\s]*)["'`]""",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER = re.compile(r"[:{<(*$\[]")
_MOST_FILES = 400


Routes = dict[tuple[str, str], bool]
"""By method and path: whether it is a GET that needs nothing but its path, and does no harm."""


def documented_routes(document: Any) -> Routes:
    """The operations of an OpenAPI document (2 and 3)."""
    known = ((it, it.method == "GET" and it.needs_nothing) for it in openapi.operations(document))
    return {(it.method, it.path): plain and not _DANGEROUS.search(it.own) for it, plain in known}


def routes_in_code(tree: Tree, folder: str) -> Routes:
    """What the code below a folder registers, in whichever language."""
    routes: Routes = {}
    inside = (path for path in tree.named[_CODE] if folder == "." or path.startswith(f"{folder}/"))
    plain_code = (path for path in inside if not aside(path) and not TESTS.search(path))
    for path in itertools.islice(plain_code, _MOST_FILES):
        for match in _ROUTE.finditer(tree.texts[path]):
            word, route = match["word"].lower(), match["path"]
            named = (verb for verb in openapi.METHODS if word.startswith((verb, f"map{verb}", f"http{verb}")))
            method = (match["method"] or next(named, "get")).upper()
            plain = method == "GET" and not _PARAMETER.search(route) and not _DANGEROUS.search(route)
            routes.setdefault((method, route), plain)
    return routes


FIRST_LINES = 60
_ERROR = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|EMERG|SEVERE)\b|\b(?:level|severity|lvl)\W{1,3}(?:error|fatal|critical|panic)\b|\[(?:error|emerg|crit|alert)\]"
    r"|^panic:|^Traceback \(most recent call last\)|\bUnhandled(?:PromiseRejection| exception)|\b(?:err|error|fatal)(?: \w+)?: \S"
    r"|\b(?:unable|failed) to (?:open|connect|load|read|find|start)\b"
)
_NO_ERROR = re.compile(
    r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?)\b|\blevel\W{1,3}(?:trace|debug|info|warn)|\b(?:no|0|without) errors?\b",
    re.IGNORECASE,
)


def doubts_of(
    health: Health, lines: Iterable[str], declared: Collection[int], closed: Collection[int], works: int
) -> Iterator[Doubt]:
    """Why what was seen proves little: an error in its first lines, a port that nothing declares, a port that must open and is
    ``closed``, health that is an error, no operation that works."""
    # What it says of a path that was only guessed is no fault of its own (nginx logs each file that is not there).
    guessed = [re.compile(rf"{re.escape(path)}(?![\w/])") for path in (NOWHERE, *LIKELY) if path != health.path]
    own = (line for line in lines if not any(path.search(line) for path in guessed))
    errors = (line for line in own if _ERROR.search(line) and not _NO_ERROR.search(line))
    yield from (Doubt("error_in_log", " ".join(line.split())[:160]) for line in itertools.islice(errors, 1))
    if health.kind != "exit" and health.port not in declared:
        ports = ", ".join(map(str, declared)) or "none"
        yield Doubt("undeclared_port", wording("doubt.undeclared_port", port=health.port, declared=ports))
    elif closed:
        yield Doubt("closed_port", wording("doubt.closed_port", ports=", ".join(map(str, closed))))
    if health.status >= 400:
        what = wording("doubt.health_is_an_error", path=health.path, status=health.status)
        yield Doubt("health_is_an_error", what)
    if not works and (health.kind == "http" or health.status):
        yield Doubt("no_operation", wording("doubt.no_operation"))


Place = tuple[str, int]
"""A path and a port."""

MOST = 30
ROUNDS, ROUNDS_SECONDS = 4, 20.0
"""So often the second container is asked; after so long no further time."""

_DANGEROUS = re.compile(
    r"panic|exit|quit|kill|shutdown|crash|delay|sleep|stream|slow|drip|logout|delete|metrics|env\b|debug", re.IGNORECASE
)


@dataclass
class Recorder:
    """Asks two containers of the first variant, each while it is up for another reason: a start may take long.

    ``described`` is the OpenAPI document of the repository, where it has one; the service may serve one under any of ``paths``.
    ``declared`` are the ports that the repository names, ``folder`` is that of its code.
    """

    tree: Tree
    described: Known[str] | None
    paths: Sequence[str] = ()
    declared: Sequence[int] = ()
    folder: str = "."
    lines: tuple[str, ...] = ()
    """The first lines that the service wrote."""
    _first: dict[Place, Answer | None] = field(default_factory=dict)
    _more: dict[Place, list[Answer | None]] = field(default_factory=dict)
    _known: int = 0
    _printed: str = ""

    def ask_first(self, container: Container, health: Health) -> None:
        """Find out what to ask, and ask it: on the port of its health, and at the root of the others that are declared."""
        # before an operation that is asked fails as it is meant to
        self.lines = tuple(all_lines(container)[:FIRST_LINES])
        if health.kind == "http":
            self.described, document = _described(container, health, self.tree, self.described, self.paths)
            listed = documented_routes(document) or routes_in_code(self.tree, self.folder)
            paths = dict.fromkeys((health.path, "/", *(path for (_, path), plain in listed.items() if plain)))
            open_now = {listener.port for listener in container.listeners() or () if not listener.loopback}
            others = [port for port in self.declared if port != health.port and port in open_now]
            places = [*((path, health.port) for path in list(paths)[:MOST]), *(("/", port) for port in others)]
            self._first = _answers(container, health, places)
            asked = {("GET", path) for path, port in places if port == health.port and self._first[path, port]}
            self._known = len(listed.keys() | asked)

    def ask_again(self, container: Container, health: Health) -> None:
        """Ask the same again, several times; of a job, take its first line."""
        if health.kind == "exit":
            self._printed = first_line(container)
        self._more = {place: [] for place in self._first}
        until = time.monotonic() + ROUNDS_SECONDS
        for number in range(ROUNDS):
            if number and time.monotonic() > until:
                break
            same = [place for place, first in self._first.items() if _same_status(first, self._more[place])]
            for place, answer in _answers(container, health, same).items():
                self._more[place].append(answer)

    def recorded(self, draft: Draft, seen: Observation) -> Draft:
        """The draft with what both answered, or printed, alike."""
        if seen.health.kind == "exit":
            return replace(draft, prints=seen.printed if self._printed == seen.printed else "")
        api = tuple(self._alike(seen.health.port))
        works = sum(200 <= answer.status < 300 for answer in api)
        service = replace(draft.service, described=self.described)
        return replace(draft, api=api, service=service, works=works, known=max(self._known, works))

    def _alike(self, port: int) -> Iterator[Recorded]:
        """What both always answer with one status below 500 becomes a check; a route of its code that is not found does not."""
        for place, first in self._first.items():
            more = self._more.get(place)
            if first is None or not more or not _same_status(first, more) or first.status >= 500:
                continue
            if not first.truncated and (first.status not in (404, 405) or place[0] == "/"):
                recorded = _recorded(place[0], first, more)
                yield recorded if place[1] == port else replace(recorded, port=place[1])


def _answers(container: Container, health: Health, places: Iterable[Place]) -> dict[Place, Answer | None]:
    """What each place answers; TLS is known of the port of its health alone."""
    return {(path, port): ask(container, port, path, tls=health.tls and port == health.port) for path, port in places}


def _same_status(first: Answer | None, more: Sequence[Answer | None]) -> bool:
    """Whether there was an answer each time, with one status."""
    return first is not None and all(answer is not None and answer.status == first.status for answer in more)


def _recorded(path: str, first: Answer, more: Sequence[Answer | None]) -> Recorded:
    json, kind = answers.is_json(first), answers.media_type(first)
    held = (answers.short_json(first), None) if json else (None, answers.short_text(first))
    return Recorded(
        path, first.status, kind, *(held if all(answer and answer.body == first.body for answer in more) else ())
    )


def _described(
    container: Container, health: Health, tree: Tree, known: Known[str] | None, paths: Sequence[str]
) -> tuple[Known[str] | None, Any]:
    """The OpenAPI document that the service serves, else the one of the repository, and what is in it."""
    if served := served_document(lambda path: ask(container, health.port, path, tls=health.tls), paths):
        return Known(served[0], f"{SEEN}: {wording('origin.serves_document')}"), served[1]
    return known, openapi.parsed(tree.texts[known.value]) if known else None
