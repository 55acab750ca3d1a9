"""The places in a suite's own requests that take a value of the client's, and the requests with another value there."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from deadweight.suite.requests import ApiCheck, HttpRequest

MOST_AIMS = 12
"""More would take minutes; those of the first requests count. Of a document's so many come on top."""

AS_IT_IS = "path, not quoted"


@dataclass(frozen=True)
class Aim:
    """One such place: ``kind`` is ``query``, ``json``, ``form``, ``header``, ``path`` or ``AS_IT_IS``, ``name`` the parameter or
    field. In a path ``{name}`` stands for it, and slashes in the value are quoted or not."""

    request: HttpRequest
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.request.method} {self.request.path.partition('?')[0]} {self.kind} {self.name}"

    def at(self, value: str) -> HttpRequest:
        """The request with this value in that place."""
        if self.kind == "query":
            path, _, query = self.request.path.partition("?")
            words = [(key, value if key == self.name else was) for key, was in _words(query)]
            return self.request.model_copy(update={"path": f"{path}?{urllib.parse.urlencode(words)}"})
        if self.kind in ("path", AS_IT_IS):
            word = urllib.parse.quote(value, safe="/" if self.kind == AS_IT_IS else "")
            return self.request.model_copy(update={"path": self.request.path.replace(f"{{{self.name}}}", word)})
        if self.kind == "header":
            return self.request.model_copy(update={"headers": {**self.request.headers, self.name: value}})
        field = "json_body" if self.kind == "json" else "form"
        return self.request.model_copy(update={field: {**getattr(self.request, field), self.name: value}, "repeat": {}})


def aims(items: Sequence[ApiCheck], documented: Iterable[Aim] = ()) -> tuple[Aim, ...]:
    """The places of these checks' requests to the service's own port, and those that a document names, each once."""
    own = [item.request for item in items if item.request.port is None]
    found = {str(aim): aim for request in own for aim in _aims(request)}
    further = {str(aim): aim for aim in documented if str(aim) not in found}
    return (*tuple(found.values())[:MOST_AIMS], *tuple(further.values())[:MOST_AIMS])


def _aims(request: HttpRequest) -> Iterator[Aim]:
    yield from (Aim(request, "query", name) for name, _ in _words(request.path.partition("?")[2]))
    if isinstance(request.json_body, dict):
        yield from (Aim(request, "json", name) for name, value in request.json_body.items() if isinstance(value, str))
    yield from (Aim(request, "form", name) for name in request.form or ())


def _words(query: str) -> list[tuple[str, str]]:
    return urllib.parse.parse_qsl(query, keep_blank_values=True)
