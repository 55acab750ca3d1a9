"""The tables of stand-ins: what is wrong in one is told with its file and key."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from deadweight._errors import ConfigError
from deadweight_standins import bases, catalogue, pythons, servers, table
from deadweight_standins.bases import Base, filled
from tests.support.codes import raises

CONFIG = ConfigDict(extra="forbid", strict=True)
TABLES = {
    "bases.toml": dict[str, Base],
    "packages.toml": bases.Names,
    "images.toml": TypedDict(
        "Tables", {"patterns": dict[str, str], "image": list[table.Row], "near": list[table.Near]}
    ),
    "pythons.toml": TypedDict("Tables", {"release": list[pythons.Release]}),
}


def wrong(kind: Any, document: object) -> list[str]:
    """The keys of a table that do not fit its record."""
    try:
        TypeAdapter(kind).validate_json(json.dumps(document))
    except ValidationError as error:
        return [".".join(map(str, each["loc"])) for each in error.errors()]
    return []


@pytest.fixture(autouse=True)
def no_unknown_keys(monkeypatch):
    for kind in (Base, bases.Account, bases.Names, bases.Renamed, table.Row, table.Near, pythons.Release):
        monkeypatch.setattr(kind, "__pydantic_config__", CONFIG, raising=False)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_fit_their_records(name):
    assert wrong(TABLES[name], bases.table(name)) == []


def test_every_flavour_fits_its_entry():
    assert wrong(dict[str, Base], {f"{name}.{flavour}": change for name, base in bases.bases().items()
                                   for flavour, change in base.flavours.items()}) == []  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ({"seconds": "long"}, "seconds"),
        ({"package": ["redis"]}, "package"),
        ({"packages": "redis"}, "packages"),
        ({"files": {"etc/a": 1}}, "files.etc/a"),
        ({"account": {"name": "redis", "home": "/", "shell": "/bin/sh"}}, "account.number"),
    ],
)
def test_a_wrong_key_is_found(entry, key):
    """The test above sees what it is there for."""
    assert wrong(dict[str, Base], {"redis": entry}) == [f"redis.{key}"]


def test_every_row_of_images_has_patterns_a_base_and_a_rule_that_there_are():
    patterns = [(row.name, row.tag) for row in table.images().image]
    patterns += [(near.name, near.tag) for near in table.images().near]
    assert all(re.compile(text) for pair in patterns for text in pair)
    assert {row.base for row in table.images().image} <= set(bases.bases())
    assert {row.rule for row in table.images().image} <= {"", *table.RULES}


def test_a_value_that_is_not_there_is_told_with_its_place():
    assert filled("PATH=@paths@ '@'%'", {"paths": "/bin"}, "f", "k") == "PATH=/bin '@'%'"
    with raises(ConfigError, "bases.no_value", name="@nothing@") as error:
        filled("@nothing@", {"paths": "/bin"}, "bases.toml", "redis.env")
    assert error.value.key == "redis.env"


def test_every_stand_in_has_a_recipe_or_is_made_of_its_entry():
    entries = bases.bases()
    assert set(catalogue.COMPUTED) <= set(entries)
    assert all(entries[name].packages and entries[name].cmd for name in set(entries) - set(catalogue.COMPUTED))


@pytest.mark.parametrize(
    ("parameter", "user", "port", "on_alpine"),
    [
        ("", "", "80/tcp", False),
        ("-alpine", "", "80/tcp", True),
        ("unprivileged", "101", "8080/tcp", False),
        ("unprivileged-alpine", "101", "8080/tcp", True),
    ],
)
def test_a_flavour_changes_what_it_names_and_no_more(monkeypatch, parameter, user, port, on_alpine):
    monkeypatch.setattr("deadweight_standins.alpine.layer", lambda _shop, libraries: ("alpine", libraries))
    shop: Any = SimpleNamespace(rootfs_layer=lambda names, **_: ("os", names), tree_layer=lambda name, _fill: name)
    made = servers.make(shop, "nginx", parameter)
    below: Any = made.layers[0]
    assert (made.settings.user, made.settings.ports) == (user, (port,))
    assert made.settings.cmd == ("nginx", "-g", "daemon off;")
    assert below[0] == ("alpine" if on_alpine else "os")
