"""Parse YAML into plain values with the line of every key. Hostile input raises ConfigError, never a traceback.

Only what JSON also has is accepted (mappings with text keys, lists, text, numbers, booleans, null); dates stay text.
Limits: 4 MiB per file, 64 levels deep, 200,000 nodes after aliases are followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deadweight._errors import ConfigError, wording

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 64
MAX_NODES = 200_000
MAX_DIGITS = 40

Key = tuple[str | int, ...]

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SAFE: Any = yaml.SafeLoader("")
_NUMBERS = {"tag:yaml.org,2002:int": _SAFE.construct_yaml_int, "tag:yaml.org,2002:float": _SAFE.construct_yaml_float}
_SCALARS: dict[str, Callable[[Any], Any]] = {
    "tag:yaml.org,2002:null": lambda _node: None,
    "tag:yaml.org,2002:str": lambda node: node.value,
    "tag:yaml.org,2002:timestamp": lambda node: node.value,
    "tag:yaml.org,2002:bool": _SAFE.construct_yaml_bool,
    **_NUMBERS,
}


@dataclass
class Document:
    """Plain values, and for each key's path its line (from 1)."""

    file: Path
    value: Any
    lines: dict[Key, int] = field(default_factory=dict)

    def line(self, key: Key) -> int:
        """The line of this key, or of the nearest one above it that is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def error(self, key: Key, message: str, *, hint: str | None = None) -> ConfigError:
        return ConfigError(message, file=self.file, line=self.line(key), key=dotted(key) or None, hint=hint)


def dotted(key: Key) -> str:
    """``variants.ko.checks.api[2].name``"""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(file: Path, *, may_be_empty: bool = False) -> Document:
    """Read one YAML file. Raises ConfigError with the line where it is not UTF-8, not YAML, too large, or not plain.

    The value of an empty one is None, where it may be empty.
    """
    return parse(_text(file), file, may_be_empty=may_be_empty)


def compose(file: Path) -> yaml.Node | None:
    """A YAML file as nodes, not values: ``version: 1.10`` stays what it is. Raises ConfigError as ``read`` does."""
    return _composed(_text(file), file)


def _composed(text: str, file: Path) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
            return node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = wording("suite.tabs") if _has_tabs(text, line) else None
        message = wording("suite.not_yaml", problem=error.problem or error.context)
        raise ConfigError(message, file=file, line=line, hint=hint) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(wording("suite.not_yaml", problem=str(error).splitlines()[0]), file=file, line=1) from None


def parse(text: str, file: Path, *, may_be_empty: bool = False) -> Document:
    """Read YAML text; ``file`` is named in errors."""
    document, root = Document(file, None), _composed(text, file)
    if root is None and may_be_empty:
        return document
    if root is None:
        raise ConfigError(wording("suite.empty_file"), file=file, line=1)
    document.value = _Reader(document).value(root, ())
    return document


def _has_tabs(text: str, line: int) -> bool:
    """Whether a tab indents this line, or the one before, which a parser may have taken for the end of a value."""
    return any("\t" in row[: len(row) - len(row.lstrip())] for row in text.split("\n")[max(line - 2, 0) : line])


def _text(file: Path) -> str:
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            raise ConfigError(wording("suite.not_a_file"), file=file)
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(wording("suite.missing_file"), file=file) from None
    except OSError as error:
        raise ConfigError(wording("suite.unreadable", problem=error.strerror), file=file) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(wording("suite.too_large", mebibytes=MAX_BYTES // 2**20), file=file, line=1)
    hint = "save it as text in UTF-8"
    if b"\x00" in data:
        raise ConfigError(
            wording("suite.binary"), file=file, line=1 + data[: data.index(b"\x00")].count(b"\n"), hint=hint
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + data[: error.start].count(b"\n")
        raise ConfigError(wording("suite.not_utf8"), file=file, line=line, hint=hint) from None


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document, self.nodes = document, 0

    def place(self, key: Key, node: yaml.Node) -> None:
        self.document.lines.setdefault(key, node.start_mark.line + 1)

    def fail(self, node: yaml.Node, key: Key, message: str) -> ConfigError:
        return ConfigError(message, file=self.document.file, line=node.start_mark.line + 1, key=dotted(key) or None)

    def value(self, node: yaml.Node, key: Key) -> Any:
        self.place(key, node)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.fail(node, key, wording("suite.too_many_values", most=MAX_NODES))
        if len(key) > MAX_DEPTH:
            raise self.fail(node, key[:3], wording("suite.too_deep", most=MAX_DEPTH))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                raise self.fail(node, key, wording("suite.yaml_tag", tag=node.tag))
            return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, key)

    def mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        if node.tag != "tag:yaml.org,2002:map":
            raise self.fail(node, key, wording("suite.yaml_tag", tag=node.tag))
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise self.fail(name_node, key, wording("suite.key_not_text"))
            name = str(name_node.value)
            if name_node.tag == "tag:yaml.org,2002:merge":
                raise self.fail(name_node, key, wording("suite.merge_key"))
            if name in result:
                line = self.document.line((*key, name))
                raise self.fail(name_node, (*key, name), wording("suite.duplicate", line=line))
            self.place((*key, name), name_node)
            result[name] = self.value(value_node, (*key, name))
        return result

    def scalar(self, node: yaml.Node, key: Key) -> Any:
        if node.tag not in _SCALARS:
            raise self.fail(node, key, wording("suite.yaml_tag", tag=node.tag))
        if node.tag.endswith(":int") and len(node.value) > MAX_DIGITS:
            raise self.fail(node, key, wording("suite.too_many_digits", most=MAX_DIGITS))
        try:
            if node.tag in _NUMBERS and ":" in node.value:
                raise ValueError(node.value)  # YAML 1.1 reads 1:30 as 90
            return _SCALARS[node.tag](node)
        except (LookupError, ValueError, yaml.YAMLError):  # an empty !!int is an IndexError
            raise self.fail(node, key, wording("suite.no_value", value=node.value[:40])) from None


# Everything that is wrong with a file, told at once and by line, instead of one problem a run.
class Problems:
    """Collects errors of independent parts of a file. What depends on them is not looked at once there is one."""

    def __init__(self) -> None:
        self.errors: list[ConfigError] = []
        self.also: list[ConfigError] = []
        """What is an error only to who needs it (a plug-in that is not here): told beside others, and alone by nobody."""

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Go on after a ConfigError; what follows in the block is skipped."""
        try:
            yield
        except ConfigError as error:
            self.errors += [error, *error.more]

    def tell(self) -> None:
        """Raises one ConfigError that holds all that were found, by line and each once; nothing happens where there is none."""
        also = self.also if self.errors else []
        once = {str(error.alone()): error.alone() for error in (*self.errors, *also)}
        errors = sorted(once.values(), key=lambda error: error.line or 0)
        if errors:
            raise errors[0].beside(errors[1:])
