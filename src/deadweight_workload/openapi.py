"""Read an OpenAPI document (2 or 3): where it is served, its operations, and below which path they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import yaml

from deadweight import _json
from deadweight_workload.model import Link

if TYPE_CHECKING:
    from deadweight.engine.http import Answer
    from deadweight.suite.checks import HttpRequest

SERVED = (
    "/openapi.json", "/swagger.json", "/v3/api-docs", "/swagger/v1/swagger.json", "/api-docs", "/api/openapi.json", "/q/openapi",
)  # fmt: skip
"""Where frameworks serve it."""
NAMES, FOLDERS = ("openapi", "swagger"), ("", "docs", "doc", "api", "spec")
"""What a repository calls its own, and where it keeps it."""
METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
MOST_REFERENCES, MOST_BYTES = 6, 32 * 2**20
NOT_THERE = (0, 404, 405)
MOST_ASKED = 8
"""So many of a document's requests show below which path they are."""
NOWHERE = "?"


def parsed(text: str) -> Any:
    """The document, from JSON or YAML; None where it is neither."""
    try:
        return _json.parsed(text)
    except ValueError:
        pass
    try:
        _json.small(text)
        loaded = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe one
        return _json.bounded(loaded)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def paths(document: Any) -> dict[str, dict[str, Any]]:
    """Its paths with what may be asked of each; empty where it has none."""
    return {str(path): item for path, item in mapping(document, "paths").items() if isinstance(item, dict)}


_SERVER = re.compile(r"^(?:\w+://[^/]*|localhost(?=[:/]|$)(?::\d+)?|[\w-]+(?:\.[\w-]+)*:\d+|[\w-]+(?:\.[\w-]+)+)")
"""Scheme and host; some documents leave the scheme out."""


def prefix(document: dict[str, Any]) -> str:
    """``basePath`` of version 2, the path of the first server of version 3."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    url = str(first.get("url", "")) if isinstance(first, dict) else ""
    path = str(document.get("basePath") or _SERVER.sub("", url)).rstrip("/")
    return path if path.startswith("/") and "{" not in path else ""


def served(get: Callable[[str], Answer | None], first: Iterable[str] = ()) -> tuple[str, Any] | None:
    """Where a service that is up serves its document, and what is in it; None where it does not. ``get`` asks for a path."""
    for path in (*first, *SERVED):
        answer = get(path)
        document = parsed(answer.text()) if answer is not None and answer.status == 200 else None
        if paths(document):
            return path, document
    return None


def in_repository(root: Path) -> str | None:
    """Where a repository keeps its document, as its usual places go; None where it does not."""
    places = (
        Path(folder, f"{name}.{kind}") for folder in FOLDERS for name in NAMES for kind in ("json", "yaml", "yml")
    )
    return next((str(place) for place in places if paths(read(root / place))), None)


def read(file: Path) -> Any:
    """A document of the suite's own; None where there is none."""
    try:
        usable = file.is_file() and file.stat().st_size <= MOST_BYTES
        return parsed(file.read_text(encoding="utf-8", errors="replace")) if usable else None
    except OSError:
        return None


@dataclass(frozen=True)
class Operation:
    """``method`` in capitals; ``path`` is a template with its base path, ``own`` the one in the document. ``item`` and
    ``definition`` are the document's."""

    document: dict[str, Any]
    method: str
    path: str
    own: str
    item: dict[str, Any]
    definition: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @cached_property
    def parameters(self) -> dict[tuple[str, str], dict[str, Any]]:
        """By place and name."""
        given = [
            followed(self.document, it) for part in (self.item, self.definition) for it in items(part, "parameters")
        ]
        return {(str(it.get("in")), str(it["name"])): it for it in given if isinstance(it.get("name"), str)}

    @property
    def secured(self) -> bool:
        """Whether the document says that it takes a login."""
        return bool(self.definition.get("security", self.document.get("security")))

    @property
    def needs_nothing(self) -> bool:
        """Whether its path alone is a whole request."""
        required = any(it.get("required") for it in self.parameters.values())
        return "{" not in self.path and not self.secured and not required


def operations(document: Any, base: str | None = None, methods: Sequence[str] = METHODS) -> Iterator[Operation]:
    """Those of a document, in its order. ``base``: the path below which they are; None: where the document says."""
    for path, item in paths(document).items():
        whole = f"{prefix(document) if base is None else base}{path}"
        for method in methods:
            if isinstance(definition := item.get(method), dict):
                yield Operation(document, method.upper(), whole, path, item, definition)


def items(value: Any, key: str) -> list[Any]:
    """The list at a key; empty where there is none."""
    values = value.get(key) if isinstance(value, dict) else None
    return values if isinstance(values, list) else []


def followed(document: dict[str, Any], value: Any) -> dict[str, Any]:
    """What a reference inside the document leads to; empty for one that leads nowhere."""
    for _ in range(MOST_REFERENCES):
        reference = value.get("$ref") if isinstance(value, dict) else None
        if not isinstance(reference, str):
            break
        value = pointed(document, reference[1:]) if reference.startswith("#/") else None
    return value if isinstance(value, dict) else {}


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) leads to; None where that is nothing."""
    for word in pointer.split("/")[1:]:
        inner = {str(at): it for at, it in enumerate(value)} if isinstance(value, list) else value
        value = inner.get(word.replace("~1", "/").replace("~0", "~")) if isinstance(inner, dict) else None
    return value


def links(known: Sequence[Operation]) -> dict[str, tuple[Link, ...]]:
    """By operation, which values of its good answers fill which parameters of others."""
    targets = {str(it.definition.get("operationId")): str(it) for it in known}
    targets |= {f"#/paths/{it.own.replace('/', '~1')}/{it.method.lower()}": str(it) for it in known}
    made = dict[str, tuple[Link, ...]]()
    for it in known:
        for status, response in mapping(it.definition, "responses").items():
            linked = mapping(followed(it.document, response), "links") if str(status)[:1] in "2d" else {}
            for link in (followed(it.document, link) for link in linked.values()):
                target = targets.get(unquote(str(link.get("operationId") or link.get("operationRef"))))
                pairs = mapping(link, "parameters").items() if target else ()
                new = (
                    Link(str(target), re.sub("^(path|query)[.]", "", str(name)), str(value)) for name, value in pairs
                )
                made[str(it)] = (*made.get(str(it), ()), *new)
    return made


def mapping(value: Any, key: str) -> dict[str, Any]:
    """The mapping at a key; empty where there is none."""
    inner = value.get(key) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def base_of(
    document: Any, name: str, requests: Iterable[HttpRequest], status: Callable[[HttpRequest], int]
) -> tuple[str | None, int]:
    """Below which path a document's routes are, and how many were asked to learn it. None: where it says; NOWHERE where none of
    them is there. Documents name the prefix that a proxy takes away.

    ``name`` is the document's; ``requests`` are examples of its operations, ``status`` gives the status of an answer, or 0.
    """
    first = {request.path.partition("?")[0]: request for request in requests}
    own = prefix(document) if isinstance(document, dict) else ""
    plain = {f"{own}{path}" for path in paths(document) if "{" not in path}
    surest = sorted(first, key=lambda path: path not in plain)  # of a parameter's example, there may be nothing
    some = [first[path] for path in surest[:MOST_ASKED]]
    beside = name.rpartition("/")[0] if name.startswith("/") else ""
    missing: dict[str | None, int] = {}
    for base in (None, *dict.fromkeys(start for start in ("", beside) if start != own)):
        moved = [it.path if base is None else base + it.path.removeprefix(own) for it in some]
        asked = (it.model_copy(update={"path": path}) for it, path in zip(some, moved, strict=True))
        missing[base] = sum(status(request) in NOT_THERE for request in asked)
        if not missing[base]:
            return base, len(some)
    best = min(missing, key=lambda base: missing[base])
    return (NOWHERE if some and missing[best] == len(some) else best), len(some)
