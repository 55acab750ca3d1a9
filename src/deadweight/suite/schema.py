"""The JSON Schema of a suite file, for editors: made from the records, kept as a file of the package.

``python -m deadweight.suite.schema`` prints it; a test holds the packaged file against it.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from deadweight.suite.model import ReportSettings, ScanSettings, Variant


def packaged_schema() -> dict[str, Any]:
    """The schema as it ships (JSON Schema 2020-12)."""
    found: dict[str, Any] = json.loads((files("deadweight.suite") / "suite.schema.json").read_text(encoding="utf-8"))
    return found


def make_schema() -> dict[str, Any]:
    """The schema as the records are now."""
    variant = Variant.model_json_schema(by_alias=True)
    definitions = variant.pop("$defs", {})
    for name, model in (("ScanSettings", ScanSettings), ("ReportSettings", ReportSettings)):
        made = model.model_json_schema(by_alias=True)
        definitions |= {**made.pop("$defs", {}), name: made}
    variant["properties"].pop("name")
    variant["required"] = [key for key in variant["required"] if key != "name"]
    defaults = {
        **variant,
        "title": "Defaults",
        "description": "Values that every variant has unless it says otherwise.",
    }
    defaults.pop("required")
    variant.pop("required")  # a variant may have it from the defaults
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A suite of Deadweight (deadweight.yaml)",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "variants"],
        "properties": {
            "name": {"type": "string", "description": "The service's name."},
            "defaults": {"$ref": "#/$defs/Defaults"},
            "sources": {"type": "object", "description": "A mirror, where you have one: docs/how-to/sources.md."},
            "scan": {"$ref": "#/$defs/ScanSettings"},
            "report": {"$ref": "#/$defs/ReportSettings"},
            "variants": {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/Variant"}},
        },
        "$defs": {**definitions, "Defaults": defaults, "Variant": variant},
    }


if __name__ == "__main__":
    print(json.dumps(make_schema(), indent=2, sort_keys=True))  # noqa: T201
