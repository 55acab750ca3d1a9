"""Load the tables that say what each stand-in image is made of (``bases.toml``, ``packages.toml``) into records."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from deadweight._errors import ConfigError
from deadweight_standins.machine import wording

T = TypeVar("T")
HERE = Path(__file__).parent


def number(version: str) -> tuple[int, ...]:
    """A version to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class Account(NamedTuple):
    """A user of a stand-in; ``number`` is its user's and its group's."""

    name: str
    home: str
    shell: str
    number: int


@dataclass(frozen=True)
class Base:
    """One entry of ``bases.toml``, whose first lines explain the keys."""

    edition: int = 0
    seconds: int = 40
    then: int = 0
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
        later = (release for release in self.releases if "." in wanted and number(release) >= number(wanted)[:2])
        return next(later, list(self.releases)[-1])

    def flavoured(self, parameter: str) -> Base:
        """The same in the flavours that a parameter names (``unprivileged-alpine``)."""
        changes = [self.flavours[word] for word in parameter.split("-") if word in self.flavours]
        return functools.reduce(_changed, changes, self)


def _changed(base: Base, change: Mapping[str, Any]) -> Base:
    own = {key: getattr(base, key) for key in change}
    merged = {key: {**own[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    return replace(base, **arguments(merged))


@functools.cache
def bases() -> Mapping[str, Base]:
    """All entries, by name."""
    entries = {name: record(Base, entry) for name, entry in table("bases.toml").items()}
    accounts: dict[str, Any] = {name: base.account for name, base in entries.items() if base.account}
    return entries | {name: replace(entries[name], account=record(Account, entry)) for name, entry in accounts.items()}


class Renamed(NamedTuple):
    """What a package is called ``now``; ``link`` is a program by its old name, and its target."""

    now: str
    version: str = "0~stand-in"
    link: tuple[str, str] | None = None


class Names(NamedTuple):
    """All of ``packages.toml``: lists of packages, and what others' names mean among the OS's."""

    lists: Mapping[str, tuple[str, ...]]
    alpine: Mapping[str, tuple[str, ...]]
    done_without: tuple[str, ...]
    renamed: Mapping[str, Renamed]


@functools.cache
def names() -> Names:
    """What packages are called."""
    document = table("packages.toml")
    renamed = {name: record(Renamed, entry) for name, entry in document["renamed"].items()}
    lists, alpine = arguments(document["lists"]), arguments(document["alpine"])
    return Names(lists, alpine, tuple(document["done_without"]), renamed)


def table(name: str) -> dict[str, Any]:
    """A TOML file beside this module."""
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def record(kind: type[T], entry: Mapping[str, Any]) -> T:
    """An entry of a table as a record."""
    return kind(**arguments(entry))


def arguments(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Its keys, lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def fill_in(text: str, values: Mapping[str, str], file: str, key: str) -> str:
    """Text with a value for each ``@NAME@``. Raises ConfigError for one that has none, at ``file`` and ``key``."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            message = wording("bases.no_value", name=match[0], known=", ".join(sorted(values)))
            raise ConfigError(message, file=file, key=key)
        return values[match[1]]

    return re.sub(r"@([a-z_]+)@", value, text)
