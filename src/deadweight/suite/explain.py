"""Translate pydantic's validation errors into our own: file, line, key, what was expected and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from deadweight._errors import ConfigError, wording
from deadweight._packages import images
from deadweight.suite.model import Variant
from deadweight.suite.yaml_nodes import Document, Key, Problems

M = TypeVar("M", bound=BaseModel)

_OF_TYPE: dict[str, Callable[[], str]] = {
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda: wording("suite.true_or_false")),
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"), lambda: wording("suite.whole_number")
    ),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), lambda: wording("suite.number")),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), lambda: wording("suite.mapping")),
    **dict.fromkeys(("tuple_type", "list_type"), lambda: wording("suite.list")),
    "string_type": lambda: wording("suite.text"),
}


def validated(document: Document, model: type[M], value: Any, place: Callable[[Key], Key]) -> M:
    """Raw values as a record of ours. ``place`` maps a location in the record to its key in the file. Raises ConfigError."""
    try:
        return model.model_validate(value, context=document.file.absolute().parent)
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = Problems()
    misspelt = {problem["loc"][:-1] for problem in details if problem["type"] == "extra_forbidden"}
    seen = set[Key]()
    for problem in details:
        if problem["type"] == "missing" and problem["loc"][:-1] in misspelt:
            continue  # the misspelt key is often the one that is missing
        if problem["type"] == "default_factory_not_called":
            continue  # it follows from the others
        key = _in_file(document, place(problem["loc"]), problem["type"] == "missing")
        if key not in seen:  # a value that may be of several kinds is told once, not for each of them
            seen.add(key)
            problems.errors.append(_explained(document, model, problem, place))
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
    kind, value = problem["type"], problem.get("input")
    if location[-1:] == ("[key]",) and kind != "extra_forbidden":  # how pydantic marks a wrong key of a mapping
        location = location[:-1]
    key = place(location)
    if kind == "extra_forbidden":
        return unknown_key(document, key, _known_keys(model, location[:-1]))
    if kind == "missing":
        name = location[-1]
        return document.error(place(location[:-1]), wording("suite.key_missing", name=name), hint=f"add {name}: here")
    if kind == "secret":  # what was found is not shown
        return document.error(key, wording("suite.secret_in_cache", name=problem["ctx"]["name"]))
    if kind == "string_pattern_mismatch":  # only names have a pattern
        own = issubclass(model, Variant) and location == ("name",)
        return document.error(place(()) if own else key, wording("suite.invalid_name", name=value))
    return document.error(key, _expected_message(_expected(model, location, problem), value))


def _expected(model: type[BaseModel], location: Key, problem: ErrorDetails) -> str:
    """What a value has to be."""
    match problem["type"], problem.get("ctx", {}):
        case kind, _ if kind in _OF_TYPE:
            return _OF_TYPE[kind]()
        case "value_error", {"error": ValueError(args=(str(expected),))}:
            return expected
        case "literal_error", {"expected": choices}:
            return wording("suite.one_of", choices=choices.replace(" or ", ", ").replace("'", ""))
        case "string_too_short", {"min_length": least}:
            return wording("suite.text_of_length", least=least)
        case "too_short", {"min_length": least}:
            return wording("suite.list_of_length", least=least)
    match {**problem.get("ctx", {}), **_bounds(model, location)}:
        case {"ge": low, "le": high}:
            return wording("suite.number_between", low=low, high=high)
        case {"gt": low, "le": high}:
            return wording("suite.number_above_up_to", low=low, high=high)
        case {"ge": low}:
            return wording("suite.number_from", low=low)
        case {"gt": low}:
            return wording("suite.number_above", low=low)
    return wording("suite.rule", rule=problem["msg"].removeprefix("Input should be ").removeprefix("Value error, "))


def _expected_message(expected: str, value: object) -> images.Message:
    """The message about another value than what was expected, with the code of that."""
    whole = wording("suite.expected", expected=expected, found=_kind(value))
    code, fields = getattr(expected, "code", whole.code), getattr(expected, "fields", {})
    return images.Message(whole, code, {**fields, "found": value})


def _bounds(model: type[BaseModel], location: Key) -> dict[str, Any]:
    """The bounds of the field at this location, in annotated_types' names."""
    _, field = _at(model, location)
    choices = get_args(field.annotation) if field else ()  # of ``Annotated[int, …] | None`` the bounds are the choice's
    infos = (field, *(info for choice in choices for info in getattr(choice, "__metadata__", ())))
    marks = [mark for info in infos for mark in getattr(info, "metadata", ())]
    named = ((name, getattr(mark, name, None)) for mark in marks for name in ("ge", "gt", "le"))
    return {name: bound for name, bound in named if bound is not None}


def _known_keys(model: type[BaseModel], location: Key) -> list[str]:
    """The keys that the model at this location takes, by the names that a file uses."""
    record, _ = _at(model, location)
    if record is None:
        return []
    ours = record.model_fields.items()
    return sorted(field.alias or name for name, field in ours if name != "name" or not issubclass(record, Variant))


def _at(model: type[BaseModel], location: Key) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The record at a location, None for a value that is none; and the field that leads there."""
    record: type[BaseModel] | None = model
    field = None
    for part in location:
        fields = record.model_fields.items() if record else ()
        named = next((info for name, info in fields if part in (name, info.alias)), None)
        if named is not None:  # else an item, a key of a mapping, or the name of a choice
            field, record = named, _model_in(named.annotation)
    return record, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def mapping(document: Document, key: Key, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(key, _expected_message(wording("suite.mapping"), value))
    return value


def unknown_key(document: Document, key: Key, known: Sequence[str]) -> ConfigError:
    """The error for a key that is none of these."""
    near = _nearest(str(key[-1]), known)
    message = wording("suite.misspelt_key", near=near) if near else wording("suite.unknown_key")
    return document.error(key, message, hint=f"known here: {', '.join(known)}")


def unknown(kind: str, name: str, known: Sequence[str]) -> images.Message:
    """The message for the name of something that is not there."""
    near = _nearest(name, known)
    if near:
        return wording("suite.misspelt", kind=kind, name=name, near=near)
    return wording("suite.unknown", kind=kind, name=name)


def did_you_mean(word: str, choices: Sequence[str]) -> str:
    """The words for the end of an error's first sentence; none if nothing is close."""
    near = _nearest(word, choices)
    return wording("suite.did_you_mean", near=near) if near else ""


def _nearest(word: str, choices: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, choices, n=1, cutoff=0.6)), "")


def _kind(value: Any) -> str:
    names = {
        dict: "a mapping",
        list: "a list",
        str: f"the text {str(value)[:40]!r}",
        bool: str(value).lower(),
        type(None): "nothing",
    }
    return names.get(type(value), repr(value)[:40])
