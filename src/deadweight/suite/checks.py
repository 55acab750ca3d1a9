"""Define the records of a suite file's ``checks:`` section: each check's settings and gates."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from deadweight._errors import wording
from deadweight.suite import values

# The ``api`` check: requests and expected responses.
MAX_SENT_BYTES = 256 * 2**20


class HttpRequest(values.Record):
    """One HTTP request, sent to the variant's port unless ``port`` names another. At most one of json, form, body and body_file.

    For large inputs, ``repeat_body`` repeats a body or body_file, and ``repeat`` repeats the text at a key of json or form.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: values.UrlPath = "/"
    port: values.Port | None = None
    headers: dict[values.HeaderName, values.HeaderValue] = {}
    json_body: Any = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    body: str | None = None
    body_file: values.RelativePath | None = None
    repeat_body: Annotated[int, Field(ge=1, le=100_000), values.STRICT] = 1
    repeat: dict[str, Annotated[int, Field(ge=1, le=1_000_000), values.STRICT]] = {}

    @field_validator("form", "body", "body_file")
    @classmethod
    def _only_body(cls, value: Any, info: ValidationInfo) -> Any:
        before = [
            key for key in ("json_body", "form", "body") if key != info.field_name and info.data.get(key) is not None
        ]
        if value is not None and before:
            raise ValueError(wording("suite.one_body", first=before[0].removesuffix("_body"), second=info.field_name))
        return value

    @field_validator("repeat_body")
    @classmethod
    def _of_a_body(cls, times: int, info: ValidationInfo) -> int:
        body = info.data.get("body")
        if times > 1 and body is None and info.data.get("body_file") is None:
            raise ValueError(wording("suite.repeat_needs_body"))
        return _sendable(len((body or "").encode()), times)

    @field_validator("repeat")
    @classmethod
    def _of_a_text(cls, repeat: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        content = info.data.get("json_body") if info.data.get("form") is None else info.data["form"]
        for key, times in repeat.items():
            text = content.get(key) if isinstance(content, dict) else None
            if not isinstance(text, str):
                raise ValueError(wording("suite.repeat_needs_text", key=key))
            _sendable(len(text.encode()), times)
        return repeat


def _something(value: Any) -> Any:
    if value is None:
        raise ValueError(wording("suite.json_null"))
    return value


class HttpExpect(values.Record):
    """The expected response. ``json`` is a subset: every key in it must be present and equal; others are ignored."""

    status: Annotated[int, Field(ge=100, le=599), values.STRICT] = 200
    headers: dict[values.HeaderName, str] = {}
    json_subset: Annotated[Any, AfterValidator(_something)] = Field(default=None, alias="json")
    body_contains: str | None = None
    body_matches: values.Pattern | None = None


class ApiCheck(values.Record):
    """One item of the ``api`` check."""

    name: Annotated[str, StringConstraints(min_length=1)]
    request: HttpRequest
    expect: HttpExpect = HttpExpect.model_construct()


def _sendable(size: int, times: int) -> int:
    if size * times > MAX_SENT_BYTES:
        raise ValueError(wording("suite.body_too_large", mebibytes=MAX_SENT_BYTES // 2**20))
    return times


# The other checks.
class RunsCheck(values.Record):
    """``runs``: the service starts, becomes healthy and stops on SIGTERM. ``if_killed`` is the result if it has to be killed.

    ``prints`` is a regular expression that the output of a job must match; ``^`` and ``$`` match at the start and end of a line.
    """

    stops_within_seconds: values.Seconds = 10.0
    if_killed: Literal["fail", "warn"] = "fail"
    prints: values.Pattern | None = None


class Limit(values.Record):
    """A soft limit warns, a hard limit fails."""

    soft: float | None = None
    hard: float | None = None

    @field_validator("hard")
    @classmethod
    def _not_below_soft(cls, hard: float | None, info: ValidationInfo) -> float | None:
        soft = info.data.get("soft")
        if hard is not None and soft is not None and hard < soft:
            raise ValueError(wording("suite.hard_below_soft", soft=soft))
        return hard


class SizeLimit(Limit):
    """A soft and a hard limit in bytes; ``15MB`` (10^6) and ``15MiB`` (2^20) are accepted too."""

    soft: values.Size | None = None
    hard: values.Size | None = None


class CountLimit(Limit):
    """A soft and a hard limit, as whole numbers."""

    soft: values.Count | None = None
    hard: values.Count | None = None


class SecondsLimit(Limit):
    """A soft and a hard limit in seconds."""

    soft: Annotated[float, Field(ge=0, le=3600), values.STRICT] | None = None
    hard: Annotated[float, Field(ge=0, le=3600), values.STRICT] | None = None


class BudgetCheck(values.Record):
    """``budget``: limits on the image's size, its number of layers and its start-up time."""

    size_bytes: SizeLimit | None = None
    compressed_bytes: SizeLimit | None = None
    layers: CountLimit | None = None
    startup_seconds: SecondsLimit | None = None
    smaller_than: str | None = None


class AllowedSecret(values.Record):
    """An allow-list entry for one secret finding, with an expiry date."""

    fingerprint: str
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: values.Day


Verdict = Literal["none", "allow"]


class SecretsGate(values.Record):
    """``secrets``: one rule for your own layers (``mine``), one for the base image's layers and packages' files (``base``)."""

    mine: Verdict = "none"
    base: Verdict = "none"


class UnreadGate(SecretsGate):
    """``unread``: whether content that cannot be scanned for secrets (encrypted, too large, damaged) is accepted, and why."""

    reason: str = ""

    @model_validator(mode="after")
    def _with_a_reason(self) -> Self:
        if "allow" in (self.mine, self.base) and len(self.reason) < 3:
            raise ValueError(wording("suite.allow_reason"))
        return self


def _of_both(value: object) -> object:
    """One word is said of what is mine and of what is the base's."""
    return {"mine": value, "base": value} if isinstance(value, str) else value


class LayersCheck(values.Record):
    """``layers``: what the image may contain, visible or hidden in lower layers."""

    secrets: Annotated[SecretsGate, BeforeValidator(_of_both, json_schema_input_type=Verdict | SecretsGate)] = (
        SecretsGate.model_construct()
    )
    unread: Annotated[UnreadGate, BeforeValidator(_of_both, json_schema_input_type=Literal["none"] | UnreadGate)] = (
        UnreadGate.model_construct()
    )
    max_hidden_bytes: values.Size | None = None
    setuid: values.Flag = True
    shell: values.Flag = True
    package_manager: values.Flag = True
    users: tuple[str, ...] = ()
    allow: tuple[AllowedSecret, ...] = ()


class AttackGate(values.Record):
    """``attacks``: payload ids (or ``all``) that must be blocked in a posture."""

    posture: str = "hardened"
    blocked: Annotated[tuple[str, ...], Field(min_length=1)]


Pack = Literal["breach", "awk", "http"]


def _document_path(text: str, info: ValidationInfo) -> str:
    return values.plain_url_path(text) if text.startswith("/") else values.in_project(values.check_path(text), info)


Document = Annotated[str, AfterValidator(_document_path)]
"""A file of the suite's folder, or a path on the service."""


class AttacksCheck(values.Record):
    """``attacks``: real attacks, and the walls that must stop them.

    ``packs`` are the built-in attacks to try. The default is ``breach`` (for every service), ``awk`` if the key ``awk`` says how a
    script reaches the service, and ``http`` if ``openapi`` is set. ``http`` looks for vulnerabilities in the requests under ``api``
    and those in ``openapi``: a document that the service serves (a path on the service) or a file in the suite's folder.
    """

    packs: Annotated[tuple[Pack, ...], Field(min_length=1)] | None = None
    awk: dict[str, Any] | None = None
    openapi: Document | None = None
    payload_files: tuple[values.RelativePath, ...] = ()
    gates: tuple[AttackGate, ...] = ()

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.awk is None and "awk" in (self.packs or ()):
            raise ValueError(wording("suite.pack_awk_key"))
        return self

    @property
    def chosen_packs(self) -> tuple[Pack, ...]:
        """The packs that are tried, in their order."""
        if self.packs:
            return self.packs
        awk: tuple[Pack, ...] = () if self.awk is None else ("awk",)
        http: tuple[Pack, ...] = () if self.openapi is None else ("http",)
        return (*awk, "breach", *http)


Severity = Literal["critical", "high", "medium", "low", "unknown"]


class VulnerabilityException(values.Record):
    """An accepted finding: id, optionally a package, with a reason and an expiry date (YYYY-MM-DD)."""

    id: str
    package: str | None = None
    reason: Annotated[str, StringConstraints(min_length=3)]
    expires: values.Day


class VulnerabilitiesCheck(values.Record):
    """``vulnerabilities``: how many findings of a scan are accepted.

    ``fixable_only`` counts only findings that a newer package fixes; ``new_only`` counts only those that are not in the report
    ``baseline`` (a ``report.json``). Findings in kernel headers and findings with an exception never count.
    """

    max: dict[Severity, values.Count] = {}
    fixable_only: values.Flag = False
    baseline: values.RelativePath | None = None
    new_only: values.Flag = False
    max_database_age_days: Annotated[int, Field(ge=1), values.STRICT] = 7
    vex: tuple[values.RelativePath, ...] = ()
    ignore: tuple[VulnerabilityException, ...] = ()

    @field_validator("new_only")
    @classmethod
    def _against_something(cls, new_only: bool, info: ValidationInfo) -> bool:
        if new_only and info.data.get("baseline") is None:
            raise ValueError(wording("suite.new_only_baseline"))
        return new_only


class TwinCheck(values.Record):
    """``twin``: the variant behaves as another one, ``of``, or as an image (``image:REF``). ``allow`` are kinds of differences that
    are accepted, such as ``header server``."""

    of: Annotated[str, StringConstraints(min_length=1)]
    allow: tuple[str, ...] = ()


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Checks(values.Record):
    """The ``checks:`` section. A check without a section is not run, except ``runs``, which always is.

    ``requests`` are more requests for ``twin`` and ``harden``: HAR files (``traffic.har``) and OpenAPI documents, each a file or,
    with a slash first, a path on the service. ``holdout`` are the operations (``DELETE /files/{id}``) to judge on what was learned
    from the others; by default about a third.
    """

    runs: RunsCheck = RunsCheck.model_construct()
    api: tuple[ApiCheck, ...] = ()
    budget: BudgetCheck | None = None
    layers: LayersCheck | None = None
    attacks: AttacksCheck | None = None
    vulnerabilities: VulnerabilitiesCheck | None = None
    twin: TwinCheck | None = None
    requests: Annotated[tuple[Document, ...], BeforeValidator(_as_list)] = ()
    holdout: tuple[str, ...] | None = None
    other: dict[str, dict[str, Any]] = {}
