"""Records of a payload file (``awk.yaml``, ``breach.yaml``): what to send and what proves success."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from deadweight.suite.checks import HttpRequest
from deadweight.suite.values import STRICT, Flag, Name, Record, Seconds
from deadweight_attacks.walls import ALL, TABLES, wording

FUNCTIONS: tuple[str, ...] = (*TABLES["gtfobins"],)
"""The functions that GTFOBins sorts its entries by, those of its earlier editions included (https://gtfobins.github.io)."""

PLACES = ("a", "b", "host", "port", "file", "app", "hostfile", "disk", "memory", "each")
MOST_SECONDS = 240
"""A container that takes a request has so long before it at least (``Yard.get``)."""
_PLACE = re.compile(r"@([a-z]+)@")


def _function(text: str) -> str:
    if text not in FUNCTIONS:
        raise ValueError(wording("payload.function", some=", ".join(FUNCTIONS[:9])))
    return text


def _technique(text: str) -> str:
    if not re.fullmatch(r"T\d{4}(\.\d{3})?", text):
        raise ValueError(wording("payload.technique"))
    return text


def _own_id(text: str) -> str:
    if text == ALL:
        raise ValueError(wording("payload.id_of_all", name=ALL))
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(wording("payload.absolute_path"))
    return text


def places_in(text: str) -> set[str]:
    """The names between at signs."""
    return set(_PLACE.findall(text))


def check_places(text: str, known: Sequence[str] = PLACES) -> None:
    """Raises ValueError for a place that nothing fills."""
    unknown = sorted(places_in(text) - set(known))
    if unknown:
        raise ValueError(wording("payload.places", known=", ".join(f"@{name}@" for name in known), unknown=unknown[0]))


KERNELS = "/proc/version"
"""A file that is in every container: everybody may read it, and no engine masks it (proc(5); OCI runtime specification,
``maskedPaths``)."""


class Proof(Record):
    """What proves an attack. A status code never does.

    ``output``: the two halves of the word come back as one. ``image-file``: the content of ``path`` comes back, as the image has
    it. ``planted``: the secret comes back that lies in the service's environment, in the mounted host folder, at the stand-in
    for the cloud's metadata, or in a neighbour's memory.
    ``listener``: the attack connects to a listener, which collects the word, serves it, or is the far end of a reverse shell; or it
    sends the word in a ``datagram``, or is enough that it ``called``.
    ``bound``: a shell answers on a port that the attack opened. ``socket``: the word arrives at the stand-in for the engine's
    socket. ``host-file``: the word lies in the host's folder. ``resource``: the container takes more than the hardened posture
    would grant, or the service stops answering (of ``answers``: that alone counts). ``takes`` marks an attack on resources that
    proves itself otherwise.
    """

    kind: Literal["output", "image-file", "planted", "listener", "bound", "socket", "host-file", "resource"]
    path: Annotated[str, AfterValidator(_absolute)] | None = None
    where: Literal["environment", "host", "metadata", "neighbour"] | None = None
    does: Literal["collect", "serve", "shell", "datagram", "called"] | None = None
    of: Literal["memory", "pids", "cpu", "answers"] | None = None
    takes: Literal["disk"] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Proof:
        needs = {"image-file": "path", "planted": "where", "listener": "does", "resource": "of"}
        for kind, key in needs.items():
            if (self.kind == kind) != (getattr(self, key) is not None):
                raise ValueError(wording("payload.only_with_kind", key=key, kind=kind))
        return self


class Payload(Record):
    """One attack. It gets there as an AWK program (``script``), as words for a shell that AWK starts (``shell``), as a ``request``,
    or after a ``breach``, as words for the attacker's own program beside the service.

    ``trace``: what it leaves behind: ``files`` of a name of their own, which no other attack meets (the container is thrown away
    after the last of these), or ``state`` (a port, a full disk), so that the container is thrown away at once. ``seconds`` bounds
    the request. ``needs`` names features of the AWK. ``parallel`` is how often it is sent at once. ``each`` stands for ``@each@``,
    one after another: a request for each until one proves the attack. ``probe`` is a value that is put, one after another, in each
    place of the suite's own requests that takes one. ``flood``: one of those requests with a body that is too ``large``, or many
    that are ``slow``. ``named``: beside its ``request``, the suite's own requests and the document's GETs are sent as they are.
    ``search``: it looks for a hole that a service may well not have. ``techniques``: the ways to the goal of a ``breach`` that the
    attacker's program tries, one after another.
    """

    id: Annotated[Name, AfterValidator(_own_id)]
    title: Annotated[str, StringConstraints(min_length=3)]
    gives: str = ""
    gtfobins: Annotated[str, AfterValidator(_function)] | None = None
    attack: Annotated[str, AfterValidator(_technique)] | None = None
    needs: tuple[str, ...] = ()
    trace: Literal["files", "state"] | None = None
    seconds: Annotated[Seconds, Field(le=MOST_SECONDS)] = 8.0
    parallel: Annotated[int, Field(ge=1, le=8), STRICT] = 1
    each: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    script: str | None = None
    shell: str | None = None
    request: HttpRequest | None = None
    breach: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    techniques: tuple[str, ...] = ()
    probe: str | None = None
    flood: Literal["large", "slow"] | None = None
    named: Flag = False
    search: Flag = False
    args: tuple[str, ...] = ()
    input: str | None = None
    evidence: Proof

    @model_validator(mode="after")
    def _sound(self) -> Payload:
        ways = (self.script, self.shell, self.request, self.breach, self.probe, self.flood)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(wording("payload.one_way"))
        if self.flood is not None and self.evidence.kind != "resource":
            raise ValueError(wording("payload.flood"))
        if self.gtfobins is None and self.attack is None:
            raise ValueError(wording("payload.no_reference"))
        text = self.text()
        if "@a@@b@" in text:
            raise ValueError(wording("payload.halves"))
        check_places(text)
        if bool(self.each) != ("each" in places_in(text)):
            raise ValueError(wording("payload.each"))
        if self.each and self.evidence.kind == "resource":
            raise ValueError(wording("payload.each_of_resource"))
        return self

    def text(self) -> str:
        """All that is sent, as one text."""
        own = (self.script, self.shell, self.probe, self.input, *self.args, *self.each, *(self.breach or ()))
        sent = self.request.model_dump_json() if self.request is not None else ""
        return "\n".join([part for part in own if part] + [sent])

    def idle(self) -> list[str]:
        """Keys that change nothing beside the others."""
        beside = [("args", self.args), ("input", self.input)] if self.way != "script" else []
        many = self.parallel > 1 and (self.evidence.kind != "resource" or self.breach is not None)
        alone = [("parallel", many)]
        techniques = [("techniques", self.techniques)] if self.breach is None else []
        return [key for key, value in (*beside, *alone, *techniques) if value]

    def lacks(self) -> list[str]:
        """Places without which the evidence can never come."""
        needed = {
            "output": ("a", "b"), "socket": ("a", "b"), "host-file": ("a", "b", "file"), "bound": ("port",),
            "listener": ("a", "b", "host", "port")
            if self.evidence.does in ("collect", "datagram")
            else ("host", "port"),
        }  # fmt: skip
        there = places_in(self.text())
        return [f"@{name}@" for name in needed.get(self.evidence.kind, ()) if name not in there]

    @property
    def way(self) -> Literal["script", "request", "probe", "flood", "breach"]:
        """How it gets there: as a script of the service's AWK, as a request of its own, as a value in the suite's requests, as too
        much of such a request, or by a program beside the service."""
        if self.breach is not None:
            return "breach"
        if self.probe is not None:
            return "probe"
        if self.flood is not None:
            return "flood"
        return "request" if self.request is not None else "script"

    @property
    def delivery(self) -> Literal["service", "breach"]:
        """Through the service's own hole, or after a breach: by somebody whose code runs there already."""
        return "breach" if self.breach is not None else "service"

    @property
    def resource(self) -> bool:
        """Whether it goes for memory, processes, processor or disk; such attacks run alone."""
        return self.evidence.kind == "resource" or self.evidence.takes is not None

    @property
    def neighbour(self) -> bool:
        """Whether it goes for another container, or for what is seen of other processes."""
        return self.evidence.where == "neighbour"

    @property
    def handed_in(self) -> bool:
        """Whether it goes for what no container gets unasked: a folder or socket of the host, a neighbour."""
        return self.evidence.kind in ("host-file", "socket") or self.evidence.where in ("host", "neighbour")

    @property
    def reference(self) -> str | None:
        return f"GTFOBins: {self.gtfobins}" if self.gtfobins else None


class PayloadFile(Record):
    """A payload file: features that attacks may need, and the attacks. A feature is an AWK program that prints the word where this
    AWK has it, and its halves the other way round where it has not."""

    features: dict[Name, str] = Field(default_factory=dict)
    payloads: tuple[Payload, ...] = ()
