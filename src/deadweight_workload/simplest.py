"""Make one valid request for an operation of an OpenAPI document, without schemathesis."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from deadweight.suite.checks import HttpRequest
from deadweight_workload import openapi

BODY = "body"
MOST_DEPTH = 6
"""Schemas may refer to themselves."""
MOST_EXAMPLES = 2000
"""For one operation: a schema that refers to itself ten times has a million parts six levels deep."""
EXAMPLES: Mapping[str, Any] = {"string": "a", "integer": 1, "number": 1, "boolean": True, "null": None}
OWN_EXAMPLES = ("example", "default", "const")
OWN_HEADERS = ("accept", "content-type", "authorization")
"""Header parameters of these names are ignored (OpenAPI 3.1, Parameter Object)."""


class Example:
    """One request for an operation: the document's own examples, or the simplest values of their types. ``body`` is its kind
    (``json``, ``form`` or ``BODY``: plain text) and its content; of other bodies nothing is known."""

    def __init__(self, operation: openapi.Operation) -> None:
        self.document, self.path, self.method = operation.document, operation.path, operation.method
        self._left = MOST_EXAMPLES
        self.parameters = operation.parameters
        self.body = self._body(operation.definition)

    def request(self, aimed: tuple[str, str] | None = None) -> HttpRequest:
        """With examples of all that it needs; the place that is ``aimed`` at (its kind and name) is there too, open in a path.

        Raises ValueError where no HTTP request can be made of it.
        """
        path, query, headers = self.path, dict[str, str](), dict[str, str]()
        for (place, name), parameter in self.parameters.items():
            value = str(self._example(parameter.get("schema", parameter), parameter))
            if place == "path" and (place, name) != aimed:
                path = path.replace(f"{{{name}}}", urllib.parse.quote(value, safe=""))
            elif place == "query" and (parameter.get("required") or (place, name) == aimed):
                query[name] = value
            elif place == "header" and parameter.get("required") and settable(name):
                headers[name] = value
        kind, content = self.body
        fields: dict[str, Any] = {"method": self.method, "headers": headers}
        fields["path"] = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        if kind == "json":
            fields["json"] = content
        elif kind == BODY:
            fields |= {"body": content, "headers": {"Content-Type": "text/plain; charset=utf-8", **headers}}
        elif content:
            fields["form"] = {name: str(value) for name, value in content.items()}
        return HttpRequest.model_validate(fields)

    def _body(self, operation: dict[str, Any]) -> tuple[str, Any]:
        kinds = openapi.mapping(openapi.followed(self.document, operation.get("requestBody")), "content")
        for media in kinds:
            content = openapi.mapping(kinds, media)
            kind = "json" if "json" in media else "form" if "form" in media else BODY if media == "text/plain" else ""
            example = self._example(content.get("schema"), content) if kind else None
            if kind == "json" or isinstance(example, dict if kind == "form" else str):
                return kind, example
        for (place, _), parameter in self.parameters.items():  # version 2
            if place == "body":
                return "json", self._example(parameter.get("schema"))
        return "form", {
            name: self._example(param) for (place, name), param in self.parameters.items() if place == "formData"
        }

    def _example(self, schema: Any, beside: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
        """Of a schema: the document's own where it has one, else the simplest of its type."""
        schema = openapi.followed(self.document, schema)
        own = [given[key] for given in (beside or {}, schema) for key in OWN_EXAMPLES if given.get(key) is not None]
        own += [values[0] for key in ("examples", "enum") if (values := openapi.items(schema, key))]
        named = [openapi.followed(self.document, example) for example in openapi.mapping(beside, "examples").values()]
        own += [example["value"] for example in named if example.get("value") is not None]  # version 3, by name
        if own:
            return own[0]
        self._left -= 1
        if depth >= MOST_DEPTH or self._left < 0:
            return "a"
        if choices := openapi.items(schema, "anyOf") or openapi.items(schema, "oneOf"):
            return self._example(choices[0], None, depth + 1)
        if "allOf" in schema or "properties" in schema:
            return self._object(schema, depth)
        kinds = schema.get("type", "string")
        kind = str(kinds[0] if isinstance(kinds, list) and kinds else kinds)
        if kind == "array":
            return [self._example(schema.get("items"), None, depth + 1)]
        return {} if kind == "object" else schema.get("minimum", EXAMPLES.get(kind, "a"))

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for part in openapi.items(schema, "allOf"):
            value = self._example(part, None, depth + 1)
            values |= value if isinstance(value, dict) else {}
        needed = openapi.items(schema, "required")
        for name, value in openapi.mapping(schema, "properties").items():
            if (depth == 0 or name in needed) and not openapi.followed(self.document, value).get("readOnly"):
                values[str(name)] = self._example(value, None, depth + 1)
        return values


def settable(name: str) -> bool:
    return name.lower() not in OWN_HEADERS
