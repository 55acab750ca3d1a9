"""Define the records of ``report.json`` (schema 1). Any figure may be None: "not measured" is never 0.

Each figure says how it was measured: checks, scans and attack runs have their own :class:`Provenance`; for data from the build
or the archive, see ``VariantRecord.provenance`` (keys ``image``, ``build``, ``startup_seconds``, ``layers``, ``attacks``,
``vulnerabilities``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from deadweight._packages import images
from deadweight.checks.scan.model import Contents, Severity
from deadweight.records.built_image import Cache
from deadweight.records.evidence import Provenance, Status
from deadweight.records.runs import Scope
from deadweight.suite.values import Unproven

# The quantities of a report's records.
Bytes = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


# The records of a report's history: what of an earlier report is kept.


@dataclass(frozen=True)
class HeldRecord:
    """How many of the attacks that were tried in a posture were blocked."""

    held: Count
    tried: Count

    def __str__(self) -> str:
        return f"{self.held}/{self.tried}"


@dataclass(frozen=True)
class HistoryPoint:
    """One variant's figures in an earlier report. ``image`` is the image config's digest, None if the variant was not built.
    ``findings`` is the number of vulnerabilities; ``attacks`` has one entry for each posture. None means "not measured"."""

    image: str | None = None
    size_bytes: Bytes | None = None
    findings: Count | None = None
    dead_weight: Count | None = None
    attacks: dict[str, HeldRecord] = field(default_factory=dict)
    startup_seconds: Seconds | None = None
    build_seconds: Seconds | None = None
    stand_in: bool = False


@dataclass(frozen=True)
class HistoryEntry:
    """One report in the history. ``at`` is an ISO 8601 time in UTC; ``dirty`` says that tracked files differed from the commit."""

    at: str
    commit: str | None
    dirty: bool
    suite: str
    tool_version: str
    variants: dict[str, HistoryPoint]


# The records of a scan for known vulnerabilities in ``report.json``: figures, findings, and what the database covers.


@dataclass(frozen=True)
class Coverage:
    """Whether the database covers this image's operating system and the languages of its programs."""

    os: str = "not_scanned"
    language: str = "not_scanned"

    def lacks(self, *, partly: bool = True) -> str:
        """What a count does not hold (``OS partly covered, language not covered``); ``partly=False``: only what it holds nothing
        of."""
        words = {"not_covered": "not covered", **({"partly_covered": "partly covered"} if partly else {})}
        states = (("OS", self.os), ("language", self.language))
        return ", ".join(f"{what} {words[state]}" for what, state in states if state in words)


@dataclass(frozen=True)
class Database:
    """The database used for a scan. ``origin`` is ``local`` if this machine made it; ``contents`` then says what it covers."""

    updated_at: str | None = None
    origin: str | None = None
    contents: Contents | None = None


@dataclass(frozen=True)
class KernelHeaders:
    """Findings in kernel header packages, counted separately because containers run on the host's kernel."""

    total: Count | None = None
    by_severity: dict[Severity, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class Reachability:
    """How many findings are in packages that the running service was seen to use (``reachable``, a lower bound), and how many are
    in packages not used by the ``operations`` asked (``dead_weight``, an upper bound). ``ledger`` counts the operations: learned
    from, judged on, known, and the names of those never asked."""

    status: Literal["measured", "not_measured"] = "not_measured"
    reachable: Count | None = None
    dead_weight: Count | None = None
    operations: Count | None = None
    held_out_added: Count | None = None
    reason: str | None = None
    ledger: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One vulnerability in one package."""

    id: str
    package: str
    severity: Severity = "unknown"
    version: str | None = None
    fixed_version: str | None = None
    kind: str = "os"
    reachable: bool | None = None
    title: str | None = None
    exception: str | None = None


@dataclass(frozen=True)
class VulnerabilitiesRecord:
    """The result of a scan. There are no counts if ``status`` is ``not_scanned`` or ``not_covered``, or if the database does not
    cover the service's language, because they would leave out most of the service. ``total`` and all other counts are of distinct
    findings (id, package, version); ``copies`` is the number of places where they were found, None in older reports."""

    status: Literal["scanned", "not_scanned", "not_covered"] = "not_scanned"
    coverage: Coverage = field(default_factory=Coverage)
    total: Count | None = None
    by_severity: dict[Severity, Count] = field(default_factory=dict)
    database: Database = field(default_factory=Database)
    fixable: Count | None = None
    kernel_headers: KernelHeaders = field(default_factory=KernelHeaders)
    reachability: Reachability = field(default_factory=Reachability)
    findings: tuple[Finding, ...] = ()
    reason: str | None = None
    copies: Count | None = None

    def __post_init__(self) -> None:
        if self.coverage.language == "not_covered":
            for name in ("total", "copies", "fixable"):
                object.__setattr__(self, name, None)
            object.__setattr__(self, "by_severity", {})
            object.__setattr__(self, "reachability", Reachability())

    @property
    def counted(self) -> int | None:
        """Findings that can be compared: nothing that the database does not cover is in any count."""
        return self.total if self.status == "scanned" and not self.coverage.lacks(partly=False) else None


SCHEMA: Literal[1] = 1
REPORT_FILE = "report.json"

Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]


@dataclass(frozen=True)
class BaseRecord:
    """The base image: ``reference`` is its name in the suite, ``resolved`` is the image that was used for it."""

    reference: str
    digest: str | None
    stand_in: bool
    resolved: str | None = None


@dataclass(frozen=True)
class LayerRecord:
    """One layer; the lowest comes first. ``size_bytes`` is its size unpacked, ``compressed_bytes`` its size in a registry."""

    size_bytes: Bytes
    digest: str | None = None
    diff_id: str | None = None
    compressed_bytes: Bytes | None = None
    instruction: str | None = None


@dataclass(frozen=True)
class AttestationRecord:
    """A statement by the builder, stored with the image in the archive. ``predicate`` is the statement's type, a URL."""

    predicate: str
    digest: str
    size_bytes: Bytes


@dataclass(frozen=True)
class ImageRecord:
    """The image itself. ``size_bytes`` is the size of the files in all layers, uncompressed, including the base image. Engines with
    an overlay2 store show the same figure as an image's size; with Docker's containerd store, they add the compressed size.

    ``compressed_how`` says whether the archive contained compressed layers (``stored``) or they were compressed to measure their
    size (``gzip-6``). ``config_digest`` is the same in every engine and registry. ``manifest_digest`` and ``index_digest`` depend
    on how the layers are compressed: they are those of the image that was read, null if it has none. ``engine_id`` is the image's
    ID in the engine that built it. ``architecture`` is as OCI calls it (``arm64``).
    """

    config_digest: str
    manifest_digest: str | None = None
    size_bytes: Bytes | None = None
    compressed_bytes: Bytes | None = None
    compressed_how: str | None = None
    layers: tuple[LayerRecord, ...] = ()
    user: str | None = None
    entrypoint: tuple[str, ...] = ()
    index_digest: str | None = None
    engine_id: str | None = None
    attestations: tuple[AttestationRecord, ...] = ()
    architecture: str | None = None


@dataclass(frozen=True)
class BuildRecord:
    """The last time the variant was actually built; ``cached`` says that the last run had nothing to build.

    ``cache`` says how much that build reused from earlier ones: nothing (``cold``), something (``warm``) or everything
    (``cached``); None if unknown.
    ``fingerprint`` is computed from all of the build's inputs (``plan.fingerprint``).
    ``failed_at`` is when a later build failed or did not finish: the image and all figures then belong to older inputs.
    ``alone`` says whether nothing else was built at the same time; None if unknown.
    ``built_on`` is the pool endpoint that built it (None for an engine or tool on this machine); ``decisions`` lists how the pool
    came to choose that endpoint.
    """

    seconds: Seconds
    cached: bool
    at: str
    tool: str
    failed_at: str | None = None
    cache: Cache | None = None
    fingerprint: str | None = None
    built_on: str | None = None
    decisions: tuple[str, ...] = ()
    alone: bool | None = None

    @property
    def comparable(self) -> bool:
        """Whether its time may stand beside another's: made from nothing, with the machine to itself, and still of this image."""
        return self.cache == "cold" and self.alone is True and self.failed_at is None


@dataclass(frozen=True)
class CheckRecord:
    """One check's result; ``evidence`` is the check's own data, unchanged.

    ``why_not`` is set if the suite asks for the check but there is no current result: the check was never run on this image
    (``not_run``), or its last result is for an earlier image or for other settings in the suite (``stale``). ``gated`` is False if
    the suite sets no gate: the check could not fail, and counts as measured, not as passed.
    """

    status: Status
    expected: bool
    reason: str
    provenance: Provenance | None = None
    seconds: Seconds | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    why_not: Literal["stale", "not_run"] | None = None
    gated: bool = True

    @property
    def only_measured(self) -> bool:
        """Whether it came to a figure that no gate of the suite judges."""
        return not self.gated and self.expected and self.status == "pass"

    @property
    def word(self) -> str:
        """Its outcome; of one without a result why that is, as in ``figures.WHY_NOT``."""
        return "measured" if self.only_measured else (self.why_not or self.status).replace("_", " ")


@dataclass(frozen=True)
class AttackRecord:
    """One payload in one posture. ``walls`` lists the walls that each stop it alone; ``depth`` is the number of walls in its way.
    ``handed_in`` says that its target exists in a container only on request (a folder or socket of the host, a neighbour).
    ``by_user`` says that the image's own user stops it, without any protection by the engine."""

    outcome: Outcome
    walls: tuple[str, ...] = ()
    depth: Count | None = None
    reason: str | None = None
    evidence: Any = None
    handed_in: bool = False
    by_user: bool = False


@dataclass(frozen=True)
class AttackSplit:
    """What stops the attacks on this variant. Only attacks measured in ``posture`` for every attacked variant of the ladder are
    counted, so that all variants are compared on the same attacks; ``of`` is their number.

    ``by_image`` attacks are stopped by what this image lacks or its user may not do, whatever the engine does; ``by_engine``
    attacks only by what the engine does for every image. The others are not stopped in ``posture``: ``by_hardening`` attacks are
    stopped in ``hardened``, ``got_through`` attacks are not, and ``unknown`` attacks were not measured there. ``not_handed_in``
    attacks are in none of these counts: a container has their target (a socket, a token, a host folder, a neighbour) only on
    request.
    """

    posture: str
    of: Count
    by_engine: Count
    by_image: Count
    by_hardening: Count
    got_through: Count
    unknown: Count
    not_handed_in: Count

    @property
    def stopped(self) -> int:
        return self.by_engine + self.by_image

    def __str__(self) -> str:
        return f"{self.stopped}/{self.of}"


@dataclass(frozen=True)
class PayloadRecord:
    """What a payload is: shown once, above what came of it.

    ``delivery`` is ``service`` (through a vulnerability of the service itself) or ``breach`` (after a breach, by code that already
    runs next to the service); None in older reports. ``pack`` is the built-in pack it belongs to, None if it is the suite's own.
    """

    title: str
    gives: str | None = None
    reference: str | None = None
    technique: str | None = None
    delivery: Literal["service", "breach"] | None = None
    pack: str | None = None


@dataclass(frozen=True)
class ReferenceRecord:
    """Another project's figures for the same approach, shown next to the measured figures but never as measured."""

    source: str
    size_bytes: Bytes | None = None
    vulnerabilities: Count | None = None
    note: str | None = None


@dataclass(frozen=True)
class RuntimeRecord:
    """What runs the service: ``name`` is Go, JRE, JDK, Node, Python, …, ``native``, ``shell``, or ``none`` if the image names
    no program, or one that it does not contain. ``version`` is None if unknown; ``path`` is the program's path in the image."""

    name: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class VariantRecord:
    """Everything known about one variant. ``image`` and ``build`` are None if it was never built.

    ``layers`` is the same document that ``invoke layers --json`` prints. ``attack_notes`` says what readers of ``attacks`` need to
    know: what this machine could not start or build, and in which postures nothing was measured. ``other_stand_ins`` lists images
    that were replaced by stand-ins in build stages other than the last. ``failed`` says why there is no result of the last build,
    if it failed or did not finish: ``build``, ``image`` and all figures are then from the build before, or None. ``runtime`` is
    None if it was not determined; ``go_version`` is set only for Go programs (``go1.26.1``). ``startup_seconds`` is the median of
    ``startup_samples``. They are measured in turns with the other variants (A B C A B C …); if not, ``startup_alone`` is true, and
    they are not compared. ``unproven`` is why its passed checks prove little, as the suite says.
    """

    builder: str
    ladder: str
    base: BaseRecord | None
    image: ImageRecord | None
    build: BuildRecord | None
    startup_seconds: Annotated[float, Field(gt=0)] | None
    checks: dict[str, CheckRecord]
    vulnerabilities: VulnerabilitiesRecord
    attacks: dict[str, dict[str, AttackRecord]]
    layers: images.LayersReport | None
    description: str = ""
    go_version: str | None = None
    runtime: RuntimeRecord | None = None
    reference: ReferenceRecord | None = None
    provenance: dict[str, Provenance] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    attack_notes: tuple[str, ...] = ()
    other_stand_ins: tuple[str, ...] = ()
    failed: str | None = None
    startup_samples: tuple[Annotated[float, Field(gt=0)], ...] = ()
    startup_alone: bool = False
    attack_split: AttackSplit | None = None
    unproven: tuple[Unproven, ...] = ()

    @property
    def stand_in(self) -> bool:
        """Whether figures of this variant rest on a local stand-in of a public image."""
        return (self.base is not None and self.base.stand_in) or bool(self.other_stand_ins)


@dataclass(frozen=True)
class Report:
    """The whole comparison. ``variants`` keeps the suite's order. ``scope`` is set if the run covered only part of the suite.
    ``history`` runs from old to new; it ends with the last report that differed from the one before it."""

    schema: Literal[1]
    suite: str
    generated_at: str
    tool_version: str
    variants: dict[str, VariantRecord]
    payloads: dict[str, PayloadRecord] = field(default_factory=dict)
    scope: Scope | None = None
    history: tuple[HistoryEntry, ...] = ()
