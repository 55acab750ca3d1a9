"""The places in a suite's own requests that take a value of the client's, and the requests with another value there."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deadweight.suite.requests import ApiCheck, HttpRequest

MOST_AIMS = 12
"""More would take minutes; those of the first requests count. Of a document's so many come on top."""

AS_IT_IS = "path, not quoted"
PARAMETERS, HEADERS, BODY = "added parameters", "added headers", "body"
GUESSED_PARAMETERS = (
    "q", "query", "search", "name", "id", "file", "filename", "path", "page", "template", "view", "url", "uri", "redirect", "next",
    "host", "cmd", "exec", "input", "message", "lang",
)  # fmt: skip
GUESSED_HEADERS = ("User-Agent", "Referer", "X-Forwarded-For", "X-Forwarded-Host", "X-Original-URL")
SEGMENT = "segment"
GUESSABLE = ("GET", "POST", "PUT", "PATCH")
"""What deletes is asked for as the suite asks, and not otherwise; the answers to HEAD and OPTIONS show nothing."""
MOST_GUESSES = 24


@dataclass(frozen=True)
class Aim:
    """One such place: ``kind`` is ``query``, ``json``, ``form``, ``header``, ``path``, ``AS_IT_IS`` or ``BODY``, ``name`` the
    parameter or field. In a path ``{name}`` stands for it, and slashes in the value are quoted or not. ``PARAMETERS`` and
    ``HEADERS`` are all those of well-known names at once.

    ``expects``: nobody says that the service takes a value there. Then one that is answered with this status, which the suite
    expects of the request as it is, has arrived.
    """

    request: HttpRequest
    kind: str
    name: str
    expects: int | None = None

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
        field = "json_body" if self.kind == "json" else "form"
        return self.request.model_copy(update={field: {**getattr(self.request, field), self.name: value}, "repeat": {}})


def aims(items: Sequence[ApiCheck], documented: Iterable[Aim] = ()) -> tuple[Aim, ...]:
    """The places of these checks' requests to the service's own port, and those that a document names, each once. Where there is
    none of either, places on the routes of these requests that a service may well look at."""
    own = [item for item in items if item.request.port is None]
    found = {str(aim): aim for item in own for aim in _aims(item.request)}
    further = {str(aim): aim for aim in documented if str(aim) not in found}
    if not found and not further:
        return tuple({str(aim): aim for aim in _guessed(own)}.values())[:MOST_GUESSES]
    return (*tuple(found.values())[:MOST_AIMS], *tuple(further.values())[:MOST_AIMS])


def _aims(request: HttpRequest) -> Iterator[Aim]:
    yield from (Aim(request, "query", name) for name, _ in _words(request.path.partition("?")[2]))
    if isinstance(request.json_body, dict):
        yield from (Aim(request, "json", name) for name, value in request.json_body.items() if isinstance(value, str))
    yield from (Aim(request, "form", name) for name in request.form or ())
    if request.body is not None or request.body_file is not None:
        yield Aim(request, BODY, "")


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
            opened = item.request.model_copy(
                update={"path": f"/{'/'.join([*parts[:index], '{segment}', *parts[index + 1 :]])}"}
            )
            yield from (Aim(opened, kind, SEGMENT, status) for kind in ("path", AS_IT_IS))
    yield from (Aim(item.request, HEADERS, "", item.expect.status) for item in some[:1])


def _words(query: str) -> list[tuple[str, str]]:
    return urllib.parse.parse_qsl(query, keep_blank_values=True)
