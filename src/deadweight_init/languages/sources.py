"""Guess a service's ports, health paths, files, OpenAPI document and start command from its sources; a run must confirm them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from deadweight_init.records import Known, wording
from deadweight_init.tree import TABLES, Tree, aside, joined, line_of
from deadweight_workload import openapi

if TYPE_CHECKING:
    from deadweight.engine.http import Answer

HEALTH = re.compile(
    r"[\"'`](?:GET )?(/(?:[\w-]+/)?(?:healthz|livez|readyz|health|healthcheck|health-check|live|ready|liveness|readiness|ping|up"
    r"|status|heartbeat|-/healthy))/?[\"'`]"
)
_PORTS = tuple(map(re.compile, TABLES["patterns"]["ports"]))
_OF_OTHERS = frozenset(
    (25, 465, 587, 1025, 1433, 1521, 2181, 3306, 4222, 5432, 5672, 6379, 9042, 9092, 9200, 11211, 27017)
)
"""Where databases, queues and mail servers listen: code that names such a port most often asks one of them."""
LEAST_PORT = 80
"""A smaller number in code is something else."""

_RADIX = re.compile(r"parseInt\([^()]*,\s*\d+$")


TESTS = re.compile(r"(_test\.go|_spec\.rb|\.test\.[jt]sx?|\.spec\.[jt]sx?|(^|/)test_[^/]*\.py|Tests?\.(java|kt))$")


def scan(tree: Tree, paths: Iterable[str]) -> tuple[tuple[Known[int], ...], tuple[Known[str], ...]]:
    """Ports and health paths that are written in these files, tests left out; at most six of each, as guesses with a place. Paths
    of OpenAPI documents come last: a service that serves one is up."""
    ports: dict[int, Known[int]] = {}
    health: dict[str, Known[str]] = {}
    documents: dict[str, Known[str]] = {}
    for path in paths:
        if TESTS.search(path) or aside(path):
            continue
        text = tree.texts[path]
        for pattern in _PORTS:
            for match in pattern.finditer(text):
                radix = _RADIX.search(text, max(match.start() - 40, 0), match.end())
                if LEAST_PORT <= int(match[1]) < 65536 and radix is None:
                    place = f"{GUESS} {path}:{line_of(text, match.start(1))}"
                    ports.setdefault(int(match[1]), Known(int(match[1]), place))
        for pattern, known in ((HEALTH, health), (WRITTEN, documents)):
            for hint in tree.values(path, pattern, f"{GUESS} "):
                known.setdefault(hint.value, hint)
    likely = sorted(ports.values(), key=lambda port: port.value in _OF_OTHERS)
    return tuple(likely)[:6], (*tuple(health.values())[:6], *tuple(documents.values())[:6])


GUESS = "guessed from"

_READS_PORT = re.compile(
    r"(?i:getenv|lookupenv|env::var)\(\s*[\"']PORT[\"']|(?:environ(?:\.get\(|\[)|ENV(?:\.fetch\(|\[))\s*[\"']PORT[\"']|process\.env(?:\.PORT\b|\[[\"']PORT[\"'])"
    r"|\$\{?PORT\b"
)


def reads_port(tree: Tree, folder: str, start: Sequence[str], code: Sequence[str]) -> Known[str] | None:
    """Whether a service takes from the variable PORT where it listens, as most platforms tell it; the value is the variable's name.

    gunicorn listens on loopback alone if neither its words nor that variable say otherwise. ``code`` are the endings of the
    service's sources: code in another language is another program's.
    """
    words = {"gunicorn", "gunicorn.app.wsgiapp"}
    if words & set(start) and not any(word.startswith(("-b", "--bind")) for word in start):
        return Known("PORT", wording("origin.gunicorn"))
    own = (path for path in tree.inside[folder] if path.endswith(("Procfile", *code)))
    upper = by_depth(path for path in own if not TESTS.search(path) and not tree.is_aside[path])
    return next((Known("PORT", known.origin) for path in upper for known in tree.values(path, _READS_PORT)), None)


def by_depth(paths: Iterable[str]) -> list[str]:
    """Paths, those of upper folders first."""
    return sorted(paths, key=lambda path: (path.count("/"), path))


_CALLS = re.compile(
    r"\b(?:LoadHTMLGlob|LoadHTMLFiles|ParseGlob|ParseFiles|Static|StaticFile|StaticFS|http\.Dir|os\.DirFS|ReadFile|ReadDir|os\.Open"
    r"|ServeFile|SendFile|SetConfigFile|AddConfigPath|filepath\.Glob|ServeDir::new|ServeFile::new|Tera::new|File::open"
    r"|read_to_string|NamedFile::open|Files::new)\(([^()\n]*)"
)
_LITERAL = re.compile(r"\"([^\"\n]*)\"|`([^`\n]*)`")
_SETTINGS = re.compile(r"[\"`]((?:[\w-]+/)*[\w-][\w.-]*\.(?:ya?ml|toml|ini|conf|cfg|crt|pem|key))[\"`]")
_DATA = re.compile(
    r"\.(ya?ml|json|toml|ini|conf|cfg|html?|tmpl|gohtml|tpl|css|js|svg|png|ico|sql|txt|md|csv|xml|pem|crt|key|mmdb|db)$"
)
MOST_READ = 8


def read_at_run_time(tree: Tree, folder: str, ending: str) -> tuple[str, ...]:
    """The files and folders that a compiled program opens: literals in calls that read files, and names of settings, that the
    repository has. None below another; at most eight."""
    named: dict[str, None] = {}
    for path in tree.below(folder, ending):
        if not (TESTS.search(path) or aside(path)):
            text = tree.texts[path]
            literals = (one or two for call in _CALLS.findall(text) for one, two in _LITERAL.findall(call))
            named |= dict.fromkeys(_before_pattern(literal) for literal in (*literals, *_SETTINGS.findall(text)))
    there = [path for path in named if path and _is_data(tree, joined(folder, path), ending)]
    return tuple(sorted(path for path in there if not any(path.startswith(f"{other}/") for other in there))[:MOST_READ])


def _before_pattern(literal: str) -> str:
    """The part of a relative path before its first pattern; empty for what is no path."""
    plain = re.split(r"/?[^/]*[*{]", posixpath.normpath(literal) if literal else "", maxsplit=1)[0]
    return "" if plain in ("", ".") or not re.fullmatch(r"(?!\.\./)[\w.][\w./-]*", plain) else plain


def _is_data(tree: Tree, path: str, ending: str) -> bool:
    """A file of a known kind, or a folder in which there is something besides source code."""
    if path in tree.files:
        return bool(_DATA.search(path))
    return any(not file.endswith((ending, ".proto", "/go.mod")) for file in tree.below(path, ""))


def platform_command(tree: Tree, folder: str, kind: str = "web") -> str:
    """The command that serves, as a line for a shell; of kind ``release`` what is done once before. Empty if none says it."""
    for name, path in TABLES["platforms"][kind].items():
        file = joined(folder, name)
        match = re.search(rf"^{path[0]}:\s*(.+)$", tree.texts[file], re.MULTILINE) if name == "Procfile" else None
        command = match[1] if match else _at(tree.data[file], path)
        if isinstance(command, str) and command.strip():
            return command.strip()
    return ""


def _at(document: Any, path: Sequence[str]) -> Any:
    """What stands at a path; of a list the first service of the web that has it."""
    for key in path:
        if isinstance(document, list):
            web = [service for service in document if isinstance(service, dict) and service.get("type", "web") == "web"]
            document = next((service for service in web if service.get(key)), None)
        document = document.get(key) if isinstance(document, dict) else None
    return document


WRITTEN = re.compile(r"[\"'`](/[\w./-]*(?:openapi|swagger|api-docs)[\w-]*(?:\.json)?)[\"'`]")
"""A path in code under which it may be served, where the service says so itself."""

_DOCUMENT = r"(openapi|swagger)[\w.-]*\.(json|ya?ml)|[\w-]+[._-](openapi|swagger)\.(json|ya?ml)"
_DOCS = ("doc", "docs")


def repository_document(tree: Tree, folder: str) -> Known[str] | None:
    """The document of the service in a folder, a path seen from the root; None without one that names paths.

    Documents of tests and examples describe something else.
    """
    for path in tree.named[_DOCUMENT]:
        mine = folder == "." or path.startswith(f"{folder}/")
        plain = "/".join(part for part in path.split("/") if part.lower() not in _DOCS)
        named = tree.data[path].get("paths") if mine and not aside(plain) else None
        if named and isinstance(named, dict):
            return Known(path, f"from {path}: {wording('origin.describes')}")
    return None


def served_document(get: Callable[[str], Answer | None], paths: Sequence[str] = ()) -> tuple[str, Any] | None:
    """Where a service that is up serves its document, and what is in it; None where it does not. ``get`` asks for a path.
    Of ``paths``, those that may be one are asked for first."""
    return openapi.served(get, (path for path in paths if WRITTEN.fullmatch(f'"{path}"')))
