"""The tables beside this module: what each stand-in is made of (``bases.toml``), and how any table here is read and checked."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from deadweight._errors import ConfigError

T = TypeVar("T")
HERE = Path(__file__).parent
HINT = "correct that table"
STRICT: Mapping[str, Any] = {"extra": "forbid"}
"""A record of a table with this as its ``__pydantic_config__`` takes no key that it does not have."""


def number(version: str) -> tuple[int, ...]:
    """A version to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass(frozen=True)
class Account:
    """A user of a stand-in; ``number`` is its user's and its group's."""

    __pydantic_config__: ClassVar = STRICT
    name: str
    home: str
    shell: str
    number: int


@dataclass(frozen=True)
class Base:
    """One entry of ``bases.toml``, whose first lines explain the keys."""

    __pydantic_config__: ClassVar = STRICT
    edition: int = 0
    seconds: int = 40
    tools: tuple[str, ...] = ("mmdebstrap",)
    apt: bool = False
    packages: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    apk: bool = False
    what: str = ""
    releases: Mapping[str, str] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    account: Account | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    copied: Mapping[str, str] = field(default_factory=dict)
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = "/"
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    flavours: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def release(self, wanted: str) -> str:
        """The version that stands in for ``wanted`` (``8.3``): the next later one; else, and for ``8``, the newest."""
        later = (each for each in self.releases if "." in wanted and number(each) >= number(wanted)[:2])
        return next(later, list(self.releases)[-1])

    def flavoured(self, parameter: str) -> Base:
        """The same in the flavours that a parameter names (``unprivileged-alpine``)."""
        changes = [self.flavours[word] for word in parameter.split("-") if word in self.flavours]
        return functools.reduce(_changed, changes, self)


def _changed(base: Base, change: Mapping[str, Any]) -> Base:
    own = {each.name: getattr(base, each.name) for each in fields(base)}
    merged = {key: {**own[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    return check("bases.toml", Base, {**own, **merged})


@functools.cache
def bases() -> Mapping[str, Base]:
    """All entries, by name. Raises ConfigError, for a flavour that does not fit its entry too."""
    found = load("bases.toml", dict[str, Base])
    for name, base in found.items():
        for flavour, change in base.flavours.items():
            check("bases.toml", Base, change, (name, "flavours", flavour))
    return found


@dataclass(frozen=True)
class Renamed:
    """What a package is called ``now``; ``link`` is a program by its old name, and its target."""

    __pydantic_config__: ClassVar = STRICT
    now: str
    version: str = "0~stand-in"
    link: tuple[str, str] | None = None


@dataclass(frozen=True)
class Names:
    """All of ``packages.toml``: lists of packages, and what others' names mean among the OS's."""

    __pydantic_config__: ClassVar = STRICT
    lists: Mapping[str, tuple[str, ...]]
    alpine: Mapping[str, tuple[str, ...]]
    done_without: tuple[str, ...]
    renamed: Mapping[str, Renamed]


@functools.cache
def names() -> Names:
    """Raises ConfigError."""
    return load("packages.toml", Names)


def load(name: str, kind: type[T], folder: Path = HERE) -> T:
    """A TOML file as a record. Raises ConfigError that names the file and each wrong key."""
    try:
        document = tomllib.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", file=name, hint=HINT) from error
    return check(name, kind, document)


def check(name: str, kind: type[T], document: object, inside: Iterable[str] = ()) -> T:
    """What a table holds, as a record. ``inside`` are the keys above it. Raises ConfigError."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        wrong = [(each["msg"], ".".join(map(str, (*inside, *each["loc"])))) for each in error.errors()]
        first, *others = (ConfigError(text, file=name, key=key, hint=HINT) for text, key in wrong)
        raise first.beside(others) from error


def filled(text: str, values: Mapping[str, str], file: str, key: str) -> str:
    """Text with a value for each ``@NAME@``. Raises ConfigError for one that has none, at ``file`` and ``key``."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            known = ", ".join(sorted(values))
            raise ConfigError(f"{found[0]} has no value; known: {known}", file=file, key=key, hint=HINT)
        return values[found[1]]

    return re.sub(r"@([a-z_]+)@", value, text)
