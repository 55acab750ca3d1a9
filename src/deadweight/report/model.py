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
    """One variant's figures in an earlier report: ``image`` is the config's digest, ``findings`` the vulnerabilities that count,
    ``attacks`` by posture. None is "not measured"; no image: not built."""

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
    """One report in the history. ``at`` is ISO 8601 in UTC; ``dirty``: files that git knows differed from the commit."""

    at: str
    commit: str | None
    dirty: bool
    suite: str
    tool_version: str
    variants: dict[str, HistoryPoint]


# The records of a scan for known vulnerabilities in ``report.json``: figures, findings, and what the database covers.


@dataclass(frozen=True)
class Coverage:
    """What the database knows about this image: its operating system, and the languages of its programs."""

    os: str = "not_scanned"
    language: str = "not_scanned"

    def lacks(self, *, partly: bool = True) -> str:
        """What a count does not hold (``OS partly, language not covered``); with ``partly=False`` only what it holds nothing of."""
        words = {"not_covered": "not covered", **({"partly_covered": "partly"} if partly else {})}
        told = (("OS", self.os), ("language", self.language))
        return ", ".join(f"{what} {words[state]}" for what, state in told if state in words)


@dataclass(frozen=True)
class Database:
    """The database of a scan. ``origin`` is ``local`` for one that was made here, whose ``contents`` say what it covers."""

    updated_at: str | None = None
    origin: str | None = None
    contents: Contents | None = None


@dataclass(frozen=True)
class KernelHeaders:
    """Findings in kernel header packages: counted apart, for no kernel runs in an image."""

    total: Count | None = None
    by_severity: dict[Severity, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class Reachability:
    """How many findings lie in packages that the running service was seen to touch, and how many in those (``dead_weight``) that
    none of the ``requests`` that were sent made it touch: a lower bound, and an upper one."""

    status: Literal["measured", "not_measured"] = "not_measured"
    reachable: Count | None = None
    dead_weight: Count | None = None
    requests: Count | None = None
    reason: str | None = None


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
    """A scan. ``not_scanned`` and ``not_covered`` carry no counts at all, nor does one whose database does not cover the language
    of the service: what is most of it is in none. ``total`` and all counts are of distinct findings (id, package, version);
    ``copies`` is in how many places they were found: None in reports of before they were told apart."""

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
    """The base image: ``reference`` as the suite names it, ``resolved`` what was used for it."""

    reference: str
    digest: str | None
    stand_in: bool
    resolved: str | None = None


@dataclass(frozen=True)
class LayerRecord:
    """One layer, lowest first. ``size_bytes`` is the uncompressed tar, ``compressed_bytes`` what a registry would hold."""

    size_bytes: Bytes
    digest: str | None = None
    diff_id: str | None = None
    compressed_bytes: Bytes | None = None
    instruction: str | None = None


@dataclass(frozen=True)
class AttestationRecord:
    """A statement of the builder that lies in the archive beside the image: ``predicate`` is its type, a URL."""

    predicate: str
    digest: str
    size_bytes: Bytes


@dataclass(frozen=True)
class ImageRecord:
    """The image itself. ``size_bytes`` is all layers' files, uncompressed, base included. Engines with an overlay2 store show just
    that as an image's size; with Docker's containerd store they add the packed bytes.

    ``compressed_how`` says whether the archive held compressed layers (``stored``) or we compressed them to see (``gzip-6``).
    ``config_digest`` names the image wherever it goes; ``manifest_digest`` and ``index_digest`` are those of the form that was
    looked at, packed as it is, and null where there is none; ``engine_id`` is what the engine that built it calls it.
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


@dataclass(frozen=True)
class BuildRecord:
    """The last real build of the variant; ``cached`` says that in the last run nothing had to be made.

    ``cache`` tells whether that build took anything from an earlier one: ``cold`` or ``warm``; None where nobody can tell.
    ``fingerprint`` is that of all its inputs (``plan.fingerprint``).
    ``failed_at`` is when a later build came to nothing: the image and all figures are then of older inputs.
    ``alone``: nothing else was built at the same time; None where nobody can tell.
    ``built_on`` is the endpoint of a pool that built it (None for an engine or a tool here), ``decisions`` is how that came.
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
    """One check's result; ``evidence`` is the check's own data as it stands.

    ``why_not`` tells of a check that the suite asks for and that has no result of this image: it was never run on it
    (``not_run``), or what there is of it is of an earlier image or of another question (``stale``). ``gated`` is False where the
    suite sets no gate: it could not fail, and is counted as measured, not as passed.
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
        """Its outcome; of one without a result why that is, as one of ``figures.NOT_MEASURED_WORDS``."""
        return "measured" if self.only_measured else (self.why_not or self.status).replace("_", " ")


@dataclass(frozen=True)
class AttackRecord:
    """One payload in one posture. ``walls`` are those that stop it alone; ``depth`` how many stand in its way. It goes
    for what is only there if it is ``handed_in``. The image's own user stops it ``by_user``, with no protection of the engine's."""

    outcome: Outcome
    walls: tuple[str, ...] = ()
    depth: Count | None = None
    reason: str | None = None
    evidence: Any = None
    handed_in: bool = False
    by_user: bool = False


@dataclass(frozen=True)
class AttackSplit:
    """What stops the attacks that were measured in ``posture`` for every attacked variant of the ladder: so that all are compared
    on the same ``of`` attacks.

    ``by_image`` are stopped by what this image lacks or its user may not do, whatever the engine does besides; ``by_engine`` only
    by what the engine does for any image. Of the others, ``by_hardening`` are stopped in ``hardened``; ``got_through`` in none,
    ``unknown`` were not tried there. ``not_handed_in`` attacks are in none of these: what they are after (socket, token, folder of
    the host, neighbour) is given to no container that does not ask for it.
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
    """What a payload is: shown once, beside its row of the heat map.

    ``delivery``: through the service's own hole, or after a breach, by code that runs beside the service already; None in reports
    of before there were two. ``pack``: of which of our packs it is, None for the suite's own.
    """

    title: str
    gives: str | None = None
    reference: str | None = None
    technique: str | None = None
    delivery: Literal["service", "breach"] | None = None
    pack: str | None = None


@dataclass(frozen=True)
class ReferenceRecord:
    """Somebody else's figures for the same path; shown beside ours, never as ours."""

    source: str
    size_bytes: Bytes | None = None
    vulnerabilities: Count | None = None
    note: str | None = None


@dataclass(frozen=True)
class RuntimeRecord:
    """What runs the service: ``name`` is Go, JRE, JDK, Node, Python, …, ``native``, ``shell`` or ``none`` (the image names no
    program that is in it). ``version`` is None where nothing tells it; ``path`` is the program in the image."""

    name: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True)
class VariantRecord:
    """Everything known of one variant. ``image`` and ``build`` are None where it was never built.

    ``layers`` is the very document that ``invoke layers --json`` prints. ``attack_notes`` is what a reader of ``attacks`` must
    know: what this machine could not start or build, and postures that came to nothing. ``other_stand_ins`` are images that
    stand-ins took the place of in other stages of the build than the last. ``failed`` is how the last build came to nothing, where
    it did: ``build``, ``image`` and all figures are then of the build before, or None. ``runtime`` is None where nobody looked;
    ``go_version`` is that of a Go program (``go1.26.1``), None for any other. ``startup_seconds`` is the median of
    ``startup_samples``, which were taken in turns with the other variants' (A B C A B C …), or ``startup_alone``: such are not
    compared.
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

    @property
    def stand_in(self) -> bool:
        """Whether figures of this variant rest on a local stand-in of a public image."""
        return (self.base is not None and self.base.stand_in) or bool(self.other_stand_ins)


@dataclass(frozen=True)
class Report:
    """The whole comparison. ``variants`` keeps the suite's order. ``scope`` tells what the run was for where that was not all.
    ``history`` runs from old to new; it ends with the last report that said anything new."""

    schema: Literal[1]
    suite: str
    generated_at: str
    tool_version: str
    variants: dict[str, VariantRecord]
    payloads: dict[str, PayloadRecord] = field(default_factory=dict)
    scope: Scope | None = None
    history: tuple[HistoryEntry, ...] = ()
