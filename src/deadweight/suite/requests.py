"""Define the ``api`` check's records: requests and expected responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from deadweight._errors import wording
from deadweight.suite.values import STRICT, HeaderName, HeaderValue, Pattern, Port, Record, RelativePath, UrlPath

MAX_SENT_BYTES = 256 * 2**20


class HttpRequest(Record):
    """One HTTP request, to the variant's port unless ``port`` names another. At most one of json, form, body, body_file.

    Large inputs stay small here: ``repeat_body`` repeats a body or body_file, ``repeat`` the text at a key of json or form.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: UrlPath = "/"
    port: Port | None = None
    headers: dict[HeaderName, HeaderValue] = {}
    json_body: Any = Field(default=None, alias="json")
    form: dict[str, str] | None = None
    body: str | None = None
    body_file: RelativePath | None = None
    repeat_body: Annotated[int, Field(ge=1, le=100_000), STRICT] = 1
    repeat: dict[str, Annotated[int, Field(ge=1, le=1_000_000), STRICT]] = {}

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


class HttpExpect(Record):
    """What must come back. ``json`` is a subset: every key named must be there and equal."""

    status: Annotated[int, Field(ge=100, le=599), STRICT] = 200
    headers: dict[HeaderName, str] = {}
    json_subset: Annotated[Any, AfterValidator(_something)] = Field(default=None, alias="json")
    body_contains: str | None = None
    body_matches: Pattern | None = None


class ApiCheck(Record):
    """One item of the ``api`` check."""

    name: Annotated[str, StringConstraints(min_length=1)]
    request: HttpRequest
    expect: HttpExpect = HttpExpect()


def _sendable(size: int, times: int) -> int:
    if size * times > MAX_SENT_BYTES:
        raise ValueError(wording("suite.body_too_large", mebibytes=MAX_SENT_BYTES // 2**20))
    return times
