"""How a service is asked whether it is up: one question for each kind of health that a suite can name."""

from __future__ import annotations

import functools
import http.client
import re
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from deadweight._errors import DeadweightError
from deadweight.suite.model import Health, status_matches

if TYPE_CHECKING:
    from deadweight.engine.http import Route


class Ran(Protocol):
    """What a program run in a container gave."""

    @property
    def exit_code(self) -> int: ...

    @property
    def output(self) -> bytes: ...

    @property
    def errors(self) -> bytes: ...


Run = Callable[[Sequence[str], float], Ran]
"""Runs a program in the container within so many seconds."""

EXEC_SECONDS = 2.0
"""To start a program takes an engine a part of a second: the last question before the deadline would never be answered."""

Question = Callable[[float], str]
"""Takes a time limit in seconds. Gives nothing where the service is up, else in one clause why it is not.

Raises OSError, HTTPException or DeadweightError where it cannot be asked."""

MAX_HEALTH_BYTES = 8 * 2**20
"""The largest page that an answer to this question may be: what is longer may have no end, and is no sign of health."""

PEEK_SECONDS = 0.25
"""An engine's proxy takes every connection to a published port, and ends it at once where nobody listens behind it."""


def question(health: Health, way: Callable[[], Route], run: Run) -> Question:
    """The question that this health asks of a container; ``way`` finds the way to its port, once."""
    if health.kind == "exec":
        return lambda limit: _exec(run, health, limit)
    route = functools.cache(way)
    if health.kind == "tcp":
        return lambda limit: _tcp(route(), limit)
    if health.kind == "grpc":
        from deadweight.engine.grpc_health import check

        return lambda limit: check(route(), health.service, limit)
    return lambda limit: _http(route(), health, limit)


def unanswered(health: Health, error: Exception) -> str:
    """One clause on a question that could not be asked."""
    if isinstance(error, DeadweightError):
        return error.message
    asked = {"http": f"GET {health.path}", "tcp": "TCP"}.get(health.kind, health.kind)
    return f"{asked}: {error or type(error).__name__}"


def advice(health: Health, last: str) -> str:
    """The next step where the right port is open and its answer is not what is healthy; empty where none is known."""
    if health.kind != "http":
        return ""
    if " MiB" in last:
        return "set health.path to a route with a short answer"
    if "speaks TLS" in last:
        return "set health.tls to true"
    if " answers " in last:
        return "set health.path to another route, or health.status to the answers that mean healthy"
    if any(
        word in last for word in ("closed connection", "reset by peer", "BadStatusLine", "HTTP/", "\\x", "Errno 104")
    ):
        return (
            "if the service does not speak HTTP, use health: {kind: tcp} to test the port, or {kind: exec} to run a program; "
            "if it speaks HTTP over TLS, {tls: true}"
        )
    return ""


NO_ANSWER = (OSError, http.client.HTTPException)
ERRORS = (*NO_ANSWER, DeadweightError)


def _http(route: Route, health: Health, limit: float) -> str:
    answer = route.request("GET", health.path, timeout=limit, most=MAX_HEALTH_BYTES)
    if answer.truncated:
        return f"GET {health.path} answers {answer.status} with more than {MAX_HEALTH_BYTES // 2**20} MiB"
    if answer.status == 400 and not route.tls and speaks_tls(answer.body):
        return f"GET {health.path}: the port speaks TLS"
    return "" if status_matches(health.status, answer.status) else f"GET {health.path} answers {answer.status}"


def speaks_tls(body: bytes) -> bool:
    """Whether a refusal says that it wants TLS, as Go's, nginx's and Java's servers put it."""
    return re.search(rb"HTTPS server|plain HTTP request was sent to HTTPS|requires TLS", body) is not None


def _tcp(route: Route, limit: float) -> str:
    with route.dial(limit) as connection:
        if route.way != "published":
            return ""
        connection.settimeout(min(PEEK_SECONDS, limit))
        try:
            return "" if connection.recv(1, socket.MSG_PEEK) else "TCP: nothing listens on the published port"
        except TimeoutError:
            return ""


def _exec(run: Run, health: Health, limit: float) -> str:
    done = run(health.command, max(limit, EXEC_SECONDS))
    if done.exit_code == 0:
        return ""
    said = (done.errors or done.output).decode(errors="replace").strip().splitlines()
    return f"{health.command[0]} ended with {done.exit_code}" + (f" ({said[-1][:200]})" if said else "")
