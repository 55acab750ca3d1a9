"""What a service's source text gives away: ports and paths. All of it is a guess until it was seen."""

from __future__ import annotations

import re
from collections.abc import Iterable

from deadweight.project.init.records import Known
from deadweight.project.init.tree import Tree, aside, line_of

HEALTH = re.compile(
    r"[\"'`](?:GET )?(/(?:[\w-]+/)?(?:healthz|livez|readyz|health|healthcheck|health-check|live|ready|liveness|readiness|ping|up"
    r"|status|heartbeat|-/healthy))/?[\"'`]"
)
_PORTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"ListenAndServe(?:TLS)?\(\s*\"[\w.]*:(\d{2,5})\"",
        r"(?i)getenv\(\s*[\"']\w*PORT[\"']\s*(?:,|\)\s*or)\s*[\"']?(\d{2,5})",
        r"(?i)environ\.get\(\s*[\"']\w*PORT[\"']\s*,\s*[\"']?(\d{2,5})",
        r"process\.env\.\w*PORT\w*\s*(?:\|\||\?\?)\s*[\"']?(\d{2,5})",
        r"\.listen\(\s*(\d{2,5})\b",
        r"(?i)\bport\b[\"']?\s*(?::?=|:|,)\s*[\"']?:?(\d{2,5})\b",
        r"(?i)\b(?:flag|flags|fs|pflag)\.(?:Int|String)\w*\([^)\n]*port[^)\n]*?[\"' ](?::)?(\d{2,5})\b",
        r"server\.port\s*[=:]\s*(?:\$\{\w+:)?(\d{2,5})",
        r"[\"'](?:0\.0\.0\.0|localhost|127\.0\.0\.1|\[::\])?:(\d{4,5})[\"']",
    )
)
_TESTS = re.compile(r"(_test\.go|\.test\.[jt]sx?|\.spec\.[jt]sx?|(^|/)test_[^/]*\.py|Tests?\.(java|kt))$")


def scan(tree: Tree, paths: Iterable[str]) -> tuple[tuple[Known[int], ...], tuple[Known[str], ...]]:
    """Ports and health paths that are written in these files, tests left out; at most six of each, as guesses with a place."""
    ports: dict[int, Known[int]] = {}
    health: dict[str, Known[str]] = {}
    for path in paths:
        if _TESTS.search(path) or aside(path):
            continue
        text = tree.text(path)
        for pattern in _PORTS:
            for found in pattern.finditer(text):
                if 0 < int(found[1]) < 65536:
                    place = f"{GUESS} {path}:{line_of(text, found.start(1))}"
                    ports.setdefault(int(found[1]), Known(int(found[1]), place))
        for found in HEALTH.finditer(text):
            health.setdefault(found[1], Known(found[1], f"{GUESS} {path}:{line_of(text, found.start(1))}"))
    return tuple(ports.values())[:6], tuple(health.values())[:6]


GUESS = "guessed from"
