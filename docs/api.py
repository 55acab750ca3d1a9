"""The reference of the public API as Markdown, made from docstrings: ``python docs/api.py > docs/reference/api.md``.

``python docs/api.py --list > tests/data/public_api.txt`` writes names and signatures alone: the list that a test compares.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from deadweight import plugins

HEAD = """# Public API

Import these names from `deadweight.plugins`. [Write a plug-in](../how-to/plugins.md) shows them at work.

They change only with a note in `CHANGELOG.md`; other names may change at any time. If a signature uses a type that is not listed
here, only pass its values on. Each entry is the first paragraph of the docstring; `help(deadweight.plugins.Step)` prints all
of it. This page is made by `python docs/api.py`.
"""

GROUPS = {
    "A builder": ["Builder", "Needs", "Site", "Step", "Inputs", "Job", "BuiltImage", "Base", "WrongKey"],
    "What builders share": [
        *("need_source", "need_file", "image_name", "architecture", "pinned", "base_values", "ignore_rules"),
        *("program_environment", "scratch", "keep_archive", "built_image", "is_built", "kept_archive"),
    ],
    "A check": ["Check", "Subject", "Evidence", "Provenance", "evidence"],
    "Reading an image": ["read_image", "Image", "ImageConfig", "Layer"],
    "The suite": ["Suite", "Variant", "Record"],
    "External programs": ["system_program", "find_tool", "Tool", "run", "Completed"],
    "Errors": ["DeadweightError", "UsageError", "ConfigError", "MissingError", "CommandError", "ArchiveError"],
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [part for name in names for part in _section(name)]
    return "\n".join(parts)


def listed() -> str:
    """All names, with everything about them that a caller depends on, one a line."""
    lines = []
    for name in sorted(plugins.__all__):
        lines.append(_signature(name))
        lines += [f"{name}.{line}" for line in (*_fields(name), *(line for line, _ in _methods(name)))]
    return "\n".join(lines) + "\n"


def _section(name: str) -> Iterator[str]:
    yield f"### {name}\n"
    signature = _signature(name, short=True)
    if signature != f"class {name}":
        yield f"    {signature}\n"
    yield f"{_text(getattr(plugins, name))}\n"
    fields = [f"`{line.partition(':')[0]}`" for line in _fields(name)]
    if fields:
        yield f"Fields: {', '.join(fields)}.\n"
    for line, method in _methods(name, short=True):
        text = _text(method)
        yield f"- `{line}`" + (f": {text}\n" if text else "\n")


def _signature(name: str, *, short: bool = False) -> str:
    value = getattr(plugins, name)
    if not inspect.isclass(value):
        return f"{name}{_call(value, short=short)}"
    if _is_record(value) or getattr(value, "_is_protocol", False):
        return f"class {name}"
    return f"class {name}{_call(value, short=short)}"


def _call(value: Any, *, short: bool) -> str:
    """A call's parameters and result, with annotations as they are written; ``short`` leaves those of the parameters out."""
    found = inspect.signature(value)
    parameters = [
        each.replace(annotation=inspect.Parameter.empty if short else _written(each.annotation))
        for each in found.parameters.values()
    ]
    if parameters and parameters[0].name == "self":
        del parameters[0]
    return str(found.replace(parameters=parameters, return_annotation=_written(found.return_annotation)))


class _Written(str):
    """An annotation that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _written(annotation: Any) -> Any:
    return _Written(annotation) if isinstance(annotation, str) else annotation


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or hasattr(value, "model_fields")


def _fields(name: str) -> Iterator[str]:
    """The fields of a record, and the attributes of a protocol."""
    value = getattr(plugins, name)
    if not inspect.isclass(value) or not (_is_record(value) or getattr(value, "_is_protocol", False)):
        return
    for key, kind in vars(value).get("__annotations__", {}).items():
        if not key.startswith("_"):
            yield f"{key}: {kind}"
    for key, member in vars(value).items():
        if not key.startswith("_") and (isinstance(member, property) or hasattr(member, "attrname")):
            getter = member.fget if isinstance(member, property) else member.func
            yield f"{key}: {getter.__annotations__.get('return', '')}"


def _methods(name: str, *, short: bool = False) -> Iterator[tuple[str, Any]]:
    value = getattr(plugins, name)
    if not inspect.isclass(value):
        return
    for key, member in vars(value).items():
        if not key.startswith("_") and inspect.isfunction(member) and key not in vars(value).get("__annotations__", {}):
            yield f"{key}{_call(member, short=short)}", member


def _text(value: Any) -> str:
    """The first paragraph of a docstring as Markdown, on one line."""
    paragraph = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("``", "`")


if __name__ == "__main__":
    sys.stdout.write(listed() if sys.argv[1:] == ["--list"] else page())
