"""How attacks through an AWK of the image's own reach the service: the suite's key ``checks.attacks.awk``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from deadweight.suite.checks import AttacksCheck
from deadweight.suite.values import HeaderName, HeaderValue, Record, UrlPath
from deadweight_attacks.walls import wording


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
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)

    @field_validator("args", "input")
    @classmethod
    def _refuse_raw(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.data.get("encoding") == "raw":
            raise ValueError(wording("payload.raw_script_alone"))
        return name


def awk_of(asked: AttacksCheck) -> AwkRequest | None:
    """How an AWK script reaches the service, as far as the suite says."""
    return AwkRequest.model_validate(asked.awk) if asked.awk is not None else None
