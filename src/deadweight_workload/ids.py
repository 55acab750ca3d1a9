"""Send later requests with what a service answered to earlier ones: ids of what a POST made, and what a document links."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from deadweight_workload.openapi import pointed

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer
    from deadweight_workload.model import Prepared, Step

LEAST_NAME = 6
"""A shorter id may stand in a text by chance."""
_EXPRESSION = re.compile(
    r"\$(?:(?P<plain>method|statusCode)|(?P<side>request|response)\.(?:body#?(?P<pointer>.*)|(?P<place>header|query|path)\.(?P<name>.+)))"
)
"""OpenAPI 3.1, "Runtime Expressions", without ``$url``."""


def ids_of(container: Container) -> Ids:
    """Those of a container: each has its own."""
    return _KNOWN.setdefault(container, Ids())


class Ids:
    """What a service called the things that it made, by the path they were sent to or, where a link says so, by the operation that
    needs them. ``fixed``: nothing more is noted, as where requests are sent at once and chance decides which is answered last."""

    def __init__(self) -> None:
        self._made = defaultdict[str, dict[str, str]](dict)
        self._deleted = set[str]()
        self.fixed = False

    def hear(self, step: Step, request: Prepared, answer: Answer) -> None:
        """Note what a POST made, what a DELETE took away, and what the links of its operation name."""
        if self.fixed or not 200 <= answer.status < 300:
            return
        path = request.path.partition("?")[0].rstrip("/")
        if request.method == "DELETE":
            self._deleted.add(path)
        for link in step.links:
            if value := _valued(link.value, step, request, answer):
                self._made[link.operation][link.parameter] = value
        if request.method != "POST":
            return
        made = {"": _last(answer.headers.get("location", ""))}
        with contextlib.suppress(ValueError):
            document = answer.json()
            inner = document.get("data") if isinstance(document, dict) else None
            for part in (inner, document):
                values = part.items() if isinstance(part, dict) else ()
                made |= {key: str(value) for key, value in values if isinstance(value, str | int) and value != ""}
        self._made[path] = made
        self._deleted -= {f"{path}/{urllib.parse.quote(name, safe='%')}" for name in made.values()}

    def filled(self, step: Step, request: Prepared) -> Prepared:
        """The step's request, with these names in the places of its operation's template (``GET /items/{id}``) and query. Only a
        DELETE names again what was deleted: other requests have their own values then."""
        path, mark, query = request.path.partition("?")
        parts, template = path.split("/"), step.operation.partition(" ")[2].split("/")
        if step.source == "suite" or step.as_is:
            return request
        linked = self._made.get(step.operation, {})
        for at, part in enumerate(template if len(parts) == len(template) else ()):
            if part.startswith("{"):
                above = "/".join(parts[:at])
                name = urllib.parse.quote(linked.get(part[1:-1]) or self._name(above, part[1:-1]), safe="%")
                if name and (request.method == "DELETE" or f"{above}/{name}" not in self._deleted):
                    parts[at] = name
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        if linked.keys() & dict(pairs):
            query = urllib.parse.urlencode([(name, linked.get(name, value)) for name, value in pairs])
        return replace(request, path="/".join(parts) + mark + query)

    def _name(self, collection: str, wanted: str) -> str:
        made = self._made.get(collection, {})
        return next((made[key] for key in (wanted, "id", "_id", "uuid", "") if made.get(key)), "")

    def hidden(self, text: str) -> str:
        """A value of an answer without these names: they are the service's own."""
        names = {self._name(collection, "id") for collection in self._made} - {""}
        for name in sorted(names, key=len, reverse=True):
            whole = text.strip('"') == name
            text = "<id>" if whole else text.replace(name, "<id>") if len(name) >= LEAST_NAME else text
        return text


def _last(path: str) -> str:
    return path.partition("?")[0].rstrip("/").rpartition("/")[2]


def _valued(text: str, step: Step, request: Prepared, answer: Answer) -> str:
    """What the value of a link stands for: an expression, a text with expressions in braces, or itself; empty if one has none."""
    whole = f"{{{text}}}" if text.startswith("$") else text
    values = {name: _value(name, step, request, answer) for name in re.findall(r"\{(\$[^}]*)\}", whole)}
    return re.sub(r"\{(\$[^}]*)\}", lambda found: values[found[1]], whole) if all(values.values()) else ""


def _value(expression: str, step: Step, request: Prepared, answer: Answer) -> str:
    """What an expression stands for; of a Location, the last part of its path."""
    if not (parsed := _EXPRESSION.fullmatch(expression)):
        return ""
    if parsed["plain"]:
        return request.method if parsed["plain"] == "method" else str(answer.status)
    path, _, query = request.path.partition("?")
    if name := parsed["name"]:
        template = step.operation.partition(" ")[2].split("/")
        headers = answer.headers if parsed["side"] == "response" else request.headers
        places: dict[str, dict[str, str]] = {
            "header": {
                key.lower(): _last(value) if key.lower() == "location" else value for key, value in headers.items()
            },
            "query": dict(urllib.parse.parse_qsl(query)),
            "path": {part[1:-1]: value for part, value in zip(template, path.split("/"), strict=False)},
        }
        return places[parsed["place"]].get(name.lower() if parsed["place"] == "header" else name, "")
    with contextlib.suppress(ValueError):
        body = answer.json() if parsed["side"] == "response" else json.loads(request.body or b"null")
        value = pointed(body, parsed["pointer"])
        return str(value) if isinstance(value, str | int) else ""
    return ""


_KNOWN = WeakKeyDictionary["Container", Ids]()
