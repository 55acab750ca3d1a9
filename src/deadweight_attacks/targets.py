"""Choose the places for HTTP attacks, from the suite's requests and OpenAPI document; skip routes that refuse us."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from deadweight.suite.checks import HttpRequest
from deadweight_attacks.containers import Yard
from deadweight_attacks.deliver import NOT_LET_IN
from deadweight_attacks.lab import Lab
from deadweight_attacks.routes import SEGMENT, UNCHANGED, Aim, aims, all_gets, documented, left_out, takes_nothing
from deadweight_attacks.session import OBEYED
from deadweight_attacks.walls import wording
from deadweight_workload import openapi
from deadweight_workload.api import prepare

SECONDS = 8.0
MOST_TOLD = 6


def take_aim(lab: Lab, yard: Yard) -> None:
    """Fill in the lab's places and routes, and notes on those that are not looked into. Raises CannotStart, NoService."""
    wanted = lab.variant.checks.attacks
    name = wanted.openapi if wanted is not None else None
    own = [item.request for item in lab.variant.checks.api if item.request.port is None]
    document, base = None, None
    if name is not None:
        document = (
            _served(yard, name, _keys(own)) if name.startswith("/") else openapi.read(lab.subject.suite.root / name)
        )
        if not openapi.paths(document):
            lab.notes["openapi"] = wording("untried.no_openapi", name=name)
        base = _base(lab, yard, document, name)
        document = None if base == openapi.NOWHERE else document
    routes = [*own, *all_gets(document, base)]
    places = aims(lab.variant.checks.api, documented(document, base))
    lab.takes_nothing = takes_nothing(document) and not places
    telling = tuple(aim for aim in places if aim.expects is None or _telling(aim, lab.variant.health.path))
    if places and not telling:
        lab.notes["nowhere"] = wording("untried.nowhere")
    if passed := left_out(lab.variant.checks.api, documented(document, base)):
        tried = sum(aim.expects is None for aim in places)  # guesses come on top
        lab.notes["left-out"] = wording("untried.places", all=tried + passed, tried=tried)
    doors = _Doors(lab, yard, own)
    lab.aims = tuple(doors.reachable(telling))
    if doors.closed:
        names = [name for name in doors.closed if f"{{{SEGMENT}}}" not in name] or list(doors.closed)
        shown = ", ".join([*names[:MOST_TOLD], *(["…"] if len(names) > MOST_TOLD else [])])
        lab.notes["closed"] = wording("untried.closed", routes=shown)
    lab.routes = tuple(doors.reachable(Aim(route, UNCHANGED, "") for route in routes))


def _telling(guess: Aim, health: str) -> bool:
    """Whether a route that is named without a value may take one: one that is not there takes none, and one that tells how the
    service is hardly does, unless it is the front page."""
    path = guess.request.path.partition("?")[0]
    return guess.expects not in openapi.NOT_THERE and (path == "/" or path != health.partition("?")[0])


def _keys(own: Sequence[HttpRequest]) -> list[dict[str, str]]:
    """What the suite's requests show who asks: no header, and each of their sets of headers."""
    return list({repr(sorted(keys.items())): keys for keys in ({}, *(request.headers for request in own))}.values())


def _served(yard: Yard, path: str, keys: Sequence[Mapping[str, str]]) -> Any:
    """A document that the service gives; None where it gives none."""
    for headers in keys:
        yard.get()
        try:
            answer = yard.route.request("GET", path, headers=headers, timeout=SECONDS)
        except (OSError, http.client.HTTPException):
            return None
        if answer.status not in NOT_LET_IN:
            return openapi.parsed(answer.text()) if answer.status == OBEYED else None
    return None


def _status(lab: Lab, yard: Yard, request: HttpRequest) -> int:
    """Of its answer; 0 where there is none."""
    yard.get()
    sent = prepare(request, lab.subject.suite.root)
    try:
        return yard.route.request(sent.method, sent.path, headers=sent.headers, body=sent.body, timeout=SECONDS).status
    except (OSError, http.client.HTTPException):
        return 0


def _harmless(aim: Aim) -> HttpRequest:
    """The request as it was before a value is put in."""
    return aim.at("a") if f"{{{aim.name}}}" in aim.request.path else aim.request


def _base(lab: Lab, yard: Yard, document: Any, name: str) -> str | None:
    """Below which path the document's routes are; None: where it says. NOWHERE where none of them is there, with a note."""
    requests = (*all_gets(document, None), *(_harmless(aim) for aim in documented(document, None)))
    base, asked = openapi.base_of(document, name, requests, lambda request: _status(lab, yard, request))
    if base == openapi.NOWHERE:
        lab.notes["openapi"] = wording("untried.no_route", name=name, asked=asked)
    return base


class _Doors:
    """Which routes let in who asks as the suite does. Each is asked once with each set of headers that its own requests have, and
    where it refuses, with those of the suite's other requests: a document rarely has an example of a key."""

    def __init__(self, lab: Lab, yard: Yard, own: Sequence[HttpRequest]) -> None:
        self.lab, self.yard, self.keys = lab, yard, _keys(own)
        self.closed: dict[str, None] = {}
        self._opened: dict[tuple[str, str, str], tuple[int, dict[str, str]]] = {}

    def reachable(self, places: Iterable[Aim]) -> Iterator[Aim]:
        for aim in places:
            request = _harmless(aim)
            route = (request.method, request.path.partition("?")[0], repr(sorted(request.headers.items())))
            if route not in self._opened:
                self._opened[route] = self._opening(aim)
            status, headers = self._opened[route]
            if status in NOT_LET_IN:
                if aim.kind != UNCHANGED:
                    self.closed[f"{aim.request.method} {aim.request.path.partition('?')[0]}"] = None
            elif (
                aim.kind != UNCHANGED or status not in openapi.NOT_THERE
            ):  # one that has no end would only keep others waiting
                yield aim.having(headers) if headers else aim

    def _opening(self, aim: Aim) -> tuple[int, dict[str, str]]:
        """The status of the answer, and the headers that open it."""
        first = 0
        for headers in self.keys:
            status = _status(self.lab, self.yard, _harmless(aim.having(headers)))
            if status not in NOT_LET_IN:
                return status, headers
            first = first or status
        return first, {}
