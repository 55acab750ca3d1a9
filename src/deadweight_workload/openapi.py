"""Read the paths and the base path of an OpenAPI document (2 or 3), as plain mappings."""

from __future__ import annotations

import re
from typing import Any

import yaml

from deadweight import _json


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
    mapping = document.get("paths") if isinstance(document, dict) else None
    items = mapping.items() if isinstance(mapping, dict) else ()
    return {str(path): item for path, item in items if isinstance(item, dict)}


_SERVER = re.compile(r"^(?:\w+://[^/]*|localhost(?=[:/]|$)(?::\d+)?|[\w-]+(?:\.[\w-]+)*:\d+|[\w-]+(?:\.[\w-]+)+)")
"""Scheme and host; some documents leave the scheme out."""


def prefix(document: dict[str, Any]) -> str:
    """``basePath`` of version 2, the path of the first server of version 3."""
    servers = document.get("servers")
    first = servers[0] if isinstance(servers, list) and servers else None
    url = str(first.get("url", "")) if isinstance(first, dict) else ""
    path = str(document.get("basePath") or _SERVER.sub("", url)).rstrip("/")
    return path if path.startswith("/") and "{" not in path else ""
