"""The JSON Schema (2020-12) of ``report.json``. ``python -m deadweight.report.schema`` prints it anew from the records."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from deadweight.report.model import SCHEMA, Report

FILE = "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema that is part of the package."""
    parsed: dict[str, Any] = json.loads(resources.files(__name__).joinpath(FILE).read_text(encoding="utf-8"))
    return parsed


def generated() -> dict[str, Any]:
    """The schema as the records give it. More keys than these are allowed everywhere: later versions may add some."""
    from pydantic import TypeAdapter

    described = TypeAdapter(Report).json_schema(mode="serialization")
    described["$defs"]["VulnerabilitiesRecord"] |= {
        "if": {"properties": {"status": {"not": {"const": "scanned"}}}},
        "then": {
            "properties": {"total": {"type": "null"}, "by_severity": {"maxProperties": 0}, "fixable": {"type": "null"}}
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:deadweight:report:{SCHEMA}",
        **described,
        "title": "Deadweight report",
    }
