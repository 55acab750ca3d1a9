"""Translate pydantic's validation errors into our own: file, line, key, what was expected and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from deadweight._errors import ConfigError
from deadweight.suite.model import Variant
from deadweight.suite.yaml_nodes import Document, Key, Problems

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "int_parsing_size": "a whole number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "tuple_type": "a list",
    "list_type": "a list",
}


_BOUNDS = {"greater_than_equal": "ge", "greater_than": "gt", "less_than_equal": "le", "less_than": "lt"}


def validated(document: Document, model: type[M], value: Any, place: Callable[[Key], Key]) -> M:
    """Raw values as a record of ours. ``place`` maps a location in the record to its key in the file. Raises ConfigError."""
    try:
        return model.model_validate(value, context=document.file.absolute().parent)
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems = Problems()
    misspelt = {problem["loc"][:-1] for problem in found if problem["type"] == "extra_forbidden"}
    seen = set[Key]()
    for problem in found:
        if problem["type"] == "missing" and problem["loc"][:-1] in misspelt:
            continue  # the misspelt key is often the one that is missing
        if problem["type"] == "default_factory_not_called":
            continue  # it follows from the others
        key = _in_file(document, place(problem["loc"]), problem["type"] == "missing")
        if key not in seen:  # a value that may be of several kinds is told once, not for each of them
            seen.add(key)
            problems.found.append(_explained(document, model, problem, place))
    problems.tell()
    raise AssertionError("unreachable")


def _in_file(document: Document, key: Key, missing: bool) -> Key:
    """The part of a location that is in the file; with the key itself where that is what is missing."""
    last = key[-1:] if missing else ()
    while key and key not in document.lines:
        key = key[:-1]
    return (*key, *last)


def _explained(
    document: Document, model: type[BaseModel], problem: ErrorDetails, place: Callable[[Key], Key]
) -> ConfigError:
    """One pydantic problem as one sentence of ours, at the line of the key it is about."""
    location: Key = tuple(problem["loc"])
    kind, found = problem["type"], problem.get("input")
    if location[-1:] == ("[key]",) and kind != "extra_forbidden":  # how pydantic marks a wrong key of a mapping
        location = location[:-1]
    key = place(location)
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        return document.error(
            key, f"unknown key{did_you_mean(str(location[-1]), known)}", hint=f"known here: {', '.join(known)}"
        )
    if kind == "missing":
        return document.error(
            place(location[:-1]), f"key {location[-1]!r} is missing", hint=f"add {location[-1]}: here"
        )
    if kind == "secret":  # what was found is not shown
        return document.error(key, problem["msg"])
    if kind == "literal_error":
        expected = str(problem.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "")
        return document.error(key, f"expected one of {expected}, found {_kind(found)}")
    if kind == "string_pattern_mismatch":  # only names have a pattern
        return document.error(
            place(()) if issubclass(model, Variant) and location == ("name",) else key,
            f"invalid name {found!r}",
            hint="use lower-case letters, digits, dots, dashes and underscores, at most 64",
        )
    if kind == "string_too_short":
        least = problem["ctx"]["min_length"]
        wanted = "text that is not empty" if least == 1 else f"text of at least {least} characters"
        return document.error(key, f"expected {wanted}, found {_kind(found)}")
    if kind in _BOUNDS:
        return document.error(key, f"must be {_range(model, location, problem)}, not {found}")
    expected = _EXPECTED.get(kind) or problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return document.error(key, f"expected {expected}, found {_kind(found)}")


def _range(model: type[BaseModel], location: Key, problem: ErrorDetails) -> str:
    """What a number may be: ``1 to 65535`` where both bounds are known, else the one that was passed."""
    bounds = {name: value for name, value in _bounds(model, location).items() if value is not None}
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']:g} to {bounds['le']:g}"
    name = _BOUNDS[problem["type"]]
    words = {"ge": "{:g} or more", "gt": "more than {:g}", "le": "{:g} or less", "lt": "less than {:g}"}
    return words[name].format(problem["ctx"][name])


def _bounds(model: type[BaseModel], location: Key) -> dict[str, Any]:
    """The bounds of the field at this location, in annotated_types' names."""
    for part in location[:-1]:
        field = None if isinstance(part, int) else _field(model, part)
        model = _model_in(field.annotation) or model if field else model
    field = _field(model, str(location[-1])) if location else None
    marks = [*field.metadata, *_marks_within(field.annotation)] if field else []
    return {name: getattr(mark, name) for mark in marks for name in ("ge", "gt", "le", "lt") if hasattr(mark, name)}


def _marks_within(annotation: Any) -> list[Any]:
    """Those of ``Annotated[int, …] | None``, which are the choice's and not the field's."""
    infos = (info for choice in get_args(annotation) for info in getattr(choice, "__metadata__", ()))
    return [mark for info in infos for mark in getattr(info, "metadata", ())]


def _known_keys(model: type[BaseModel], location: Key) -> list[str]:
    """The keys that the model at this location takes, by the names that a file uses."""
    for part in location:
        field = None if isinstance(part, int) else _field(model, part)
        if field is None:
            continue
        inner = _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return sorted(
        field.alias or name
        for name, field in model.model_fields.items()
        if name != "name" or not issubclass(model, Variant)
    )


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None


def mapping(document: Document, key: Key, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(key, f"expected a mapping (key: value), found {_kind(value)}")
    return value


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """The words for the end of an error's first sentence; none where nothing is close."""
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: f"the text {str(value)[:40]!r}",
        bool: str(value).lower(),
        type(None): "nothing",
    }
    return names.get(type(value), repr(value)[:40])
