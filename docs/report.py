"""Generate ``report.json``'s JSON Schema (2020-12) from the records: ``python docs/report.py``."""

from __future__ import annotations

import json
import sys
from typing import Any

from deadweight.report.model import SCHEMA, Report


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


if __name__ == "__main__":
    json.dump(generated(), sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
