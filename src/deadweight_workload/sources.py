"""Collect a service's requests: from its suite, from documents and recordings, and from the service itself."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from deadweight._errors import CommandError, DeadweightError, Interrupted
from deadweight.engine.health import call_grpc
from deadweight.suite.checks import HttpRequest
from deadweight_workload import documents, examples, grpc, har, openapi
from deadweight_workload.api import prepare, send
from deadweight_workload.crawl import crawl
from deadweight_workload.model import Step, Workload, operation_of, wording
from deadweight_workload.simplest import Example

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer
    from deadweight.suite.model import Variant

SECONDS, QUICK_SECONDS = 8.0, 2.0
"""What a document shows may be slow on purpose: it would be asked again in each trial of ``harden``."""
MOST_BYTES = 8 * 2**20
"""Of one answer: what is longer has no end."""
MOST_RECORDED, MOST_NAMED = 200, 40
MOST_OF_ONE = 3
"""Recorded requests of one operation: browsers ask for some again and again."""
LAST = re.compile(
    r"panic|exit\b|quit|kill|shut-?_?down|crash|terminate|restart|reboot|stop\b|reset|purge|wipe|truncate|(?:delete|remove|clear|drop)[-_]?all"
    r"|logout|sign-?out",
    re.IGNORECASE,
)
"""Operations that may end the service, or everything that it holds: after all others, and no link to one is followed."""
_BUILDS = {"POST": 0, "PUT": 1, "PATCH": 1, "DELETE": 3}
_OTHERS = 2


def suite_steps(variant: Variant, templates: Iterable[str] = ()) -> tuple[Step, ...]:
    """The requests under ``checks.api``."""
    return tuple(
        Step(item.name, operation_of(item.request.method, item.request.path, templates), item.request, item.expect)
        for item in variant.checks.api
    )


def suite_workload(subject: Subject) -> Workload:
    """The requests of the ``api`` check, with all operations that the suite's documents name."""
    documents = _Collected(subject, None).documents(speaks=False)
    described = {str(operation): None for _, operations in documents for operation in operations}
    steps = suite_steps(subject.variant, described)
    known = (*described, *(step.operation for step in steps))
    return Workload(steps, tuple(dict.fromkeys(known)), subject.variant.checks.holdout)


def workload_of(subject: Subject, container: Container | None = None) -> Workload:
    """All requests that are known for this variant. ``container`` is the service, up and in the suite's own posture: None leaves
    out what only it can tell. A source that cannot be read is told in ``notes``."""
    variant = subject.variant
    if variant.health.kind == "exit":
        image = subject.engine().images.need(subject.engine_image())
        words = (*(variant.run.entrypoint or image.entrypoint), *(variant.run.args or image.command))
        return Workload((), (" ".join(words),), (), job=True)
    return _Collected(subject, container).workload()


class _Collected:
    """``known`` and ``steps`` grow source by source: none asks an operation that an earlier one asks."""

    def __init__(self, subject: Subject, container: Container | None) -> None:
        self.subject, self.variant, self.container = subject, subject.variant, container
        self.steps, self.notes, self.known = list[Step](), list[str](), dict[str, None]()
        self._asked = set[str]()

    def workload(self) -> Workload:
        speaks = self.variant.health.kind != "grpc" and self.get("/") is not None
        documents = list(self.documents(speaks=speaks))
        described = {str(operation): None for _, operations in documents for operation in operations}
        suite = suite_steps(self.variant, described)
        self.add(suite, (step.operation for step in suite))
        for name, operations in documents:
            self.add(list(self._generated(name, operations)), map(str, operations), again=True)
        if speaks:
            self.add(list(self._documented()), again=True)
        for file in self.variant.checks.requests:
            if file.endswith(".har"):
                self.add(self._recorded(file))
        if self.variant.health.kind == "grpc" and self.container is not None:
            self.add(self._reflected(self.container))
        if speaks:
            self.add(self._linked())
        links = {name: link for _, operations in documents for name, link in openapi.links(operations).items()}
        linked = (replace(step, links=links.get(step.operation, ())) for step in self.steps)
        ordered = sorted(linked, key=_place)
        if not ordered:
            self.notes.append(wording("ledger.add"))
        return Workload(tuple(_unique(ordered)), tuple(self.known), self.variant.checks.holdout, tuple(self.notes))

    def add(self, steps: Iterable[Step], known: Iterable[str] = (), *, again: bool = False) -> None:
        """Those of operations that nothing asks yet; with ``again`` all that are other requests."""
        asked = {repr(step.request) for step in self.steps}
        new = [
            step for step in steps if step.operation not in self._asked or (again and repr(step.request) not in asked)
        ]
        self.steps += new
        self._asked |= {step.operation for step in new}
        self.known |= dict.fromkeys((*known, *(step.operation for step in new)))

    def ask(self, request: HttpRequest) -> Answer | None:
        """None where there is no answer, or no service to ask."""
        if self.container is None:
            return None
        try:
            return send(self.container, prepare(request, self.subject.suite.root), SECONDS, MOST_BYTES)
        except Interrupted:
            raise
        except (OSError, http.client.HTTPException, DeadweightError):
            return None

    def get(self, path: str) -> Answer | None:
        request = _get(path)
        return None if request is None else self.ask(request)

    def status(self, request: HttpRequest) -> int:
        answer = self.ask(request)
        return 0 if answer is None else answer.status

    def documents(self, *, speaks: bool) -> Iterator[tuple[str, Sequence[openapi.Operation]]]:
        """Each with its name; one whose operations are not this service's is told, and left out."""
        checks = self.variant.checks
        named = dict.fromkeys(name for name in checks.requests if not name.endswith(".har"))
        named |= {checks.attacks.openapi: None} if checks.attacks and checks.attacks.openapi else {}
        served = openapi.served(self.get) if speaks and not named else None
        if not named and not served and (own := openapi.in_repository(self.subject.suite.root)):
            named = {own: None}
        read = {name: self._document(name) for name in named if self.container or not name.startswith("/")}
        read |= [served] if served else ()
        for name, document in read.items():
            if not (known := tuple(openapi.operations(document))):
                self.notes.append(wording("source.no_document", name=name))
                continue
            gets = (
                re.sub(r"\{[^/]*?\}", "1", it.path) for it in known if it.method == "GET" and not LAST.search(it.path)
            )
            asked = filter(None, map(_get, gets))
            base = openapi.base_of(document, name, asked, self.status)[0] if speaks else None
            if base == openapi.NOWHERE:
                self.notes.append(wording("source.of_another", name=name))
            else:
                yield name, tuple(openapi.operations(document, base))

    def _document(self, name: str) -> Any:
        if not name.startswith("/"):
            return openapi.read(self.subject.suite.root / name)
        answer = self.get(name)
        return openapi.parsed(answer.text()) if answer is not None and answer.status == 200 else None

    def _generated(self, name: str, operations: Sequence[openapi.Operation]) -> Iterator[Step]:
        if len(operations) > examples.MOST_OPERATIONS:
            self.notes.append(wording("source.too_many", name=name, all=len(operations), most=examples.MOST_OPERATIONS))
        own = {f"{it.method} {it.own}": it for it in operations}
        sent = (item.request.headers for item in self.variant.checks.api)
        login = {name: value for headers in sent for name, value in headers.items() if har.is_secret(name)}
        made = list[tuple[str, str, dict[str, Any]]]()
        if examples.installed():
            with contextlib.suppress(CommandError):
                made += examples.examples(operations[0].document)
        if not made:
            self.notes.append(
                wording("source.no_examples" if examples.installed() else "source.no_schemathesis", name=name)
            )
            yield from _simplest(operations, login)
        for label, kind, fields in made:
            operation = own.get(label)
            with contextlib.suppress(ValueError):  # a method or a header that no suite could name
                if operation is not None and fields and (kind == "valid" or str(operation) not in self._asked):
                    headers = fields["headers"] | (login if operation.secured else {})
                    path = operation.path.removesuffix(operation.own) + fields["path"]
                    request = HttpRequest.model_validate(fields | {"path": path, "headers": headers})
                    malformed = kind == "malformed"
                    yield Step(f"{operation} ({kind})", str(operation), request, source="openapi", as_is=malformed)

    def _documented(self) -> Iterator[Step]:
        """What the repository's documents show, but for what is slow, or is no path of this service."""
        for request in documents.shown(self.subject.suite.root):
            answer = None if LAST.search(request.path) else self.ask(request)
            if (
                answer is None
                or answer.status in openapi.NOT_THERE
                or answer.truncated
                or answer.seconds > QUICK_SECONDS
            ):
                continue
            operation = operation_of(request.method, request.path, self.known)
            more = "".join(f" {name}:{value}" for name, value in request.headers.items() if name != "content-type")
            name = f"{request.method} {request.path}{more[:MOST_NAMED]} (docs)"
            yield Step(name, operation, request, source="docs")

    def _recorded(self, file: str) -> Iterator[Step]:
        try:
            recorded = har.read(self.subject.suite.root / file)
        except (OSError, ValueError):
            self.notes.append(wording("source.no_har", name=file))
            return
        gets = [it for it in recorded.requests if it.method == "GET" and not LAST.search(it.path)][: openapi.MOST_ASKED]
        if self.container and gets and all(self.status(it) in openapi.NOT_THERE for it in gets):
            self.notes.append(wording("source.of_another", name=file))
            return
        if recorded.elsewhere or recorded.unusable:
            self.notes.append(
                wording("source.har_left_out", name=file, elsewhere=recorded.elsewhere, unusable=recorded.unusable)
            )
        if any(har.MASK in repr(it) for it in recorded.requests):
            self.notes.append(wording("source.har_masked", name=file))
        asked = Counter[str]()
        for request in recorded.requests[:MOST_RECORDED]:
            operation = operation_of(request.method, request.path, self.known)
            asked[operation] += 1
            if asked[operation] <= MOST_OF_ONE:
                yield Step(f"{operation} (har)", operation, request, source="har")

    def _reflected(self, container: Container) -> Iterator[Step]:
        try:
            for path, streams in grpc.methods(
                lambda path, sent: call_grpc(container.http(), path, sent, SECONDS, MOST_BYTES)[1]
            ):
                operation = operation_of("POST", path, (f"POST {path}",))
                self.known[operation] = None
                if not LAST.search(path):
                    yield Step(f"{operation} (grpc)", operation, grpc.request(path, streams=streams), source="grpc")
        except Interrupted:
            raise
        except (OSError, http.client.HTTPException, DeadweightError, ValueError):
            self.notes.append(wording("source.no_reflection"))

    def _linked(self) -> Iterator[Step]:
        for path, works in crawl(self.get, lambda path: not LAST.search(path)):
            operation = operation_of("GET", path, self.known)
            self.known.setdefault(operation)
            if works:
                yield Step(f"{operation} (crawl)", operation, HttpRequest(path=path), source="crawl")


def _simplest(operations: Iterable[openapi.Operation], login: Mapping[str, str]) -> Iterator[Step]:
    for operation in islice(operations, examples.MOST_OPERATIONS):
        with contextlib.suppress(ValueError):
            request = Example(operation).request()
            headers = {**request.headers, **(login if operation.secured else {})}
            yield Step(
                f"{operation} (valid)",
                str(operation),
                request.model_copy(update={"headers": headers}),
                source="openapi",
            )


def _get(path: str) -> HttpRequest | None:
    """None for a path that no suite could name."""
    try:
        return HttpRequest(path=path)
    except ValueError:
        return None


def _place(step: Step) -> tuple[int, int]:
    """The suite's own first, as they stand. Of the others: what builds state, upper collections first; what reads it; what deletes;
    what may end all. Recorded ones stay in their order."""
    if step.source == "suite":
        return -1, 0
    if LAST.search(step.operation):
        return _BUILDS["DELETE"] + 1, 0
    rank = _BUILDS.get(step.request.method, _OTHERS) if step.source == "openapi" else _OTHERS
    return rank, step.operation.count("{") if rank < _OTHERS else 0


def _unique(steps: Iterable[Step]) -> Iterator[Step]:
    names = Counter[str]()
    for step in steps:
        names[step.name] += 1
        yield step if names[step.name] == 1 else replace(step, name=f"{step.name} {names[step.name]}")
