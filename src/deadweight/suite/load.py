"""From ``deadweight.yaml`` to a Suite: defaults merged, every error with file, line, key, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from deadweight._errors import ConfigError
from deadweight.suite.model import Checks, Suite, Variant
from deadweight.suite.problems import Problems
from deadweight.suite.yaml_nodes import Document, Key, read

M = TypeVar("M", bound=BaseModel)

SUITE_FILE = "deadweight.yaml"
TOP_KEYS = ("name", "defaults", "variants", "sources", "scan", "report")

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


def load_suite(file: Path) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems."""
    document = read(file)
    top = _mapping(document, (), document.value)
    problems = Problems()
    _check_top(document, top, problems)
    given = {key: value for key, value in top.items() if value is not None}
    defaults: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    with problems.kept():
        defaults = _mapping(document, ("defaults",), given.get("defaults", {}))
    with problems.kept():
        raw = _mapping(document, ("variants",), top["variants"])
        if not raw:
            raise document.error(("variants",), "has no variant", hint="name at least one way to build the service")
    defaults = {"ladder": str(top["name"]), **defaults}  # variants of one service are compared with each other
    variants = []
    for name, fields in raw.items():
        with problems.kept():
            variants.append(_variant(document, name, defaults, fields))
    values = {"file": file.absolute(), "root": file.absolute().parent, "name": top["name"], "variants": tuple(variants)}
    values |= {key: given.get(key, {}) for key in ("sources", "scan", "report")}
    with problems.kept():
        suite = validated(document, Suite, values, lambda location: location)
    problems.tell()
    suite.places.update(document.lines)
    _check_names(document, suite)
    return suite


def _check_top(document: Document, top: Mapping[str, Any], problems: Problems) -> None:
    """Unknown keys at the top; raises ConfigError where one is missing that nothing can do without."""
    for key in top:
        if key not in TOP_KEYS:
            with problems.kept():
                what = f"unknown key{did_you_mean(key, TOP_KEYS)}"
                raise document.error((key,), what, hint=f"known here: {', '.join(TOP_KEYS)}")
    missing = [key for key in ("name", "variants") if key not in top]
    if missing:
        problems.tell()  # a misspelt one is why
        raise document.error((), f"key {missing[0]!r} is missing", hint=f"add {missing[0]}: at the top level")


def find_suite_file(start: Path | None = None) -> Path:
    """The suite file in this folder or the nearest one above. Raises ConfigError where there is none."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / SUITE_FILE).is_file():
            return folder / SUITE_FILE
    if (here / SUITE_FILE).is_dir():
        raise ConfigError("is a folder, not a file", file=here / SUITE_FILE)
    if (here / SUITE_FILE).is_symlink():
        raise ConfigError("is a link that leads to no file", file=here / SUITE_FILE)
    raise ConfigError(
        "is missing, here and in every folder above",
        file=here / SUITE_FILE,
        hint="docs/tutorial.md shows how to write one",
    )


def merge(below: Any, above: Any) -> Any:
    """Defaults below, a variant's own values above: mappings merge key by key, everything else (lists too) replaces."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{key: merge(below.get(key), value) for key, value in above.items()}}
    return above


def select(suite: Suite, names: tuple[str, ...] | list[str]) -> tuple[Variant, ...]:
    """The named variants in suite order; all where none is named. Raises UsageError naming the choices."""
    from deadweight._errors import UsageError

    for name in names:
        if name not in suite.names():
            raise UsageError(
                f"no variant {name!r}{did_you_mean(name, suite.names())}", hint=f"variants: {', '.join(suite.names())}"
            )
    return tuple(variant for variant in suite.variants if not names or variant.name in names)


def _variant(document: Document, name: str, defaults: dict[str, Any], fields: Any) -> Variant:
    own: Key = ("variants", name)
    merged = merge(defaults, _mapping(document, own, fields if fields is not None else {}))
    place = _place(document, name)
    if "name" in merged:
        raise document.error(place(("name",)), "unknown key; a variant is named by its key under variants:")
    return validated(document, Variant, {"name": name, **merged}, place)


def _place(document: Document, name: str) -> Callable[[Key], Key]:
    """From a location in a variant's record to its key in the file: the variant's own, else that of the defaults."""
    own: Key = ("variants", name)

    def place(location: Key) -> Key:
        for prefix in (own, ("defaults",)):
            if (*prefix, *location) in document.lines:
                return (*prefix, *location)
        return (*own, *location)

    return place


def validated(document: Document, model: type[M], value: Any, place: Callable[[Key], Key]) -> M:
    """Raw values as a record of ours. ``place`` maps a location in the record to its key in the file. Raises ConfigError."""
    try:
        return model.model_validate(value)
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
    location: Key = tuple(
        part for part in problem["loc"] if part != "[key]"
    )  # how pydantic marks a wrong key of a mapping
    kind, found = problem["type"], problem.get("input")
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
    if kind == "literal_error":
        expected = str(problem.get("ctx", {}).get("expected", "")).replace(" or ", ", ").replace("'", "")
        return document.error(key, f"expected one of {expected}, found {_kind(found)}")
    if kind == "string_pattern_mismatch":  # only names have a pattern
        return document.error(
            place(()) if model is Variant and location == ("name",) else key,
            f"{found!r} is no name",
            hint="lower-case letters, digits, dots, dashes and underscores, at most 64",
        )
    if kind == "string_too_short":
        return document.error(
            key, f"expected text of {problem['ctx']['min_length']} or more letters, found {_kind(found)}"
        )
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
    marks = field.metadata if field else []
    return {name: getattr(mark, name) for mark in marks for name in ("ge", "gt", "le", "lt") if hasattr(mark, name)}


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
        field.alias or name for name, field in model.model_fields.items() if name != "name" or model is not Variant
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


def _mapping(document: Document, key: Key, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(key, f"expected a mapping (key: value), found {_kind(value)}")
    return value


def _check_names(document: Document, suite: Suite) -> None:
    """Names of other variants, of requests, and of checks. Those that ``checks.other`` names may be a plug-in's."""
    problems = Problems()
    for variant in suite.variants:
        place = _place(document, variant.name)
        with problems.kept():
            _check_compared(document, place, suite, variant)
        with problems.kept():
            _check_requests(document, place, [item.name for item in variant.checks.api])
        with problems.kept():
            _check_checks(document, place, variant)
    problems.tell()


def _check_compared(document: Document, place: Callable[[Key], Key], suite: Suite, variant: Variant) -> None:
    budget = variant.checks.budget
    if budget is None or budget.smaller_than is None:
        return
    key = place(("checks", "budget", "smaller_than"))
    if budget.smaller_than not in suite.names():
        raise _no_such(document, key, "variant", budget.smaller_than, suite.names())
    if budget.smaller_than == variant.name:
        raise document.error(key, f"expected another variant than {variant.name} itself")


def _check_checks(document: Document, place: Callable[[Key], Key], variant: Variant) -> None:
    ours = [name for name in Checks.model_fields if name != "other"]
    for name in variant.checks.other:
        if name in ours:
            raise document.error(
                place(("checks", "other", name)), f"{name} is a check of ours", hint=f"write it as checks.{name}"
            )
    known = [*ours, *variant.checks.other]
    for name in variant.expect:
        if name not in known:
            raise _no_such(document, place(("expect", name)), "check", name, known)


def _check_requests(document: Document, place: Callable[[Key], Key], names: Sequence[str]) -> None:
    """Evidence, reports and ``pytest -k`` tell the items of the ``api`` check apart by their names."""
    if len(set(names)) == len(names):
        return
    second = next(index for index, name in enumerate(names) if name in names[:index])
    first = document.line(place(("checks", "api", names.index(names[second]), "name")))
    raise document.error(place(("checks", "api", second, "name")), f"duplicate of line {first}")


def _no_such(document: Document, key: Key, kind: str, name: str, known: Sequence[str]) -> ConfigError:
    return document.error(key, f"no {kind} {name!r}{did_you_mean(name, known)}", hint=f"{kind}s: {', '.join(known)}")


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
