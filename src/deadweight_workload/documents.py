"""Read the requests that a repository's own documents show: commands of curl, wget and HTTPie, and URLs of this machine."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from deadweight.suite.checks import HttpRequest
from deadweight_workload import har

MOST_FILES, MOST_BYTES, MOST_REQUESTS = 60, 2**20, 60
_OTHERS = re.compile(r"\..*|node_modules|vendor|third_party|testdata|deadweight-build|changelog.*", re.IGNORECASE)
"""Names of files and folders that show somebody else's requests, or old ones."""
_DOCUMENT = re.compile(r"readme.*|.*\.(md|rst|adoc)", re.IGNORECASE)
_HERE = r"localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]"
_TARGET = re.compile(rf"(?:https?://)?(?:{_HERE}|\$\{{?\w+\}}?|HOST|[\w-]*(?=:\d))(?::[\w$]+)?(?P<path>[/?].*)?")
_URL = re.compile(rf"https?://(?:{_HERE})(?::\d+)?(?P<path>[/?][\w/?&=%.,:;~+@!-]*)?(?![$<{{*])")
_COMMAND = re.compile(r"(?m)(?:^|[\s`$(>])((?:curl|wget|https?) (?:\\\n|[^\n`])+)")
_HOST_TO_FILL_IN = re.compile(r"\{\{[^}\n]*\}\}|<[\w. -]+>")
_TO_FILL_IN = re.compile(r"[$<>…]|\{\w+\}|\.\.\.")
"""In a path, a header or a body it stands for what only the reader knows."""


def shown(root: Path) -> Iterator[HttpRequest]:
    """The requests that documents below a folder show, each once, those of its own README first; none with a secret in it."""
    requests = dict[str, HttpRequest]()
    for file in _files(root):
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = _HOST_TO_FILL_IN.sub("HOST", stream.read(MOST_BYTES))
        commands = [request for found in _COMMAND.finditer(text) if (request := _of_command(found[1]))]
        urls = [request for found in _URL.finditer(text) if (request := _made("GET", found["path"], [], ""))]
        for request in (*commands, *urls):
            requests.setdefault(repr(request), request)
    yield from list(requests.values())[:MOST_REQUESTS]


def _files(root: Path) -> list[Path]:
    found = list[Path]()
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not _OTHERS.fullmatch(name)]
        files = (Path(folder, name) for name in names if _DOCUMENT.fullmatch(name) and not _OTHERS.fullmatch(name))
        found += [file for file in files if file.is_file() and not file.is_symlink()]
    return sorted(found, key=lambda file: (len(file.parts), str(file)))[:MOST_FILES]


@cache
def _parser() -> argparse.ArgumentParser:
    """Of the options of curl and wget that make a request another one, and of those with a value, which is no URL then."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-X", "--request", "--method")
    for names in ("-H --header", "-d --data --data-raw --data-binary --post-data --body-data"):
        parser.add_argument(*names.split(), action="append", default=[])
    parser.add_argument("--json", default="")
    parser.add_argument("-I", "--head", action="store_true")
    parser.add_argument(*["-F", "-T", "-u", "--form", "--upload-file", "--user", "--data-urlencode"], dest="unusable")
    parser.add_argument("-G", "--get", dest="unusable", action="store_const", const="-G")
    parser.add_argument(
        *["-o", "-O", "-w", "-m", "-A", "-e", "-b", "-c", "-x", "--cert", "--key", "--cacert", "--max-time"]
    )
    for flag in "skviLfSqNna":
        parser.add_argument(f"-{flag}", action="store_true", dest="_")
    return parser


def _of_command(text: str) -> HttpRequest | None:
    """The request that a command sends; None for one that is not to this service, or cannot be sent by us."""
    try:
        words = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="|;&<>")
        words.whitespace_split, words.commenters = True, ""
        command = list(words)
        ends = next((at for at, word in enumerate(command) if set(word) <= set("|;&<>)")), len(command))
        given, rest = _parser().parse_known_args(command[1:ends])
    except (ValueError, argparse.ArgumentError, SystemExit):
        return None
    target = next((match for word in rest if (match := _TARGET.fullmatch(word))), None)
    if target is None or given.unusable:
        return None
    headers, body, method = list(given.header), "&".join(given.data) or given.json, given.request
    if given.json:
        headers.append("Content-Type: application/json")
    if command[0].startswith("http"):
        method, headers, body = _of_httpie(rest)
    elif body:
        headers.append("Content-Type: application/x-www-form-urlencoded")
    usual = "HEAD" if given.head else "POST" if body else "GET"
    return _made(method or usual, target["path"], headers, body)


def _of_httpie(words: Sequence[str]) -> tuple[str | None, list[str], str]:
    """Method, headers and body: ``http POST :8080/items X-A:b name=value``."""
    pairs = dict(word.split("=", 1) for word in words[1:] if re.match(r"[\w.-]+=[^=]", word))
    headers = [word for word in words[1:] if re.match(r"[A-Za-z-]+:[^/\d]", word)]
    method = next((word for word in words if re.fullmatch(r"[A-Z]{3,7}", word)), None)
    return (
        method,
        [*headers, *(["Content-Type: application/json"] if pairs else [])],
        json.dumps(pairs) if pairs else "",
    )


def _made(method: str, target: str | None, headers: Sequence[str], body: str) -> HttpRequest | None:
    path = "/" + (target or "").rstrip(".,;:").removeprefix("/")
    lines = (line.partition(":") for line in reversed(headers))
    pairs = {name.strip().lower(): value.strip() for name, _, value in lines}
    if _TO_FILL_IN.search(f"{path}{body}{pairs}") or body.startswith("@"):
        return None
    request = har.clean(method, path, pairs.items(), body.encode())
    usual = re.compile(r"[\w-]+: ?[\t -~]*")
    others = {name: it for name, it in pairs.items() if not har.is_secret(name) and usual.fullmatch(f"{name}:{it}")}
    return request and request.model_copy(update={"headers": others})
