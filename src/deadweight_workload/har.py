"""Read requests from a HAR file, write one, and keep secrets out of both.

A HAR file (HTTP Archive 1.2) holds what a browser or a proxy sent, with every password and token in it. A request of ours has none:
headers are taken from a list, and in paths, queries and bodies the values that look secret are replaced by ``MASK``.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadweight import _json
from deadweight.suite.checks import HttpRequest
from deadweight_workload.openapi import items

MASK = "masked"
SENT_HEADERS = ("accept", "accept-language", "content-type", "prefer", "range", "x-requested-with")
_SECRET = re.compile(
    r"auth(?!or(?!i[sz]))|cookie|token|secret|api[-_]?key|passw|passphrase|pwd|session|credential|signature|jwt|otp|csrf|xsrf|\bsid\b|\bpin\b",
    re.IGNORECASE,
)
"""Names of values that nobody else may read."""
_SECRET_NUMBER = re.compile(r"passw|pwd|otp|\bpin\b", re.IGNORECASE)
"""Other numbers (``max_tokens``) are none."""
_TOKEN = re.compile(r"eyJ[\w-]{8,}|(?i:bearer|basic)\s+[\w+/=.-]{8,}|\b(?=\w*\d)(?=\w*[A-Za-z])\w{24,}")
"""Values that are a secret whatever their name: JSON web tokens, and long words of letters and digits."""


@dataclass(frozen=True)
class Recorded:
    """What a HAR file holds: requests in their order, how many are to other hosts, and how many cannot be sent again (a body that
    is no text, or one with secrets in a format that is not read)."""

    requests: tuple[HttpRequest, ...]
    elsewhere: int = 0
    unusable: int = 0


def read(file: Path) -> Recorded:
    """Raises OSError, and ValueError for what is no HAR file of at most 16 MiB. The host is the one that most requests went to."""
    with file.open("rb") as stream:
        text = stream.read(_json.MAX_BYTES + 1)
    document = _json.parsed(text.removeprefix(b"\xef\xbb\xbf"))
    log = document.get("log") if isinstance(document, dict) else None
    if not isinstance(log, dict) or not isinstance(log.get("entries"), list):
        raise ValueError("log.entries")
    sent = [(_split(it["request"]), it["request"]) for it in log["entries"] if isinstance(it, dict) and "request" in it]
    hosts = Counter(url.netloc for url, _ in sent)
    own = hosts.most_common(1)[0][0] if hosts else ""
    made = [_request(url, request) for url, request in sent if url.netloc == own]
    usable = {repr(request): request for request in made if request is not None}
    return Recorded(tuple(usable.values()), len(sent) - len(made), made.count(None))


def _split(request: Any) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(str(request.get("url")))
    except (ValueError, AttributeError):
        return urllib.parse.urlsplit("")


def _request(url: urllib.parse.SplitResult, sent: Any) -> HttpRequest | None:
    if not isinstance(sent, dict):
        return None
    posted = sent.get("postData")
    text = str(posted.get("text") or "") if isinstance(posted, dict) else ""
    text = text or urllib.parse.urlencode(_pairs(posted, "params"))
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    return clean(str(sent.get("method")), target, _pairs(sent, "headers"), text.encode())


def _pairs(value: Any, key: str) -> list[tuple[str, str]]:
    return [(str(it.get("name")), str(it.get("value"))) for it in items(value, key) if isinstance(it, dict)]


def is_secret(name: str) -> bool:
    """Whether nobody else may read a value of this name."""
    return _SECRET.search(name) is not None


def clean(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> HttpRequest | None:
    """A request without secrets; None where it cannot be sent again without them, or not by us."""
    path, _, query = target.partition("?")
    kept = {name.lower(): value for name, value in headers if name.lower() in SENT_HEADERS}
    try:
        fields: dict[str, Any] = {"method": method, "path": _path(path), "headers": kept}
        if query:
            fields["path"] += f"?{_form(query)}"
        if body:
            fields["body"] = _body(body.decode(), kept.get("content-type", ""))
        return HttpRequest.model_validate(fields)
    except ValueError:
        return None


def _path(path: str) -> str:
    return "/".join(MASK if _TOKEN.fullmatch(part) else part for part in path.split("/"))


def _form(text: str) -> str:
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    cleaned = [(name, _value(name, value)) for name, value in pairs]
    return text if cleaned == pairs else urllib.parse.urlencode(cleaned)


def _body(text: str, kind: str) -> str:
    """Raises ValueError for one that would be sent with a secret in it."""
    if "json" in kind or text[:1] in "{[":
        document = _json.parsed(text)
        cleaned = _masked(document)
        return text if cleaned == document else json.dumps(cleaned)
    if "urlencoded" in kind:
        return _form(text)
    if _SECRET.search(text) or _TOKEN.search(text):
        raise ValueError("a secret")
    return text


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(part, f"{name} {key}") for key, part in value.items()}
    if isinstance(value, list):
        return [_masked(part, name) for part in value]
    number = isinstance(value, int | float) and _SECRET_NUMBER.search(name)
    return MASK if number else _value(name, value) if isinstance(value, str) else value


def _value(name: str, value: str) -> str:
    return MASK if is_secret(name) or _TOKEN.search(value) else value


def document(exchanges: Iterable[tuple[HttpRequest, str, float, int, str]], version: str) -> str:
    """A HAR file of requests, each with when it was sent (ISO 8601), its seconds, and the status and type of its answer."""
    creator = {"name": "deadweight", "version": version}
    return json.dumps({"log": {"version": "1.2", "creator": creator, "entries": list(_entries(exchanges))}}, indent=1)


def _entries(exchanges: Iterable[tuple[HttpRequest, str, float, int, str]]) -> Iterator[dict[str, Any]]:
    none = {"cookies": [], "headersSize": -1, "bodySize": -1, "httpVersion": "HTTP/1.1"}
    for request, started, seconds, status, kind in exchanges:
        headers = [{"name": name, "value": value} for name, value in request.headers.items()]
        query = urllib.parse.parse_qsl(request.path.partition("?")[2], keep_blank_values=True)
        url, words = f"http://127.0.0.1{request.path}", [{"name": name, "value": value} for name, value in query]
        sent = {**none, "method": request.method, "url": url, "headers": headers, "queryString": words}
        if request.body is not None:
            sent["postData"] = {"mimeType": request.headers.get("content-type", ""), "text": request.body}
        content = {"size": -1, "mimeType": kind}
        answered = {**none, "status": status, "statusText": "", "headers": [], "content": content, "redirectURL": ""}
        took = round(seconds * 1000, 1)
        timings = {"send": 0, "wait": took, "receive": 0}
        yield {
            "startedDateTime": started, "time": took, "request": sent, "response": answered, "cache": {}, "timings": timings,
        }  # fmt: skip
