"""What JSON Schemas say of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def validator(schema: Any, *, draft: str = "Draft202012Validator", formats: bool = False) -> Validator:
    """``formats`` has dates and addresses looked at too. Raises SchemaError where it is no schema of this draft."""
    import jsonschema  # compiles grammars of its own for seconds, and every worker reads every file of tests

    kind = getattr(jsonschema, draft)
    kind.check_schema(schema)
    made: Validator = kind(schema, format_checker=kind.FORMAT_CHECKER if formats else None)
    return made


def refusal(schema: Any, document: Any, *, draft: str = "Draft202012Validator", formats: bool = False) -> str:
    """Why the schema refuses the document; empty where it does not."""
    errors = validator(schema, draft=draft, formats=formats).iter_errors(document)
    return next((error.message for error in errors), "")


KUBERNETES = "1.34"


def cluster_refusal(document: Any) -> str:
    """Why a Kubernetes API server would refuse a manifest, by its published schemas; empty where it would not."""
    import kubernetes_validate  # imports jsonschema

    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return ""
