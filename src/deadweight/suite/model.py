"""The records of a suite file (``deadweight.yaml``). Pydantic, frozen; unknown keys are refused.

The section of a check under ``checks:`` is a model of its own below; a third party's check or builder takes ``options`` as
they stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from deadweight._errors import ConfigError

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
RelativePath = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Record(BaseModel):
    """Base of all suite records."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Health(Record):
    """How to tell that the service is up: GET ``path`` on the variant's port answers 2xx."""

    path: str = "/healthz"
    within_seconds: Seconds = 20.0


class RunSettings(Record):
    """How the service is run in its hardened container. Bytes accept ``64MB``/``64MiB`` forms."""

    memory: str = "256MiB"
    cpus: Annotated[float, Field(gt=0, le=64)] = 1.0
    pids: Annotated[int, Field(ge=4, le=4096)] = 64
    user: str | None = None
    read_only: bool = True
    tmpfs: tuple[str, ...] = ("/tmp",)  # noqa: S108 - a path in the container
    env: dict[str, str] = {}
    args: tuple[str, ...] = ()


class RunsCheck(Record):
    """``runs``: starts, gets healthy, stops on SIGTERM."""

    stops_within_seconds: Seconds = 10.0


class HttpRequest(Record):
    """One HTTP request. At most one of json, form, body, body_file.

    Large inputs stay small here: ``repeat_body`` repeats a body or body_file, ``repeat`` the text at a key of json or form.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: str = "/"
    headers: dict[str, str] = {}
    json_body: Any = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    body: str | None = None
    body_file: RelativePath | None = None
    repeat_body: Annotated[int, Field(ge=1, le=100_000)] = 1
    repeat: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = {}


class HttpExpect(Record):
    """What must come back. ``json`` is a subset: every key named must be there and equal."""

    status: Annotated[int, Field(ge=100, le=599)] = 200
    headers: dict[str, str] = {}
    json_subset: Any = Field(default=None, alias="json")
    body_contains: str | None = None
    body_matches: str | None = None


class ApiCheck(Record):
    """One item of the ``api`` check."""

    name: str
    request: HttpRequest
    expect: HttpExpect = HttpExpect()


class Limit(Record):
    """A soft limit warns, a hard limit fails. Bytes accept ``15MB`` (10^6) and ``15MiB`` (2^20)."""

    soft: float | str | None = None
    hard: float | str | None = None


class BudgetCheck(Record):
    """``budget``: how heavy the image may be."""

    size_bytes: Limit | None = None
    compressed_bytes: Limit | None = None
    layers: Limit | None = None
    startup_seconds: Limit | None = None
    smaller_than: str | None = None


class AllowedSecret(Record):
    """An allow-list entry for one secret finding; expires."""

    fingerprint: str
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: str


class LayersCheck(Record):
    """``layers``: what may be hidden in, or stand about in, the image."""

    secrets: Literal["none", "allow"] = "none"
    max_hidden_bytes: float | str | None = None
    setuid: bool = True
    shell: bool = True
    package_manager: bool = True
    users: tuple[str, ...] = ()
    allow: tuple[AllowedSecret, ...] = ()


class AttackGate(Record):
    """``attacks``: payload ids (or ``all``) that must be blocked in a posture."""

    posture: str = "hardened"
    blocked: tuple[str, ...] = ()


class AttacksCheck(Record):
    """``attacks``: real attacks, and the walls that must stop them."""

    payload_files: tuple[RelativePath, ...] = ()
    gates: tuple[AttackGate, ...] = ()


Severity = Literal["critical", "high", "medium", "low", "unknown"]


class VulnerabilityException(Record):
    """An accepted finding: id, optionally a package, with a reason and an expiry date (YYYY-MM-DD)."""

    id: str
    package: str | None = None
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: str


class VulnerabilitiesCheck(Record):
    """``vulnerabilities``: what a scanner finds, and how much of it is accepted.

    ``fixable_only`` counts only findings that a newer package fixes, ``new_only`` only those that the report ``baseline``
    (a ``report.json``) does not have. Kernel headers and excepted findings never count.
    """

    max: dict[Severity, Annotated[int, Field(ge=0)]] = {}
    fixable_only: bool = False
    new_only: bool = False
    baseline: RelativePath | None = None
    max_database_age_days: Annotated[int, Field(ge=1)] = 7
    vex: tuple[RelativePath, ...] = ()
    ignore: tuple[VulnerabilityException, ...] = ()


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
    size_bytes: float | str | None = None
    vulnerabilities: int | None = None
    note: str | None = None


class Variant(Record):
    """One way to containerize the service. Paths are relative to the suite file.

    ``bases`` maps a Dockerfile ``ARG`` to a public image reference; ``base`` is the one base of ko and jib.
    ``files`` (jib) maps a path in the image to a local file or folder, or to a file of another image: ``IMAGE#PATH``.
    ``tests`` (jib) runs the service's own tests before the image is made. ``env`` is the image's own environment (jib).
    ``checks`` and ``run`` are already merged with the suite's ``defaults``.
    """

    name: Name
    builder: str
    ladder: str = "go"
    description: str = ""
    source: RelativePath = "."
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    health: Health = Health()
    run: RunSettings = RunSettings()
    checks: Checks = Checks()
    expect: dict[str, Literal["pass", "fail"]] = {}
    reference: Reference | None = None
    runnable: bool = True
    # dockerfile
    dockerfile: RelativePath | None = None
    target: str | None = None
    bases: dict[str, str] = {}
    args: dict[str, str] = {}
    secrets: dict[str, RelativePath] = {}
    ssh: dict[str, RelativePath] = {}
    # ko, jib
    base: str | None = None
    config: RelativePath | None = None
    main: str | None = None
    # apko (config is its apko.yaml)
    packages: tuple[RelativePath, ...] = ()
    runner: Literal["bubblewrap", "docker"] = "bubblewrap"
    # jib
    pom: RelativePath | None = None
    files: dict[str, RelativePath] = {}
    env: dict[str, str] = {}
    tests: bool = False
    # third-party builders
    options: dict[str, Any] = {}


class ScanSettings(Record):
    """``scan:`` where ``invoke scan --database download`` gets the database (a mirror's repository), and a scan's time limit."""

    database_repository: str | None = None
    timeout_seconds: Seconds = 600.0


class ReportThresholds(Record):
    """What ``invoke report --against`` takes for noise and for a regression.

    Below ``noise_*`` a difference is no change, above ``ratchet_*`` growth is a regression; sizes must pass both the bytes and the
    percent, start-up both the seconds and the percent. ``grave`` severities of new findings are regressions.
    """

    noise_bytes: float | str = 64_000.0
    noise_percent: Annotated[float, Field(ge=0)] = 0.5
    ratchet_bytes: float | str = 1_000_000.0
    ratchet_percent: Annotated[float, Field(ge=0)] = 2.0
    noise_seconds: Annotated[float, Field(ge=0)] = 0.5
    noise_startup_percent: Annotated[float, Field(ge=0)] = 50.0
    ratchet_startup_percent: Annotated[float, Field(ge=0)] | None = None
    ratchet_layers: Annotated[int, Field(ge=0)] = 0
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

    def error(self, variant: Variant, key: str, message: str, *, hint: str | None = None) -> ConfigError:
        """A ConfigError at the line where the suite file says this of this variant (or in its defaults)."""
        for path in (("variants", variant.name, key), ("defaults", key), ("variants", variant.name)):
            if path in self.places:
                return ConfigError(
                    message, file=self.file, line=self.places[path], key=f"variants.{variant.name}.{key}", hint=hint
                )
        return ConfigError(message, file=self.file, key=f"variants.{variant.name}.{key}", hint=hint)
