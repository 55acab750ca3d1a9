"""Take an HTTP answer apart into facts: named values that can be compared one by one."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from deadweight import _json

if TYPE_CHECKING:
    from deadweight.engine.http import Answer

Facts = dict[tuple[str, str], str]
"""What was seen of one run: a value by what was asked (the name of a request, or a part such as ``process``) and the field."""

UNTOLD = frozenset({"date", "content-length", "transfer-encoding", "keep-alive", "set-cookie"})
"""Headers that say nothing more: the body, its end and the cookies are compared."""
MOST_LEAVES = 2000
_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{4}|\\/")
MOST_BYTES = 64 * 2**20


def facts(answer: Answer, now: float) -> dict[str, str]:
    """The fields of an answer that came at ``now`` (seconds since 1970): status, headers, cookies, how the body came, the body."""
    seen = {"status": str(answer.status), "stream": "in pieces" if answer.pauses else "at once"}
    ends = {"transfer-encoding": "in chunks", "content-length": "by its length"}
    seen["end of body"] = next((how for name, how in ends.items() if name in answer.headers), "with the connection")
    seen |= {f"header {name}": steady(value, now) for name, value in answer.headers.items() if name not in UNTOLD}
    for cookie in answer.cookies:
        name, _, value = cookie.partition("=")
        seen[f"cookie {name.strip()}"] = steady(value, now)
    body, kind = _unpacked(answer), answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return seen | {name: steady(value, now) for name, value in _body(body, kind)}


def escapes(answer: Answer) -> str:
    """Which characters a JSON body writes as escapes (``\\u00e4``), as no reader of JSON can tell; empty for another body."""
    body, kind = _unpacked(answer), answer.headers.get("content-type", "")
    return " ".join(sorted(set(_ESCAPE.findall(body.decode("utf-8", "replace"))))) or "none" if "json" in kind else ""


def shape(answer: Answer) -> str:
    """Of an answer among others at the same time: its status, the type of its body, and of JSON the keys."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = dict(_body(_unpacked(answer), kind))
    keys = sorted({re.sub(r"\[\d+\]", "[]", name) for name in body if name.startswith("body $")})
    return " ".join([str(answer.status), body["body"], *keys])


def _unpacked(answer: Answer) -> bytes:
    """The body without its compression, as far as it can be read."""
    if answer.headers.get("content-encoding") not in ("gzip", "deflate"):
        return answer.body
    try:
        return zlib.decompressobj(wbits=47).decompress(answer.body, MOST_BYTES)
    except zlib.error:
        return answer.body


def _body(body: bytes, kind: str) -> Iterator[tuple[str, str]]:
    """``body`` is what it is; what it holds comes after."""
    if not body:
        yield "body", "empty"
        return
    image = picture(body)
    if image or kind.startswith("image/"):
        yield "body", "image"
        yield "body image", image or f"{kind}, {len(body)} bytes"
        return
    try:
        text = body.decode()
        document = _json.parsed(body) if kind.endswith("json") or text[:1] in "{[" else None
    except ValueError:
        text, document = body.decode(errors="replace"), None
    if document is not None and len(leaves := list(_leaves(document, "$"))) <= MOST_LEAVES:
        yield "body", "JSON"
        yield from ((f"body {path}", value) for path, value in leaves)
    elif "html" in kind or text[:200].lstrip().lower().startswith(("<!doctype html", "<html")):
        page = _Page()
        page.feed(text)
        yield "body", "HTML"
        yield "body text", "\n".join(page.texts)
        yield "body assets", " ".join(sorted(page.assets))
    elif "\0" in text or "\ufffd" in text:
        yield "body", "bytes"
        yield "body bytes", f"{len(body)} bytes, {sha256(body).hexdigest()[:12]}"
    else:
        yield "body", "text"
        yield "body text", text


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif isinstance(value, list) and value and not all(isinstance(inner, str) for inner in value):  # texts are one
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, json.dumps(value, ensure_ascii=False)


class _Page(HTMLParser):
    """The texts that a reader sees, and what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.texts, self.assets, self._silent = list[str](), set[str](), False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("script", "style")
        wanted = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src"}.get(tag)
        self.assets |= {value for name, value in attrs if name == wanted and value}

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent and (text := " ".join(data.split())):
            self.texts.append(text)


def picture(body: bytes) -> str:
    """Format and size of an image by its first bytes (PNG, GIF, JPEG, WebP); empty if it is none."""
    if body.startswith(b"\x89PNG\r\n\x1a\n") and len(body) >= 24:
        return "PNG {}x{}".format(*struct.unpack(">II", body[16:24]))
    if body[:6] in (b"GIF87a", b"GIF89a") and len(body) >= 10:
        return "GIF {}x{}".format(*struct.unpack("<HH", body[6:10]))
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP" and len(body) >= 30:
        return "WebP {}x{}".format(*_webp(body))
    if body.startswith(b"\xff\xd8\xff"):
        at = 2
        while at + 9 < len(body) and body[at] == 0xFF:  # segments up to a start of frame (ITU T.81, table B.1)
            if 0xC0 <= body[at + 1] <= 0xCF and body[at + 1] not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">HH", body[at + 5 : at + 9])
                return f"JPEG {width}x{height}"
            at += 2 + int.from_bytes(body[at + 2 : at + 4], "big")
        return "JPEG"
    return ""


def _webp(body: bytes) -> tuple[int, int]:
    """Width and height (RFC 9649, 2.7): of the whole canvas, of a lossless picture, or of a lossy one."""
    if body[12:16] == b"VP8X":
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if body[12:16] == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", body[26:30])
    return width & 0x3FFF, height & 0x3FFF


_ZONE = r"(?P<zone> ?(?:Z|GMT|UTC|[A-Z]{3,4}|[+-]\d\d:?\d\d))?"
_TIMES = [
    (re.compile(rf"(?P<time>\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,]\d+)?{_ZONE}"), "%Y-%m-%d %H:%M:%S"),
    (re.compile(rf"(?P<time>\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?{_ZONE}"), "%Y/%m/%d %H:%M:%S"),
    (re.compile(rf"(?P<time>\d\d/[A-Z]\w\w/\d{{4}}:\d\d:\d\d:\d\d){_ZONE}"), "%d/%b/%Y:%H:%M:%S"),
    (
        re.compile(rf"(?:\w{{3,9}}, )?(?P<time>\d\d?[ -][A-Z]\w\w[ -]\d{{4}} \d\d:\d\d:\d\d){_ZONE}"),
        "%d %b %Y %H:%M:%S",
    ),
    (re.compile(rf"[A-Z]\w\w (?P<time>[A-Z]\w\w [ \d]?\d \d\d:\d\d:\d\d){_ZONE}(?: \d{{4}})?"), "%b %d %H:%M:%S"),
    (re.compile(r"(?<![\w.])(?P<time>[12]\d{9})(?P<zone>)(?:\.\d+|\d{3}|\d{6}|\d{9})?(?![\w])"), ""),
]
_QUARTER, _NEAR = 900, 26 * 4


def steady(text: str, now: float) -> str:
    """The text with times near ``now`` told as what they are apart from it, to a quarter of an hour: two answers are seconds
    apart, and two time zones hours."""

    def told(found: re.Match[str], form: str) -> str:
        written = found["time"].replace("T", " ", 1) if form.startswith("%Y") else found["time"].replace("-", " ")
        try:
            moment = datetime.strptime(written, form).replace(tzinfo=UTC) if form else None
        except ValueError:
            return found[0]
        if moment is not None and moment.year == 1900:
            moment = moment.replace(year=datetime.fromtimestamp(now, UTC).year)
        quarters = round(((moment.timestamp() if moment else float(written)) - now) / _QUARTER)
        if abs(quarters) > _NEAR:
            return found[0]
        return f"<now{f'{quarters / 4:+g}h' if quarters else ''}>{found['zone'] or ''}"

    for pattern, form in _TIMES:
        text = pattern.sub(lambda found, form=form: told(found, form), text)  # type: ignore[misc]
    return text
