"""Define the records of a suite file (``deadweight.yaml``). Pydantic, frozen; unknown keys are refused.

Records under ``checks:`` are in ``suite.checks``. Keys of a single builder are in that builder's own record, under
``builders``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from deadweight._errors import ConfigError, wording
from deadweight.suite import values
from deadweight.suite.checks import Checks, Severity
from deadweight.suite.yaml_nodes import Key, dotted


class Health(values.Record):
    """How to tell that the service is up.

    ``http``: GET ``path`` on the variant's port returns one of ``status`` (``204``, ``2xx``). ``tcp``: the port accepts
    connections. ``exec``: ``command`` exits with status 0 in the container. ``grpc``: ``grpc.health.v1`` reports SERVING for
    ``service`` (empty: the whole server). ``exit``: a job, not a server; it exits with status 0. ``tls``: use HTTPS, here and in
    the ``api`` checks; any certificate is accepted.
    """

    kind: Literal["http", "tcp", "exec", "grpc", "exit"] = "http"
    path: values.PlainUrlPath = "/"
    status: Annotated[tuple[values.HttpStatus, ...], Field(min_length=1)] = ("2xx",)
    tls: values.Flag = False
    command: Annotated[tuple[values.Text, ...], Field(validate_default=True)] = ()
    service: values.Text = ""
    within_seconds: values.Seconds = 20.0

    @field_validator("tls")
    @classmethod
    def _of_http(cls, tls: bool, info: ValidationInfo) -> bool:
        if tls and info.data.get("kind", "http") != "http":
            raise ValueError(wording("suite.tls_of_http"))
        return tls

    @field_validator("command")
    @classmethod
    def _what_to_run(cls, command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("kind") == "exec" and not command:
            raise ValueError(wording("suite.exec_command"))
        return command


def status_matches(wanted: tuple[int | str, ...], status: int) -> bool:
    """Whether an HTTP status is one of these numbers or classes (``2xx``)."""
    return any(name == status or name == f"{status // 100}xx" for name in wanted)


class Need(values.Record):
    """Another container that the service needs: a database, a queue, another service. Its key is the host name to reach it by.

    ``image`` is a public reference, resolved by the source like a base image; ``variant`` is another variant of the suite.
    ``health`` says how to tell that it is up, on its ``port``. With ``health: {kind: exit}``, it is a job that ends before the
    service starts. ``files`` maps paths in the container to files or folders of the project, mounted read-only.
    """

    image: values.Text | None = None
    variant: values.Name | None = None
    port: values.Port | None = None
    health: Health = Health.model_construct(kind="tcp", within_seconds=60.0)
    env: dict[values.EnvName, values.Text] = {}
    args: tuple[values.Text, ...] = ()
    files: dict[values.Text, values.RelativePath] = {}
    tmpfs: tuple[values.Tmpfs, ...] = ()
    memory: values.Memory = 512 * 2**20

    @model_validator(mode="after")
    def _that_can_be_started(self) -> Self:
        if (self.image is None) == (self.variant is None):
            raise ValueError(wording("suite.need_image_or_variant"))
        if self.port is None and self.health.kind not in ("exec", "exit"):
            raise ValueError(wording("suite.need_port"))
        return self


class RunSettings(values.Record):
    """How the service is run in its hardened container. Sizes are in bytes; ``64MB`` and ``64MiB`` are accepted too.

    ``args`` replaces the image's command; ``entrypoint`` replaces its entrypoint and command.
    ``ports`` are additional ports on which the service listens. ``files`` maps paths in the container to files or folders of the
    project, mounted read-only. ``capabilities`` are the Linux capabilities that root keeps. ``seccomp`` is a profile in Docker's
    format, used instead of the engine's. ``needs`` are containers that are started before the service, in this order, and removed
    afterwards.
    """

    memory: values.Memory = 256 * 2**20
    cpus: Annotated[float, Field(ge=0.01, le=64), values.STRICT] = 1.0
    pids: Annotated[int, Field(ge=4, le=4096), values.STRICT] = 64
    user: values.User | None = None
    capabilities: tuple[values.Capability, ...] = ()
    read_only: values.Flag = True
    tmpfs: tuple[values.Tmpfs, ...] = ("/tmp",)  # noqa: S108 - a path in the container
    env: dict[values.EnvName, values.Text] = {}
    args: tuple[values.Text, ...] = ()
    entrypoint: Annotated[tuple[values.Text, ...], Field(min_length=1)] | None = None
    ports: tuple[values.Port, ...] = ()
    files: dict[values.AbsolutePath, values.RelativePath] = {}
    seccomp: values.RelativePath | None = None
    needs: dict[values.Name, Need] = {}


class Reference(values.Record):
    """Another project's figures for the same approach, shown next to the measured figures but never as measured."""

    source: str
    size_bytes: values.Size | None = None
    vulnerabilities: values.Count | None = None
    note: str | None = None


class Variant(values.Record):
    """One way to containerize the service: the keys that every builder's variants have. Paths are relative to the suite file.

    A builder's own keys are the fields of a subclass, its ``Builder.record``; such a key never has the name of one of these.
    ``ladder`` is the suite's name, or its service's, where the file names none. ``checks`` and ``run`` are already merged with the
    ``defaults``. ``service`` is its service in a suite of several, whose name comes first in the variant's (``cart.today``);
    ``tags`` are words to select it by. ``port`` is where it listens: nothing but a job or a health by ``exec`` is run without.
    ``tried`` is false of what ``init`` wrote and had no time to try. ``unproven`` is why what was seen of it proves little:
    ``verify`` says so, with exit code 3, until the key is gone.
    """

    name: values.Name
    builder: str
    service: str = ""
    tags: tuple[values.Name, ...] = ()
    ladder: str = ""
    description: str = ""
    source: values.AnyPath = "."
    port: values.Port | None = None
    health: Health = Health.model_construct()
    run: RunSettings = RunSettings.model_construct()
    checks: Checks = Checks.model_construct()
    expect: dict[str, Literal["pass", "fail"]] = {}
    reference: Reference | None = None
    runnable: values.Flag = True
    tried: values.Flag = True
    unproven: tuple[values.Unproven, ...] = ()

    @classmethod
    def own_keys(cls) -> tuple[str, ...]:
        """The keys that the builder added, in the order of its record."""
        return tuple(name for name in cls.model_fields if name not in Variant.model_fields)

    @property
    def place(self) -> Key:
        """The path of its section in the file."""
        return self.places[0]

    @property
    def places(self) -> tuple[Key, ...]:
        """Where its keys may stand in the file."""
        return places_of(self.service, self.name.removeprefix(f"{self.service}."))

    def images(self) -> Iterator[tuple[Key, str]]:
        """The public image references that the suite file names, each with its key. They are validated when the file is read."""
        return iter(())

    def references(self, root: Path) -> tuple[str, ...]:  # noqa: ARG002 - some builders' records read files
        """All public images that the variant is based on, insofar as its files are readable."""
        return tuple(reference for _, reference in self.images())

    def reads(self) -> tuple[str, ...] | None:
        """All files and folders that can be inputs, relative to the suite file; None if only the builder can tell."""
        return None

    def apk_files(self) -> tuple[str, ...]:
        """Files, relative to the suite file, that install APK packages; they determine the distribution."""
        return ()


def places_of(service: str, name: str) -> tuple[Key, ...]:
    """Where a variant's keys may stand: in its own section, in its service's defaults, in the suite's. The name is without the
    service's."""
    if not service:
        return (("variants", name), ("defaults",))
    return (("services", service, "variants", name), ("services", service, "defaults"), ("defaults",))


class ScanSettings(values.Record):
    """The ``scan:`` section: a mirror's repository for ``invoke scan --database download``, and the time limit of a scan."""

    database_repository: str | None = None
    timeout_seconds: values.Seconds = 600.0


class ReportThresholds(values.Record):
    """What ``invoke report --against`` treats as noise and as a regression.

    Differences below ``noise_*`` are ignored; growth above ``ratchet_*`` is a regression. A size must exceed both thresholds, bytes
    and percent; a start-up time both seconds and percent. New findings with a severity in ``grave`` are regressions.
    """

    noise_bytes: values.Size = 64_000
    noise_percent: Annotated[float, Field(ge=0), values.STRICT] = 0.5
    ratchet_bytes: values.Size = 1_000_000
    ratchet_percent: Annotated[float, Field(ge=0), values.STRICT] = 2.0
    noise_seconds: Annotated[float, Field(ge=0), values.STRICT] = 0.5
    noise_startup_percent: Annotated[float, Field(ge=0), values.STRICT] = 50.0
    ratchet_startup_percent: Annotated[float, Field(ge=0), values.STRICT] | None = None
    ratchet_layers: values.Count = 0
    grave: tuple[Severity, ...] = ("critical", "high")


class ReportSettings(values.Record):
    """The ``report:`` section."""

    thresholds: ReportThresholds = ReportThresholds.model_construct()


# ``pool:``: BuildKit endpoints for Dockerfile builds, their shared caches, engines for checks.
_TCP_OR_UNIX = r"tcp://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}|unix:///[^\x00-\x1f]+"
_SECRETS = ("access_key_id", "secret_access_key", "session_token", "token")
_CACHE = re.compile(r"type=(?:registry|local|s3|gha|azblob)(?:,[\w.-]+=[^,\s]+)*")


def _cache(text: str) -> str:
    if not _CACHE.fullmatch(text):
        raise ValueError(wording("suite.buildkit_cache"))
    for secret in _SECRETS:
        if f",{secret}=" in text:
            raise PydanticCustomError("secret", "{name}", {"name": secret})
    return text


Address = Annotated[
    str,
    values.matching(
        rf"{_TCP_OR_UNIX}|docker-container://[\w.-]+|kube-pod://[\w.-]+(?:\?[\w.=&-]+)?",
        lambda: wording("suite.buildkit_address"),
    ),
]
Host = Annotated[
    str, values.matching(rf"{_TCP_OR_UNIX}|ssh://[^\s/]+(?:/[^\s]*)?", lambda: wording("suite.engine_host"))
]
Platform = Annotated[str, values.matching(r"[a-z0-9]+/[a-z0-9_]+(?:/v\d+)?", lambda: wording("suite.platform"))]
Cache = Annotated[str, AfterValidator(_cache)]


class Endpoint(values.Record):
    """Where images are built: on a BuildKit daemon (``address``), or on all nodes of a buildx builder (``builder``, its name).

    ``ca``, ``cert`` and ``key`` are PEM files for mutual TLS, relative to the file that names them; ``server_name`` is the name in
    the daemon's certificate, if it differs from the host in ``address``. ``platforms`` are those to build there (default: all that
    the endpoint reports); ``places`` is how many builds it runs at once.
    """

    address: Address | None = None
    builder: values.Text | None = None
    ca: values.AnyPath | None = None
    cert: values.AnyPath | None = None
    key: values.AnyPath | None = None
    server_name: values.Text | None = None
    platforms: tuple[Platform, ...] = ()
    places: Annotated[int, Field(ge=1, le=256), values.STRICT] = 2

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.address is None) == (self.builder is None):
            raise ValueError(wording("suite.address_or_builder"))
        tls = (self.ca, self.cert, self.key)
        if any(tls) and not (self.address or "").startswith("tcp://"):
            raise ValueError(wording("suite.certificates_of_tcp"))
        if any(tls) and not all(tls):
            raise ValueError(wording("suite.certificates_together"))
        return self


class CheckEngine(values.Record):
    """A container engine that runs checks. ``host`` is its address, written as in ``DOCKER_HOST``.

    ``certificates`` is a folder with ca.pem, cert.pem and key.pem for a ``tcp://`` engine with TLS, relative to the file that names
    the folder. ``places`` is how many variants are checked there at once.
    """

    host: Host
    certificates: values.AnyPath | None = None
    places: Annotated[int, Field(ge=1, le=256), values.STRICT] = 2

    @model_validator(mode="after")
    def _tls_over_tcp(self) -> Self:
        if self.certificates is not None and not self.host.startswith("tcp://"):
            raise ValueError(wording("suite.certificates_of_tcp"))
        return self


class PoolCache(values.Record):
    """Caches of layers that endpoints share: ``import`` is always read; ``when`` says when ``export`` is written.

    ``auto`` stops writing after three exports in a row that no build used, until a new endpoint builds the variant.
    ``{service}`` and ``{variant}`` in a cache's text are replaced by the names of the service and the variant.
    """

    read: Annotated[tuple[Cache, ...], Field(alias="import")] = ()
    export: Cache | None = None
    when: Literal["auto", "always", "never"] = "auto"


class Pool(values.Record):
    """The ``pool:`` section. ``endpoints`` build, ``engines`` run checks. If an endpoint does not answer within
    ``lost_after_seconds``, the others take over its builds."""

    endpoints: dict[values.Name, Endpoint] = {}
    engines: dict[values.Name, CheckEngine] = {}
    cache: PoolCache = PoolCache.model_construct()
    lost_after_seconds: values.Seconds = 20.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.endpoints and not self.engines:
            raise ValueError(wording("suite.empty_pool"))
        return self


class Suite(values.Record):
    """The whole suite. ``root`` is the folder of the suite file.

    ``sources`` configures a mirror (its shape is in ``deadweight.sources``). ``places`` maps each key's path in the file to
    its line, for errors found later than loading.
    """

    file: Path
    root: Path
    name: values.Name
    variants: tuple[Variant, ...]
    sources: dict[str, Any] = {}
    scan: ScanSettings = ScanSettings.model_construct()
    report: ReportSettings = ReportSettings.model_construct()
    pool: Pool | None = None
    places: dict[tuple[str | int, ...], int] = Field(default_factory=dict, repr=False, exclude=True)

    def names(self) -> tuple[str, ...]:
        return tuple(variant.name for variant in self.variants)

    def error(self, variant: Variant, key: str | Key, message: str, *, hint: str | None = None) -> ConfigError:
        """A ConfigError at the line of the suite file that sets this key for this variant (or in its defaults).

        ``key`` is one key of the variant, or the path to one below (``("checks", "api", 0, "name")``).
        """
        inner: Key = (key,) if isinstance(key, str) else key
        sections = variant.places
        ways = [(*section, *inner[:length]) for length in range(len(inner), 0, -1) for section in sections]
        line = next((self.places[path] for path in (*ways, sections[0]) if path in self.places), None)
        return ConfigError(message, file=self.file, line=line, key=dotted((*sections[0], *inner)), hint=hint)


# What the suite asks of one check, as one short text: a result that was judged by another is no result any more.

SERVICE_CHECKS = ("runs", "api")
"""These run the service, so how it is run is part of what was asked; the others look at the image, or set their own posture."""


def criteria_of(variant: Variant, check: str) -> str:
    """16 hex digits over the check's section of the suite, of this variant."""
    section: Any = variant.checks.other.get(check, getattr(variant.checks, check, None))
    criteria: list[Any] = [section]
    if check in SERVICE_CHECKS:
        criteria += [variant.port, variant.health, variant.run]
    text = json.dumps(criteria, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
