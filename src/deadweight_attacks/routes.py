"""Find where a suite's HTTP requests and OpenAPI operations take a client's value, and replace that value."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deadweight.suite.checks import ApiCheck, HttpRequest
from deadweight_attacks.walls import TABLES
from deadweight_workload import openapi
from deadweight_workload.simplest import BODY, Example, settable

# The places that an OpenAPI document (2 and 3) names: parameters of paths, queries and headers, texts of bodies.
METHODS = ("get", "post", "put", "patch")


def documented(document: Any, base: str | None = None) -> Iterator[Aim]:
    """Every place in every operation, in the document's order. What no HTTP request can be made of is passed over.

    ``base``: the path below which they are; None: where the document says.
    """
    for operation in openapi.operations(document, base, METHODS):
        with contextlib.suppress(ValueError):
            yield from list(_aims_of(Example(operation)))


def all_gets(document: Any, base: str | None = None) -> Iterator[HttpRequest]:
    """Every GET, with an example of all that it needs."""
    for operation in openapi.operations(document, base, METHODS[:1]):
        with contextlib.suppress(ValueError):
            yield Example(operation).request()


def takes_nothing(document: Any) -> bool:
    """Whether it names operations, and none of them, whatever its method, takes a parameter or a body."""
    items = openapi.paths(document).values()
    parts = [part for item in items for part in (item, *item.values()) if isinstance(part, dict)]
    return bool(parts) and not any(part.get("parameters") or part.get("requestBody") for part in parts)


def _aims_of(example: Example) -> Iterator[Aim]:
    for place, name in example.parameters:
        request = example.request((place, name))
        if place == "path" and f"{{{name}}}" in request.path:
            yield Aim(request, "path", name)
            yield Aim(request, AS_IT_IS, name)
        elif place == "query" or (place == "header" and settable(name)):
            yield Aim(request, place, name)
    kind, content = example.body
    whole = example.request()
    if kind == "json":
        yield from texts(whole)
    elif kind == BODY:
        yield Aim(whole, BODY, "")
    else:
        yield from (Aim(whole, kind, name) for name in content)


MOST_AIMS = 12
"""More would take minutes; those of the first requests count."""
MOST_DOCUMENTED = 24
"""So many of a document's come on top."""

AS_IT_IS = "path, not quoted"
UNCHANGED = "unchanged"
PARAMETERS, HEADERS = "added parameters", "added headers"
GUESSED_PARAMETERS: tuple[str, ...] = (*TABLES["guessed_parameters"],)
GUESSED_HEADERS = ("User-Agent", "Referer", "X-Forwarded-For", "X-Forwarded-Host", "X-Original-URL")
SEGMENT = "segment"
GUESSABLE = ("GET", "POST", "PUT", "PATCH")
"""What deletes is asked for as the suite asks, and not otherwise; the answers to HEAD and OPTIONS show nothing."""
MOST_GUESSES = 24


Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Aim:
    """One such place: ``kind`` is ``query``, ``json``, ``form``, ``header``, ``path``, ``AS_IT_IS`` or ``BODY``, ``name`` the
    parameter or field. In a path ``{name}`` stands for it, and slashes in the value are quoted or not. ``keys`` lead to a text
    of a JSON body. ``PARAMETERS`` and ``HEADERS`` are all those of well-known names at once; ``UNCHANGED`` takes no value.

    ``expects``: nobody says that the service takes a value there. Then one that is answered with this status, which the suite
    expects of the request as it is, has arrived.
    """

    request: HttpRequest
    kind: str
    name: str
    expects: int | None = None
    keys: Keys = ()

    def __str__(self) -> str:
        return f"{self.request.method} {self.request.path.partition('?')[0]} {self.kind} {self.name}".rstrip()

    def at(self, value: str) -> HttpRequest:
        """The request with this value in that place."""
        if self.kind == "query":
            path, _, query = self.request.path.partition("?")
            words = [(key, value if key == self.name else was) for key, was in _words(query)]
            return self.request.model_copy(update={"path": f"{path}?{urllib.parse.urlencode(words)}"})
        if self.kind in ("path", AS_IT_IS):
            word = urllib.parse.quote(value, safe="/" if self.kind == AS_IT_IS else "")
            return self.request.model_copy(update={"path": self.request.path.replace(f"{{{self.name}}}", word)})
        if self.kind == PARAMETERS:
            words = [(name, value) for name in GUESSED_PARAMETERS]
            return self.request.model_copy(update={"path": f"{self.request.path}?{urllib.parse.urlencode(words)}"})
        if self.kind in ("header", HEADERS):
            names = GUESSED_HEADERS if self.kind == HEADERS else (self.name,)
            return self.request.model_copy(update={"headers": {**self.request.headers, **dict.fromkeys(names, value)}})
        if self.kind == BODY:
            return self.request.model_copy(update={"body": value, "body_file": None, "repeat_body": 1})
        if self.kind == UNCHANGED:
            return self.request
        if self.kind == "json":
            body = _changed(self.request.json_body, self.keys, value)
            return self.request.model_copy(update={"json_body": body, "repeat": {}})
        return self.request.model_copy(update={"form": {**(self.request.form or {}), self.name: value}, "repeat": {}})

    def having(self, headers: Mapping[str, str]) -> Aim:
        """The same place, of the request with these headers in addition."""
        return replace(self, request=self.request.model_copy(update={"headers": {**self.request.headers, **headers}}))


def aims(items: Sequence[ApiCheck], documented: Iterable[Aim] = ()) -> tuple[Aim, ...]:
    """The places of these checks' requests to the service's own port, and those that a document names, each once. Where no
    document names any, parts of these requests' paths too, and where there is no place at all, others on these routes that a
    service may well look at."""
    asked, further = _named(items, documented)
    if further:
        return (*asked[:MOST_AIMS], *further[:MOST_DOCUMENTED])
    own = [item for item in items if item.request.port is None]
    guessed = {str(aim): aim for aim in _guessed(own) if not asked or aim.name == SEGMENT}
    return (*asked[:MOST_AIMS], *tuple(guessed.values())[: MOST_AIMS if asked else MOST_GUESSES])


def left_out(items: Sequence[ApiCheck], documented: Iterable[Aim] = ()) -> int:
    """How many of these places are too many."""
    asked, further = _named(items, documented)
    return max(len(asked) - MOST_AIMS, 0) + max(len(further) - MOST_DOCUMENTED, 0)


def _named(items: Sequence[ApiCheck], documented: Iterable[Aim]) -> tuple[list[Aim], list[Aim]]:
    own = [item for item in items if item.request.port is None]
    asked = {str(aim): aim for item in own for aim in _aims(item.request)}
    further = {str(aim): aim for aim in documented if str(aim) not in asked}
    return list(asked.values()), list(further.values())


def _aims(request: HttpRequest) -> Iterator[Aim]:
    yield from (Aim(request, "query", name) for name, _ in _words(request.path.partition("?")[2]))
    yield from texts(request)
    yield from (Aim(request, "form", name) for name in request.form or ())
    if request.body is not None or request.body_file is not None:
        yield Aim(request, BODY, "")


def texts(request: HttpRequest) -> Iterator[Aim]:
    """The texts of its JSON body, however deep they lie in it."""
    for keys in _texts(request.json_body):
        yield Aim(request, "json", ".".join(map(str, keys)), keys=keys)


def _texts(value: Any, keys: Keys = ()) -> Iterator[Keys]:
    if isinstance(value, str):
        yield keys
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*keys, key))
    elif isinstance(value, list) and value:
        yield from _texts(value[0], (*keys, 0))  # its others are of the same kind


def _changed(value: Any, keys: Keys, text: str) -> Any:
    if not keys:
        return text
    parts = enumerate(value) if isinstance(value, list) else value.items()
    changed = {key: _changed(inner, keys[1:], text) if key == keys[0] else inner for key, inner in parts}
    return list(changed.values()) if isinstance(value, list) else changed


def _guessed(items: Iterable[ApiCheck]) -> Iterator[Aim]:
    """The last part of a path, and others with a digit in them; parameters; and, of the first request, headers, at which a service
    looks on every route."""
    some = [item for item in items if item.request.method in GUESSABLE]
    for item in some:
        status, path = item.expect.status, item.request.path.partition("?")[0]
        yield Aim(item.request.model_copy(update={"path": path}), PARAMETERS, "", status)
        parts = path.strip("/").split("/")
        last = len(parts) - 1
        for index in [last, *(number for number in range(last) if any(map(str.isdigit, parts[number])))]:
            whole = "/".join([*parts[:index], "{segment}", *parts[index + 1 :]])
            opened = item.request.model_copy(update={"path": f"/{whole}"})
            yield from (Aim(opened, kind, SEGMENT, status) for kind in ("path", AS_IT_IS))
    yield from (Aim(item.request, HEADERS, "", item.expect.status) for item in some[:1])


def _words(query: str) -> list[tuple[str, str]]:
    return urllib.parse.parse_qsl(query, keep_blank_values=True)
