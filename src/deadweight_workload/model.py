"""Define the workload: the requests a service is sent, the operations they belong to, and which of them are held out.

An operation is a method and a path template (``GET /files/{id}``), a gRPC method, or a job's command line. Operations are divided
once, by a hash of their identity: what learns (``harden``, ``init``, *reached*) sees about two thirds, and is judged on the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from deadweight.suite.checks import ApiCheck, HttpExpect, HttpRequest
from deadweight_images.errors import Catalogue

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

wording = Catalogue("deadweight_workload")
"""This package's sentences, by code (``messages.toml``)."""

LEAST_OPERATIONS = 6
"""With fewer there is nothing to hold out: two thirds of five say too little."""
JUDGED_OF = 3
"""One operation in so many is held out."""

Source = Literal["suite", "openapi", "docs", "har", "grpc", "crawl", "probe"]


@dataclass(frozen=True)
class Prepared:
    """A request ready to be sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    port: int | None = None
    """None: the service's own."""


@dataclass(frozen=True)
class Link:
    """What fills a ``parameter`` of an ``operation``: ``value`` is a runtime expression of OpenAPI (``$response.body#/id``), of the
    request that has the link and of its answer."""

    operation: str
    parameter: str
    value: str


@dataclass(frozen=True)
class Step:
    """One request of an operation. ``expect`` is what the suite expects, or what the service answered twice alike in the suite's
    own posture; None before that was asked. ``name`` is unique in its workload. ``as_is``: the ids in its
    path are meant as they stand, as the suite's are."""

    name: str
    operation: str
    request: HttpRequest
    expect: HttpExpect | None = None
    source: Source = "suite"
    as_is: bool = False
    links: tuple[Link, ...] = ()

    def check(self) -> ApiCheck:
        """The step as an item of ``checks.api``."""
        return StepCheck(name=self.name, request=self.request, expect=self.expect or HttpExpect(), step=self)


class StepCheck(ApiCheck):
    """An item that a step became. It is sent with what the service answered to earlier ones (``ids``)."""

    step: Step = Field(exclude=True)


@dataclass(frozen=True)
class Ledger:
    """How much was asked: counts of operations. ``unasked`` names those that nothing asks; a job's command line is none of them."""

    learned: int
    judged: int
    unasked: tuple[str, ...] = ()
    job: bool = False

    @property
    def asked(self) -> int:
        return self.learned + self.judged

    @property
    def known(self) -> int:
        return self.asked + len(self.unasked) + self.job

    def __str__(self) -> str:
        if not self.asked:
            return wording("ledger.job" if self.job else "ledger.nothing")
        rest = {"unasked": len(self.unasked), "known": self.known}
        if self.judged:
            return wording("ledger.asked", learned=self.learned, judged=self.judged, **rest)
        if self.learned < LEAST_OPERATIONS:
            return wording("ledger.too_few", learned=self.learned, least=LEAST_OPERATIONS, **rest)
        return wording("ledger.none_held_out", learned=self.learned, **rest)

    def document(self) -> dict[str, Any]:
        """For evidence and ``--json``."""
        counts = {"operations_learned": self.learned, "operations_judged": self.judged}
        return {**counts, "operations_known": self.known, "never_asked": list(self.unasked)}


@dataclass(frozen=True)
class Workload:
    """All requests in their order, and all operations that are known, asked or not. ``held_out`` are the suite's own choice of
    operations to judge on; None: by the hash. ``notes`` tell what a reader must know (a document that could not be read).

    A ``job`` is asked nothing: its one operation is its command line.
    """

    steps: tuple[Step, ...]
    known: tuple[str, ...] = ()
    held_out: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    job: bool = False

    @property
    def operations(self) -> tuple[str, ...]:
        """Those that are asked, each once, in order."""
        return tuple(dict.fromkeys(step.operation for step in self.steps))

    @property
    def judged(self) -> frozenset[str]:
        """The operations that are held out."""
        asked = self.operations
        if self.held_out is not None:
            return frozenset(asked) & frozenset(self.held_out)
        return held_out(asked)

    @property
    def learn(self) -> tuple[Step, ...]:
        judged = self.judged
        return tuple(step for step in self.steps if step.operation not in judged)

    @property
    def judge(self) -> tuple[Step, ...]:
        judged = self.judged
        return tuple(step for step in self.steps if step.operation in judged)

    def ledger(self) -> Ledger:
        asked, judged = self.operations, self.judged
        unasked = tuple(operation for operation in self.known if operation not in asked and not self.job)
        return Ledger(len(asked) - len(judged), len(judged), unasked, self.job)


def held_out(operations: Iterable[str]) -> frozenset[str]:
    """The operations to judge on: the same ones on every machine, whatever else a service has. None of fewer than six."""
    by_hash = {hashlib.sha256(operation.encode()).digest(): operation for operation in operations}
    if len(by_hash) < LEAST_OPERATIONS:
        return frozenset()
    judged = {name for digest, name in by_hash.items() if digest[0] % JUDGED_OF == 0}
    return (
        frozenset(judged or {by_hash[min(by_hash)]})
        if len(judged) < len(by_hash)
        else frozenset({by_hash[min(by_hash)]})
    )


_IDENTIFIER = re.compile(r"\d+|[0-9a-fA-F]{8,}|[0-9a-fA-F-]{36}|.*\d{3,}.*")


def operation_of(method: str, path: str, templates: Iterable[str] = ()) -> str:
    """The operation of a request: the known one (``templates``: ``GET /files/{id}``) that fits it, else its path with ``{}`` in
    place of numbers and hashes."""
    plain = path.partition("?")[0] or "/"
    for known in sorted(templates, key=lambda known: known.count("{")):
        verb, _, template = known.partition(" ")
        if verb == method and re.fullmatch(re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(template)), plain):
            return known
    parts = ("{}" if _IDENTIFIER.fullmatch(part) else part for part in plain.split("/"))
    return f"{method} {'/'.join(parts)}"


def asking(subject: Subject, steps: Iterable[Step]) -> Subject:
    """The subject with these steps in place of its suite's requests: whatever sends ``checks.api`` sends these."""
    api = tuple(step.check() for step in steps)
    checks = subject.variant.checks.model_copy(update={"api": api})
    return replace(subject, variant=subject.variant.model_copy(update={"checks": checks}), service=None)  # type: ignore[arg-type]
