"""What is sent for an attack, its places filled in, and whether it holds already what is to prove it."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deadweight.checks.attacks.model import PLACES, Payload
from deadweight.checks.http_request import Prepared, prepare
from deadweight.suite.requests import HttpRequest

AWK_PATH = "/api/v1/awk"

PRELUDE = (
    'run() { t=$1; shift; if command -v "$t" > /dev/null 2>&1; then "$t" "$@"; '
    'else (exec -a "$t" /proc/self/exe "$@"); fi; }\n'
)
"""``run TOOL``: the image's own, else the shell itself under that name (busybox is all its tools in one file)."""

EXAMPLE = {**dict.fromkeys(PLACES, "x"), "a": "bcdfghjk", "b": "mnpqrstv"}
"""Something for every place."""


def prepared(payload: Payload, places: Mapping[str, str], root: Path) -> Prepared:
    """The request. ``root`` is the suite's folder. Raises UsageError for a body_file that cannot be read."""
    if payload.request is not None:
        raw = json.loads(put(payload.request.model_dump_json(by_alias=True), places))
        return prepare(HttpRequest.model_validate(raw), root)
    script = payload.script or ""
    if payload.shell is not None:
        script = f'BEGIN {{ system("{awk_text(PRELUDE + payload.shell)}") }}'
    document: dict[str, Any] = {"script": put(script, places)}
    if payload.args:
        document["args"] = [put(word, places) for word in payload.args]
    if payload.input is not None:
        document["input"] = put(payload.input, places)
    body = json.dumps(document).encode()
    return Prepared("POST", AWK_PATH, {"Content-Type": "application/json"}, body)


def examples(payload: Payload, root: Path) -> list[Prepared]:
    """All that it sends, with the places of EXAMPLE: one request for each of its ``each``."""
    values = [put(each, EXAMPLE) for each in payload.each] or [""]
    return [prepared(payload, {**EXAMPLE, "each": value}, root) for value in values]


def holds(request: Prepared, texts: Iterable[str]) -> bool:
    """Whether one of these stands in it, quoted for a URL or not: a service that only repeats it would look beaten."""
    body = (request.body or b"").decode("utf-8", errors="replace")
    parts = [request.path, body, *request.headers.values()]
    parts += [urllib.parse.unquote_plus(part) for part in parts if "%" in part or "+" in part]
    return any(text in part for text in texts for part in parts)


def put(text: str, places: Mapping[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda match: places[match.group(1)], text)


def awk_text(shell: str) -> str:
    """Shell words as they stand between the quotes of an AWK string."""
    return shell.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
