"""Have the engine get an image from a registry, also from one of this machine that speaks no TLS."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from docker.api.client import APIClient

LOOPBACK = re.compile(r"^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/")
"""A reference to a registry of this machine: Docker speaks to these without TLS unasked, Podman where it is told to."""
PODMANS = "/v4.0.0/libpod/images/pull"


def pull(api: APIClient, reference: str, *, podman: bool) -> None:
    """Raises DeadweightError with what the engine said where it does not get it."""
    with translated(f"pull {reference}"):
        if podman and LOOPBACK.match(reference):
            words = urllib.parse.urlencode({"reference": reference, "tlsVerify": "false"})
            with api.post(f"{api.base_url}{PODMANS}?{words}", stream=True, timeout=None) as answer:
                said: Iterable[Mapping[str, Any]] = [json.loads(line) for line in answer.iter_lines() if line]
            if not answer.ok:
                said = [{"error": each.get("message") or f"HTTP status {answer.status_code}"} for each in said or [{}]]
        else:
            said = api.pull(reference, stream=True, decode=True)
        # An engine that fails after its first words has answered 200.
        failed = [str(each["error"]) for each in said if each.get("error")]
    if failed:
        raise DeadweightError(f"engine: pull {reference}: {failed[-1]}", hint="see the engine's log")
