"""The tables of stand-ins: what is wrong in one is told with its file and key."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deadweight._errors import ConfigError
from deadweight_standins import bases, catalogue, servers, table
from deadweight_standins.bases import Base, check, filled, load


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[redis]\nseconds = 'long'\n", "redis.seconds"),
        ("[redis]\npackage = ['redis']\n", "redis.package"),
        ("[redis]\npackages = 'redis'\n", "redis.packages"),
        ("[redis.files]\n'etc/a' = 1\n", "redis.files.etc/a"),
        ("[redis.account]\nname = 'redis'\nhome = '/'\nshell = '/bin/sh'\n", "redis.account.number"),
        ("[redis\n", None),
    ],
)
def test_an_error_names_file_and_key(tmp_path, text, key):
    (tmp_path / "bases.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load("bases.toml", dict[str, Base], tmp_path)
    assert (error.value.file, error.value.key) == ("bases.toml", key)


def test_a_table_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError) as error:
        load("none.toml", dict[str, Base], tmp_path)
    assert error.value.file == "none.toml"


def test_all_errors_of_a_table_are_told():
    with pytest.raises(ConfigError) as error:
        check("bases.toml", dict[str, Base], {"a": {"x": 1}, "b": {"y": 1}})
    assert [each.key for each in (error.value, *error.value.more)] == ["a.x", "b.y"]


@given(st.sampled_from(sorted(each.name for each in fields(Base))), st.sampled_from([1.5, [["a"]], {"a": {"b": [1]}}]))
def test_no_key_takes_a_value_of_another_kind(key, value):
    """Whatever the key, the error names it. Flavours alone hold tables of tables."""
    if key == "flavours" and isinstance(value, dict):
        return
    with pytest.raises(ConfigError) as error:
        check("bases.toml", dict[str, Base], {"redis": {key: value}})
    assert (error.value.key or "").startswith(f"redis.{key}")


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ("name = 'a('\nbase = 'redis'", "image.0"),
        ("name = '@nothing@'\nbase = 'redis'", "image.0"),
        ("name = 'a'\nbase = 'nothing'", "image.0.base"),
        ("name = 'a'\nbase = 'redis'\nrule = 'nothing'", "image.0.rule"),
    ],
)
def test_a_row_of_images_names_what_there_is(tmp_path, monkeypatch, row, key):
    (tmp_path / "images.toml").write_text(f"near = []\n[patterns]\n[[image]]\n{row}\n")
    monkeypatch.setattr(table, "load", lambda name, kind: load(name, kind, tmp_path))
    with pytest.raises(ConfigError) as error:
        table.images.__wrapped__()
    assert (error.value.file, error.value.key) == ("images.toml", key)


def test_a_value_that_is_not_there_is_told_with_its_place():
    assert filled("PATH=@paths@ '@'%'", {"paths": "/bin"}, "f", "k") == "PATH=/bin '@'%'"
    with pytest.raises(ConfigError) as error:
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
