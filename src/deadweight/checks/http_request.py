"""Turns a request of the suite into bytes."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import UsageError
from deadweight.suite.requests import HttpRequest

_UNQUOTED = "/?&=%:+,;@~$!'()*-._"


@dataclass(frozen=True)
class Prepared:
    """A request ready to be sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    port: int | None = None
    """None: the service's own."""


def prepare(request: HttpRequest, root: Path) -> Prepared:
    """Build body and headers; ``root`` is the suite's folder. Raises UsageError for a body_file that cannot be read."""
    kind, body = _body(request, root)
    headers = dict(request.headers)
    if kind is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = kind
    path = request.path if request.path.startswith("/") else f"/{request.path}"
    return Prepared(request.method, urllib.parse.quote(path, safe=_UNQUOTED), headers, body, request.port)


def _body(request: HttpRequest, root: Path) -> tuple[str | None, bytes | None]:
    if request.json_body is not None:
        content = request.json_body
        if request.repeat:
            content = _repeated(content, request.repeat)
        return "application/json", json.dumps(content, ensure_ascii=False).encode()
    if request.form is not None:
        form = _repeated(request.form, request.repeat)
        return "application/x-www-form-urlencoded", urllib.parse.urlencode(form).encode()
    if request.body is not None:
        return None, request.body.encode() * request.repeat_body
    if request.body_file is not None:
        file = root / request.body_file
        try:
            return None, file.read_bytes() * request.repeat_body
        except OSError as error:
            raise UsageError(
                f"body_file {file}: cannot be read: {error.strerror}", hint="paths are relative to deadweight.yaml"
            ) from error
    return None, None


def _repeated(content: Mapping[str, object], repeat: Mapping[str, int]) -> dict[str, object]:
    return {key: str(value) * repeat[key] if key in repeat else value for key, value in content.items()}
