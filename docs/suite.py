"""Generate the suite file's JSON Schema for editors from the records; a copy ships with the package.

``python docs/suite.py`` prints it; given ``docs/reference/suite.md``, it
writes each builder's keys into that page.
Tests compare both files with the records.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from deadweight.builders import table
from deadweight.suite.model import Pool, ReportSettings, ScanSettings, Variant

Schema = dict[str, Any]


def make_schema() -> Schema:
    """The schema as the records are now. A variant is of one kind for each builder, told by ``builder``."""
    definitions: dict[str, Schema] = {}
    for model in (ScanSettings, ReportSettings, Pool):
        definitions[model.__name__] = _of(model, definitions)
    kinds = {name: _of(table.record(name) or Variant, definitions) for name in table.names()}
    for name, kind in kinds.items():
        kind["properties"]["builder"] = {"const": name}
        definitions[kind["title"]] = _without_name(kind)
    definitions["PluginVariant"] = _of_plug_in(definitions)
    definitions["Defaults"] = _defaults(list(kinds.values()), definitions)
    variants = [*(kind["title"] for kind in kinds.values()), "PluginVariant"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Deadweight suite file (deadweight.yaml)",
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "anyOf": [{"required": ["variants"]}, {"required": ["services"]}],
        "properties": {
            "name": {"type": "string", "description": "The service's name."},
            "defaults": {"$ref": "#/$defs/Defaults"},
            "sources": {
                "type": "object",
                "description": "Mirror, private CA, build environment: docs/how-to/sources.md.",
            },
            "scan": {"$ref": "#/$defs/ScanSettings"},
            "report": {"$ref": "#/$defs/ReportSettings"},
            "pool": {"$ref": "#/$defs/Pool"},
            "variants": {"$ref": "#/$defs/Variants"},
            "services": {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/Service"}},
        },
        "$defs": {
            **definitions,
            "Variant": {"anyOf": [{"$ref": f"#/$defs/{title}"} for title in variants]},
            "Variants": {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/Variant"}},
            "Service": _service(),
        },
    }


def _service() -> Schema:
    """One of several services: its own defaults and variants."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["variants"],
        "properties": {"defaults": {"$ref": "#/$defs/Defaults"}, "variants": {"$ref": "#/$defs/Variants"}},
    }


def _of(model: type[BaseModel], definitions: dict[str, Schema]) -> Schema:
    """A model's own schema; those that it refers to go to ``definitions``."""
    made = model.model_json_schema(by_alias=True)
    definitions |= made.pop("$defs", {})
    return made


def _without_name(kind: Schema) -> Schema:
    """Its name is the key under ``variants``, and what else is required may come from the defaults."""
    for key in ("name", "service"):
        kind["properties"].pop(key)
    kind.pop("required", None)
    return kind


def _of_plug_in(definitions: dict[str, Schema]) -> Schema:
    """Of a builder that is not ours: its own keys are its package's to judge."""
    kind = _without_name(_of(Variant, definitions))
    kind["properties"]["builder"] = {"type": "string", "not": {"enum": list(table.names())}}
    described = "One way to containerize the service, with a builder from a plug-in."
    return {
        **kind,
        "title": "PluginVariant",
        "description": described,
        "required": ["builder"],
        "additionalProperties": True,
    }


def _defaults(kinds: list[Schema], definitions: dict[str, Schema]) -> Schema:
    """The keys of every builder. Where two of them have one key, it is as either says."""
    common = _without_name(_of(Variant, definitions))
    keys: dict[str, list[Schema]] = {}
    for kind in kinds:
        for key, value in kind["properties"].items():
            if key not in common["properties"] and value not in keys.setdefault(key, []):
                keys[key].append(value)
    common["properties"] |= {key: values[0] if len(values) == 1 else {"anyOf": values} for key, values in keys.items()}
    described = "Values for all variants that do not set them. A builder's own keys apply only to its variants."
    return {**common, "title": "Defaults", "description": described, "additionalProperties": True}


def keys_list(record: type[Variant]) -> str:
    """An item for each key that the builder added, with the description of its record."""
    items = (f"- `{key}`: {record.model_fields[key].description or ''}\n" for key in record.own_keys())
    return "".join(item.replace("`: required: ", "` (required): ", 1) for item in items)


def page_with_keys(page: str) -> str:
    """The page with today's lists. Raises LookupError for a builder without a heading on it."""
    for name in table.names():
        record = table.record(name) or Variant
        place = re.compile(rf"(### Builder `{name}`\n\n)(?:- `[^\n]*(?:\n|\Z))*")
        if not place.search(page):
            raise LookupError(f"the page has no heading '### Builder `{name}`' with an empty line below it")
        made = keys_list(record)
        page = place.sub(lambda match, made=made: f"{match[1]}{made}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    if sys.argv[1:]:
        file = Path(sys.argv[1])
        file.write_text(page_with_keys(file.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(json.dumps(make_schema(), indent=2, sort_keys=True))  # noqa: T201
