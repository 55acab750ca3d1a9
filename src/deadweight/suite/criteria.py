"""What the suite asks of one check, as one short text: a result that was judged by another is no result any more."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from deadweight.suite.model import Variant

SERVICE_CHECKS = ("runs", "api")
"""These run the service, so how it is run is part of what was asked; the others look at the image, or set their own posture."""


def asked_of(variant: Variant, check: str) -> str:
    """16 hex digits over the check's section of the suite, of this variant."""
    section: Any = variant.checks.other.get(check, getattr(variant.checks, check, None))
    said: list[Any] = [section]
    if check in SERVICE_CHECKS:
        said += [variant.port, variant.health, variant.run]
    text = json.dumps(said, default=_plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
