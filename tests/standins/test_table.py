"""Which stand-in each public image gets, and what is told where there is none."""

import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from deadweight._errors import ConfigError
from deadweight.builders.variants import GENERATOR
from deadweight.records.reference import parse
from deadweight.sources.protocol import NoBase
from deadweight.sources.remote import front_door, mirrored
from deadweight.sources.settings import Mirror
from deadweight_standins import bases, catalogue, pythons, servers, stand_in as table
from deadweight_standins.build_cache import BuildCache
from deadweight_standins.machine import Machine
from deadweight_standins.stand_in import StandIn, stand_in
from tests.support.codes import parts, raises

DIGEST = "sha256:" + "a" * 64
ALL = {"*": "all.example.com/p/"}


IMAGES = tomllib.loads(Path(__file__).with_name("images.toml").read_text())


@pytest.mark.parametrize(("reference", "expected"), [
    ("deadweight/tools:latest", StandIn("tools")), (f"alpine:3.18@{DIGEST}", StandIn("alpine")),
    (f"golang:1.24-alpine@{DIGEST}", StandIn("golang", "1.24-alpine")),
    (GENERATOR, StandIn("scanner")),
    *((reference, StandIn(*text.split())) for reference, text in IMAGES["stand_in"].items()),
])  # fmt: skip
def test_stand_ins(reference, expected):
    image = stand_in(reference)
    assert image == expected
    assert parse(f"{image.repository}:{image.tag}").tag == image.tag  # a registry takes it


def test_bases_that_cannot_be_had_are_told_with_their_places():
    error = NoBase(("a:1", "a:1: there is none"), (None, "https://x: silent"), ("b", "b: no answer"), hint="look")
    placed = error.with_places({"a:1": "v, w: Dockerfile:3", "c": "v: base"})
    assert placed.message == "v, w: Dockerfile:3: a:1: there is none\nhttps://x: silent\nb: no answer"
    assert placed.hint == "look"


@pytest.mark.parametrize(("reference", "near"), IMAGES["near"].items())
def test_no_stand_in_is_an_error_that_names_the_nearest_or_lists_all_there_are(reference, near):
    with pytest.raises(NoBase) as error:
        stand_in(reference)

    ((about, text),) = error.value.problems
    code, fields = parts(text)
    assert about == reference
    if near:
        assert str(fields["near"]).startswith(near)
        return
    assert "near" not in fields
    assert (code, fields) == ("stand_in.none_near", {"reference": reference})
    shown = ("golang:1.X", "ubuntu", "alpine", "chainguard/busybox", "distroless/static", "temurin", "maven", "python")
    assert [name for name in shown if name not in error.value.hint.fields["known"]] == []


@pytest.mark.parametrize(("reference", "apk", "apt"), [
    ("alpine:3", True, False), ("golang:1-alpine", True, False), ("cgr.dev/chainguard/wolfi-base", True, False),
    ("debian:12", False, True), ("python:3.13-slim", False, True), ("gcr.io/distroless/static", False, False),
    ("busybox", False, False),
])  # fmt: skip
def test_who_has_which_package_manager(reference, apk, apt):
    image = stand_in(reference)
    assert (image.like_alpine, image.has_apt) == (apk, apt)


@pytest.mark.parametrize(("others", "reference", "expected"), [
    ({}, "gcr.io/a/b:1", "gcr.io/a/b:1"),
    (ALL, "ubuntu:23.10", "hub.example.com/x/library/ubuntu:23.10"),
    (ALL, "cgr.dev/chainguard/busybox:latest", "all.example.com/p/cgr.dev/chainguard/busybox:latest"),
    (ALL, f"gcr.io/a/b@{DIGEST}", f"all.example.com/p/gcr.io/a/b@{DIGEST}"),
])  # fmt: skip
def test_a_mirror_renames_hosts_that_it_has_a_rule_for(others, reference, expected):
    assert mirrored(Mirror(registries={"docker.io": "hub.example.com/x", **others}), reference) == expected


def test_docker_hub_answers_under_another_name():
    assert front_door("docker.io") == "https://registry-1.docker.io/v2/"


GOS = {"": "1.26.8", "1.25": "1.25.2", "1.20": "1.21.13", "1.24": "1.25.2", "1.99": "1.26.8"}


@pytest.mark.parametrize(("wanted", "made"), GOS.items())
def test_a_go_that_is_not_there_gets_the_next_later_one_else_the_newest(tmp_path, wanted, made):
    cache = BuildCache(tmp_path, Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm"), tmp_path / "log")
    cache.get("Go's releases", lambda: ["1.21.1", "1.21.13", "1.25.2", "1.26.8"])
    assert cache.go_release(wanted) == made


TABLES = {
    "bases.toml": dict[str, bases.Base],
    "packages.toml": bases.Names,
    "images.toml": TypedDict(
        "Tables",
        {"texts": dict[str, str], "patterns": dict[str, str], "image": list[table.Row], "near": list[table.Near]},
    ),
    "pythons.toml": TypedDict("Tables", {"release": list[pythons.Release]}),
}


def wrong(kind: Any, document: object) -> list[str]:
    """The keys of a table that do not fit its record."""
    try:
        TypeAdapter(kind).validate_json(json.dumps(document))
    except ValidationError as error:
        return [".".join(map(str, problem["loc"])) for problem in error.errors()]
    return []


@pytest.fixture(autouse=True)
def no_unknown_keys(monkeypatch):
    for kind in (bases.Base, bases.Account, bases.Names, bases.Renamed, table.Row, table.Near, pythons.Release):
        monkeypatch.setattr(kind, "__pydantic_config__", ConfigDict(extra="forbid", strict=True), raising=False)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_fit_their_records(name):
    assert wrong(TABLES[name], bases.table(name)) == []


def test_every_entry_is_made_of_records():
    """Stand-ins for nginx, MariaDB and memcached could not be made while their account was left a plain mapping."""
    accounts = {name: base.account for name, base in bases.bases().items() if base.account is not None}
    mapped = dict.fromkeys(("nginx", "mariadb", "memcached"), bases.Account)
    assert {name: type(account) for name, account in accounts.items()} == mapped


def test_every_flavour_fits_its_entry():
    assert wrong(dict[str, bases.Base], {f"{name}.{flavour}": change for name, base in bases.bases().items()
                                   for flavour, change in base.flavours.items()}) == []  # fmt: skip


@pytest.mark.parametrize(("entry", "key"), [
    ({"seconds": "long"}, "seconds"), ({"package": ["redis"]}, "package"), ({"packages": "redis"}, "packages"),
    ({"files": {"etc/a": 1}}, "files.etc/a"),
    ({"account": {"name": "redis", "home": "/", "shell": "/bin/sh"}}, "account.number"),
])  # fmt: skip
def test_a_wrong_key_is_found(entry, key):
    """The test above sees what it is there for."""
    assert wrong(dict[str, bases.Base], {"redis": entry}) == [f"redis.{key}"]


def test_every_row_of_images_has_patterns_a_base_and_a_rule_that_there_are():
    patterned = ([(row.name, row.tag) for row in rows] for rows in (table.images().image, table.images().near))
    assert all(re.compile(text) for pairs in patterned for pair in pairs for text in pair)
    assert {row.base for row in table.images().image} <= set(bases.bases())
    assert {row.rule for row in table.images().image} <= {"", *table.RULES}


def test_a_value_that_is_not_there_is_told_with_its_place():
    assert bases.fill_in("PATH=@paths@ '@'%'", {"paths": "/bin"}, "f", "k") == "PATH=/bin '@'%'"
    with raises(ConfigError, "bases.no_value", name="@nothing@", key="redis.env"):
        bases.fill_in("@nothing@", {"paths": "/bin"}, "bases.toml", "redis.env")


def test_every_stand_in_has_a_recipe_or_is_made_of_its_entry():
    entries = bases.bases()
    assert set(catalogue.COMPUTED) <= set(entries)
    assert all(entries[name].packages and entries[name].cmd for name in set(entries) - set(catalogue.COMPUTED))


@pytest.mark.parametrize(("parameter", "user", "port", "on_alpine"), [
    ("", "", "80/tcp", False), ("-alpine", "", "80/tcp", True), ("unprivileged", "101", "8080/tcp", False),
    ("unprivileged-alpine", "101", "8080/tcp", True),
])  # fmt: skip
def test_a_flavour_changes_what_it_names_and_no_more(monkeypatch, parameter, user, port, on_alpine):
    monkeypatch.setattr("deadweight_standins.alpine.layer", lambda _cache, libraries: ("alpine", libraries))
    cache: Any = SimpleNamespace(rootfs_layer=lambda names, **_: ("os", names), tree_layer=lambda name, _fill: name)
    made = servers.make(cache, "nginx", parameter)
    below: Any = made.layers[0]
    assert (made.settings.user, made.settings.ports) == (user, (port,))
    assert made.settings.cmd == ("nginx", "-g", "daemon off;")
    assert below[0] == ("alpine" if on_alpine else "os")
