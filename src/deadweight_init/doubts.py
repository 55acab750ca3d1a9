"""Why a service that runs proves little: typed, told in the suite (``unproven``), by ``verify``, and by the exit code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from deadweight.suite.values import Unproven

FIRST_LINES = 60
_ERROR = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|EMERG|SEVERE)\b|\b(?:level|severity|lvl)\W{1,3}(?:error|fatal|critical|panic)\b|\[(?:error|emerg|crit|alert)\]"
    r"|^panic:|^Traceback \(most recent call last\)|\bUnhandled(?:PromiseRejection| exception)|\b(?:err|error|fatal)(?: \w+)?: \S"
    r"|\b(?:unable|failed) to (?:open|connect|load|read|find|start)\b"
)
_NO_ERROR = re.compile(
    r"\b(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?)\b|\blevel\W{1,3}(?:trace|debug|info|warn)|\b(?:no|0|without) errors?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Doubt:
    """One reason. ``what`` is what was seen."""

    code: Unproven
    what: str


def of_log(lines: Iterable[str]) -> Iterator[Doubt]:
    """The first error among the first lines that a service wrote."""
    for line in lines:
        if _ERROR.search(line) and not _NO_ERROR.search(line):
            yield Doubt("error_in_log", " ".join(line.split())[:160])
            return


def of_health(status: int, path: str) -> Iterator[Doubt]:
    """Nothing that was asked answers but with an error."""
    if status >= 400:
        yield Doubt("health_is_an_error", f"GET {path} answers {status}, and no path that is known answers 2xx")


def of_port(port: int, declared: Collection[int]) -> Iterator[Doubt]:
    """It listens where nothing of the repository says so."""
    if port not in declared:
        told = f"; declared: {', '.join(map(str, declared))}" if declared else ""
        yield Doubt("undeclared_port", f"it listens on {port}, which nothing in the repository declares{told}")


def of_operations(works: int) -> Iterator[Doubt]:
    """No operation was seen to work."""
    if not works:
        yield Doubt("no_operation", "no operation that is known answers 2xx")
