"""The records of a suite file (``deadweight.yaml``). Pydantic, frozen; unknown keys are refused.

The section of a check under ``checks:`` is a model of its own below; a third party's check takes its options as they stand.
The keys of one builder alone are in its own record, in its folder under ``builders``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from deadweight._errors import ConfigError
from deadweight.suite.requests import ApiCheck
from deadweight.suite.values import (
    STRICT,
    Count,
    Day,
    EnvName,
    Flag,
    HeaderName,
    HeaderValue,
    HttpStatus,
    Memory,
    Name,
    PlainUrlPath,
    Record,
    RelativePath,
    Seconds,
    Size,
    Text,
    Tmpfs,
    UrlPath,
    User,
)
from deadweight.suite.yaml_nodes import Key, dotted


class Health(Record):
    """How to tell that the service is up.

    ``http``: GET ``path`` on the variant's port answers one of ``status`` (``204``, ``2xx``). ``tcp``: the port takes
    connections. ``exec``: ``command``, run in the container, ends with 0. ``grpc``: ``grpc.health.v1`` says SERVING of ``service``
    (empty: of the whole server). ``exit``: it is no server, and ends with 0 by itself.
    """

    kind: Literal["http", "tcp", "exec", "grpc", "exit"] = "http"
    path: PlainUrlPath = "/healthz"
    status: Annotated[tuple[HttpStatus, ...], Field(min_length=1)] = ("2xx",)
    command: Annotated[tuple[Text, ...], Field(validate_default=True)] = ()
    service: Text = ""
    within_seconds: Seconds = 20.0

    @field_validator("command")
    @classmethod
    def _what_to_run(cls, command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("kind") == "exec" and not command:
            raise ValueError("a program to run beside kind: exec (command: [redis-cli, ping])")
        return command


def status_matches(wanted: tuple[int | str, ...], status: int) -> bool:
    """Whether an HTTP status is one of these numbers or classes (``2xx``)."""
    return any(each == status or each == f"{status // 100}xx" for each in wanted)


class Need(Record):
    """Another container that the service needs, and finds by the name that is its key: a database, a queue, a service beside it.

    ``image`` is a public reference, which the source resolves as it does bases; ``variant`` is another variant of the suite. It is
    up when ``health`` says so of ``port``. With ``health: {kind: exit}`` it is a job that ends before the service is started.
    ``files`` maps paths in it to files or folders of the project, which it may read.
    """

    image: Text | None = None
    variant: Name | None = None
    port: Annotated[int, Field(ge=1, le=65535), STRICT] | None = None
    health: Health = Health(kind="tcp", within_seconds=60.0)
    env: dict[EnvName, Text] = {}
    args: tuple[Text, ...] = ()
    files: dict[Text, RelativePath] = {}
    tmpfs: tuple[Tmpfs, ...] = ()
    memory: Memory = 512 * 2**20

    @model_validator(mode="after")
    def _that_can_be_started(self) -> Need:
        if (self.image is None) == (self.variant is None):
            raise ValueError("one of image (redis:7) and variant (another one of this suite)")
        if self.port is None and self.health.kind not in ("exec", "exit"):
            raise ValueError("the port that it listens on beside it (port: 6379)")
        return self


class RunSettings(Record):
    """How the service is run in its hardened container. Bytes accept ``64MB``/``64MiB`` forms.

    ``args`` replaces the image's command, ``entrypoint`` its entrypoint (and, as with every engine, its command too).
    ``needs`` are containers that are started before it, in this order, and removed after it.
    """

    memory: Memory = 256 * 2**20
    cpus: Annotated[float, Field(ge=0.01, le=64), STRICT] = 1.0
    pids: Annotated[int, Field(ge=4, le=4096), STRICT] = 64
    user: User | None = None
    read_only: Flag = True
    tmpfs: tuple[Tmpfs, ...] = ("/tmp",)  # noqa: S108 - a path in the container
    env: dict[EnvName, Text] = {}
    args: tuple[Text, ...] = ()
    entrypoint: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    needs: dict[Name, Need] = {}


class RunsCheck(Record):
    """``runs``: starts, gets healthy, stops on SIGTERM. ``if_killed``: what it is where it does not, and has to be killed."""

    stops_within_seconds: Seconds = 10.0
    if_killed: Literal["fail", "warn"] = "fail"


class Limit(Record):
    """A soft limit warns, a hard limit fails."""

    soft: float | None = None
    hard: float | None = None

    @field_validator("hard")
    @classmethod
    def _not_below_soft(cls, hard: float | None, info: ValidationInfo) -> float | None:
        soft = info.data.get("soft")
        if hard is not None and soft is not None and hard < soft:
            raise ValueError(f"a hard limit that is not below the soft one ({soft:,.10g})")
        return hard


class SizeLimit(Limit):
    """Bytes accept ``15MB`` (10^6) and ``15MiB`` (2^20)."""

    soft: Size | None = None
    hard: Size | None = None


class CountLimit(Limit):
    """A whole number."""

    soft: Count | None = None
    hard: Count | None = None


class SecondsLimit(Limit):
    """Seconds."""

    soft: Annotated[float, Field(ge=0, le=3600), STRICT] | None = None
    hard: Annotated[float, Field(ge=0, le=3600), STRICT] | None = None


class BudgetCheck(Record):
    """``budget``: how heavy the image may be."""

    size_bytes: SizeLimit | None = None
    compressed_bytes: SizeLimit | None = None
    layers: CountLimit | None = None
    startup_seconds: SecondsLimit | None = None
    smaller_than: str | None = None


class AllowedSecret(Record):
    """An allow-list entry for one secret finding; expires."""

    fingerprint: str
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: Day


Verdict = Literal["none", "allow"]


class SecretsGate(Record):
    """``secrets``, apart for what is ``mine`` and what the ``base``'s layers and packages' own files brought along."""

    mine: Verdict = "none"
    base: Verdict = "none"


class UnreadGate(Record):
    """``unread``: what a secret could lie in unseen (encrypted, too big, damaged) and is accepted, with the reason for it."""

    mine: Verdict = "none"
    base: Verdict = "none"
    reason: str = ""

    @model_validator(mode="after")
    def _with_a_reason(self) -> UnreadGate:
        if "allow" in (self.mine, self.base) and len(self.reason) < 3:
            raise ValueError("a reason beside allow: {base: allow, reason: test archives of the compiler}")
        return self


def _of_both(value: object) -> object:
    """One word is said of what is mine and of what is the base's."""
    return {"mine": value, "base": value} if isinstance(value, str) else value


class LayersCheck(Record):
    """``layers``: what may be hidden in, or stand about in, the image."""

    secrets: Annotated[SecretsGate, BeforeValidator(_of_both, json_schema_input_type=Verdict | SecretsGate)] = (
        SecretsGate()
    )
    unread: Annotated[UnreadGate, BeforeValidator(_of_both, json_schema_input_type=Literal["none"] | UnreadGate)] = (
        UnreadGate()
    )
    max_hidden_bytes: Size | None = None
    setuid: Flag = True
    shell: Flag = True
    package_manager: Flag = True
    users: tuple[str, ...] = ()
    allow: tuple[AllowedSecret, ...] = ()


class AttackGate(Record):
    """``attacks``: payload ids (or ``all``) that must be blocked in a posture."""

    posture: str = "hardened"
    blocked: Annotated[tuple[str, ...], Field(min_length=1)]


class AwkRequest(Record):
    """How an AWK script reaches the service, for attacks through an AWK of its own: the request, and where the script stands in it.

    ``encoding``: the body is JSON or a form with the script at ``field``, or the script alone (``raw``); ``query`` puts ``field``
    into the path. ``args`` and ``input`` are the fields of AWK's words and its input; null where the service takes none.
    """

    method: Literal["GET", "POST", "PUT", "PATCH"] = "POST"
    path: UrlPath
    encoding: Literal["json", "form", "query", "raw"] = "json"
    field: Annotated[str, StringConstraints(min_length=1)] = "script"
    args: str | None = None
    input: str | None = None
    headers: dict[HeaderName, HeaderValue] = {}

    @field_validator("args", "input")
    @classmethod
    def _beside_the_script(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.data.get("encoding") == "raw":
            raise ValueError("no args or input with encoding raw: the body is the script alone")
        return name


Pack = Literal["breach", "awk", "http"]


class AttacksCheck(Record):
    """``attacks``: real attacks, and the walls that must stop them.

    ``packs``: which of our attacks are tried; without it ``breach`` (whatever the service is), and ``awk`` where ``awk`` tells how
    a script reaches the service. ``http`` looks for holes on the requests under ``api``.
    """

    packs: Annotated[tuple[Pack, ...], Field(min_length=1)] | None = None
    awk: AwkRequest | None = None
    payload_files: tuple[RelativePath, ...] = ()
    gates: tuple[AttackGate, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> AttacksCheck:
        if self.awk is None and "awk" in (self.packs or ()):
            raise ValueError("the key awk (with a path) beside the pack awk: how a script reaches the service")
        return self

    @property
    def chosen_packs(self) -> tuple[Pack, ...]:
        """The packs that are tried, in their order."""
        return self.packs or (("awk", "breach") if self.awk is not None else ("breach",))


Severity = Literal["critical", "high", "medium", "low", "unknown"]


class VulnerabilityException(Record):
    """An accepted finding: id, optionally a package, with a reason and an expiry date (YYYY-MM-DD)."""

    id: str
    package: str | None = None
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: Day


class VulnerabilitiesCheck(Record):
    """``vulnerabilities``: what a scanner finds, and how much of it is accepted.

    ``fixable_only`` counts only findings that a newer package fixes, ``new_only`` only those that the report ``baseline``
    (a ``report.json``) does not have. Kernel headers and excepted findings never count.
    """

    max: dict[Severity, Count] = {}
    fixable_only: Flag = False
    baseline: RelativePath | None = None
    new_only: Flag = False
    max_database_age_days: Annotated[int, Field(ge=1), STRICT] = 7
    vex: tuple[RelativePath, ...] = ()
    ignore: tuple[VulnerabilityException, ...] = ()

    @field_validator("new_only")
    @classmethod
    def _against_something(cls, new_only: bool, info: ValidationInfo) -> bool:
        if new_only and info.data.get("baseline") is None:
            raise ValueError("a baseline beside it (baseline: published/report.json)")
        return new_only


class Checks(Record):
    """The ``checks:`` section. A section that is absent is not checked, except ``runs``, which always is."""

    runs: RunsCheck = RunsCheck()
    api: tuple[ApiCheck, ...] = ()
    budget: BudgetCheck | None = None
    layers: LayersCheck | None = None
    attacks: AttacksCheck | None = None
    vulnerabilities: VulnerabilitiesCheck | None = None
    other: dict[str, dict[str, Any]] = {}


class Reference(Record):
    """Somebody else's figures for the same path, shown beside ours and never as ours."""

    source: str
    size_bytes: Size | None = None
    vulnerabilities: Count | None = None
    note: str | None = None


class Variant(Record):
    """One way to containerize the service: the keys that every builder's variants have. Paths are relative to the suite file.

    A builder's own keys are the fields of a subclass, its ``Builder.record``; such a key never has the name of one of these.
    ``ladder`` is the suite's name, or its service's, where the file names none. ``checks`` and ``run`` are already merged with the
    ``defaults``. ``service`` is its service in a suite of several, whose name comes first in the variant's (``cart.today``);
    ``tags`` are words to select it by.
    """

    name: Name
    builder: str
    service: str = ""
    tags: tuple[Name, ...] = ()
    ladder: str = ""
    description: str = ""
    source: RelativePath = "."
    port: Annotated[int, Field(ge=1, le=65535), STRICT] = 8080
    health: Health = Health()
    run: RunSettings = RunSettings()
    checks: Checks = Checks()
    expect: dict[str, Literal["pass", "fail"]] = {}
    reference: Reference | None = None
    runnable: Flag = True

    @classmethod
    def own_keys(cls) -> tuple[str, ...]:
        """The keys that the builder added, in the order of its record."""
        return tuple(name for name in cls.model_fields if name not in Variant.model_fields)

    @property
    def place(self) -> Key:
        """The path of its section in the file."""
        if self.service:
            return ("services", self.service, "variants", self.name.removeprefix(f"{self.service}."))
        return ("variants", self.name)

    @property
    def places(self) -> tuple[Key, ...]:
        """Where its keys may stand: in its own section, in its service's defaults, in the suite's."""
        return (self.place, *([("services", self.service, "defaults")] if self.service else []), ("defaults",))

    def images(self) -> Iterator[tuple[Key, str]]:
        """The public image references that the suite file names, each with its key: they are judged when the file is read."""
        return iter(())

    def references(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002 - some builders' records read files
        """All public images that the variant stands on, as far as its files can be read."""
        return tuple(reference for _, reference in self.images())

    def apk_files(self) -> tuple[str, ...]:
        """Files, relative to the suite file, that put in APK packages: they tell of which distribution."""
        return ()


class ScanSettings(Record):
    """``scan:`` where ``invoke scan --database download`` gets the database (a mirror's repository), and a scan's time limit."""

    database_repository: str | None = None
    timeout_seconds: Seconds = 600.0


class ReportThresholds(Record):
    """What ``invoke report --against`` takes for noise and for a regression.

    Below ``noise_*`` a difference is no change, above ``ratchet_*`` growth is a regression; sizes must pass both the bytes and the
    percent, start-up both the seconds and the percent. ``grave`` severities of new findings are regressions.
    """

    noise_bytes: Size = 64_000
    noise_percent: Annotated[float, Field(ge=0), STRICT] = 0.5
    ratchet_bytes: Size = 1_000_000
    ratchet_percent: Annotated[float, Field(ge=0), STRICT] = 2.0
    noise_seconds: Annotated[float, Field(ge=0), STRICT] = 0.5
    noise_startup_percent: Annotated[float, Field(ge=0), STRICT] = 50.0
    ratchet_startup_percent: Annotated[float, Field(ge=0), STRICT] | None = None
    ratchet_layers: Count = 0
    grave: tuple[Severity, ...] = ("critical", "high")


class ReportSettings(Record):
    """``report:``"""

    thresholds: ReportThresholds = ReportThresholds()


class Suite(Record):
    """The whole suite. ``root`` is the folder of the suite file.

    ``sources`` configures a mirror (its shape is in ``deadweight.sources``). ``places`` maps each key's path in the file to
    its line, for errors found later than loading.
    """

    file: Path
    root: Path
    name: Name
    variants: tuple[Variant, ...]
    sources: dict[str, Any] = {}
    scan: ScanSettings = ScanSettings()
    report: ReportSettings = ReportSettings()
    places: dict[tuple[str | int, ...], int] = Field(default_factory=dict, repr=False, exclude=True)

    def names(self) -> tuple[str, ...]:
        return tuple(variant.name for variant in self.variants)

    def error(self, variant: Variant, key: str | Key, message: str, *, hint: str | None = None) -> ConfigError:
        """A ConfigError at the line where the suite file says this of this variant (or in its defaults).

        ``key`` is one key of the variant, or the path to one below (``("checks", "api", 0, "name")``).
        """
        inner: Key = (key,) if isinstance(key, str) else key
        own = variant.place
        ways = [(*prefix, *inner[:length]) for length in range(len(inner), 0, -1) for prefix in variant.places]
        line = next((self.places[path] for path in (*ways, own) if path in self.places), None)
        return ConfigError(message, file=self.file, line=line, key=dotted((*own, *inner)), hint=hint)
