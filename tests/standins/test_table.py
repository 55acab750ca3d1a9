"""Which stand-in each public image gets, and what is told where there is none."""

from __future__ import annotations

import json
import re
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
from deadweight_standins import bases, catalogue, pythons, servers, table
from deadweight_standins.bases import Base, filled
from deadweight_standins.machine import Machine
from deadweight_standins.stand_in import StandIn, stand_in
from deadweight_standins.table import TOOLS_REFERENCE
from deadweight_standins.workshop import Workshop
from tests.support.codes import parts, raises

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("golang:1.21.3-bookworm", StandIn("golang", "1.21.3")),
        ("docker.io/library/golang:1.22.0", StandIn("golang", "1.22.0")),
        ("ubuntu:23.10", StandIn("ubuntu")),
        ("debian:bookworm-slim", StandIn("ubuntu")),
        ("alpine", StandIn("alpine")),
        ("cgr.dev/chainguard/busybox:latest", StandIn("busybox")),
        ("busybox:1.36.1-musl", StandIn("busybox")),
        ("gcr.io/distroless/static-debian12:nonroot", StandIn("static", "nonroot")),
        ("gcr.io/distroless/static", StandIn("static")),
        ("gcr.io/distroless/static-debian12:debug-nonroot", StandIn("static", "debug-nonroot")),
        ("gcr.io/distroless/java17-debian12:nonroot", StandIn("java17", "nonroot")),
        ("gcr.io/distroless/java17-debian12", StandIn("java17")),
        ("eclipse-temurin:17-jre", StandIn("jre")),
        ("maven:3-eclipse-temurin-17", StandIn("maven")),
        (TOOLS_REFERENCE, StandIn("tools")),
        (f"alpine:3.18@{DIGEST}", StandIn("alpine")),
        (f"golang:1.24-alpine@{DIGEST}", StandIn("golang", "1.24-alpine")),
        ("golang", StandIn("golang")),
        ("golang:1", StandIn("golang")),
        ("golang:1-alpine3.22", StandIn("golang", "-alpine")),
        ("golang:1.24", StandIn("golang", "1.24")),
        ("golang:alpine", StandIn("golang", "-alpine")),
        ("golang:1.21.3-alpine3.18", StandIn("golang", "1.21.3-alpine")),
        ("golang:1.20.1-buster", StandIn("golang", "1.20.1")),
        ("golang:bookworm", StandIn("golang")),
        ("python", StandIn("python")),
        ("python:3.12-slim-bookworm", StandIn("python", "3.12-slim")),
        ("python:3.11.9-alpine3.19", StandIn("python", "3.11-alpine")),
        ("python:3-slim", StandIn("python", "3-slim")),
        ("node:22", StandIn("node", "22")),
        ("node:lts-alpine", StandIn("node", "-alpine")),
        ("node:20.11.1-bookworm-slim", StandIn("node", "20.11.1-slim")),
        ("node:slim", StandIn("node", "-slim")),
        ("rust:1.80-slim-bookworm", StandIn("rust", "1.80-slim")),
        ("rust:alpine", StandIn("rustalpine", "-alpine")),
        ("rust:1.93-alpine3.21", StandIn("rustalpine", "1.93-alpine")),
        ("eclipse-temurin:21-jre-alpine", StandIn("jre", "21-alpine")),
        ("eclipse-temurin:21", StandIn("jdk", "21")),
        ("eclipse-temurin:17-jre-focal", StandIn("jre")),
        ("eclipse-temurin:11-jre", StandIn("jre", "11")),
        ("eclipse-temurin:17-jdk-alpine", StandIn("jdk", "17-alpine")),
        ("openjdk:17-jdk-slim", StandIn("jdk")),
        ("openjdk:8u181-jdk", StandIn("jdk", "8")),
        ("openjdk:8-jre-alpine", StandIn("jre", "8-alpine")),
        ("amazoncorretto:21-al2023-headless", StandIn("jdk", "21")),
        ("public.ecr.aws/amazoncorretto/amazoncorretto:17-alpine", StandIn("jdk", "17-alpine")),
        ("azul/zulu-openjdk:25", StandIn("jdk", "25")),
        ("maven:3.8-jdk-8", StandIn("maven", "8")),
        ("maven:3.6.3-jdk-11-slim", StandIn("maven", "11")),
        ("maven:3", StandIn("maven")),
        ("mirror.gcr.io/library/golang:1.25-alpine", StandIn("golang", "1.25-alpine")),
        ("public.ecr.aws/docker/library/node:20-slim", StandIn("node", "20-slim")),
        ("registry.example.com/hub/library/alpine:3", StandIn("alpine")),
        ("mirror.gcr.io/oven/bun:1", StandIn("bun", "1")),
        ("oven/bun", StandIn("bun")),
        ("oven/bun:1.3.5-alpine", StandIn("bun", "1.3.5-alpine")),
        ("oven/bun:1-slim", StandIn("bun", "1-slim")),
        ("oven/bun:canary-alpine", StandIn("bun", "-alpine")),
        ("denoland/deno:2.3.1", StandIn("deno", "2.3.1")),
        ("denoland/deno:alpine-2.3.1", StandIn("deno", "2.3.1-alpine")),
        ("denoland/deno:alpine", StandIn("deno", "-alpine")),
        ("denoland/deno:debian-1.46.1", StandIn("deno", "1.46.1")),
        ("denoland/deno:bin-2.3.1", StandIn("deno", "bin")),
        ("ruby:3.3-slim", StandIn("ruby", "3.3-slim")),
        ("ruby:3.2.2-slim-bookworm", StandIn("ruby", "3.2.2-slim")),
        ("ruby:3.3-bookworm", StandIn("ruby", "3.3")),
        ("php:8.2-apache", StandIn("php", "8.2-apache")),
        ("php:apache-bookworm", StandIn("php", "-apache")),
        ("php:8.3.4-fpm-alpine3.20", StandIn("php", "8.3-fpm-alpine")),
        ("php:8-alpine", StandIn("php", "8-cli-alpine")),
        ("php:7.4-zts", StandIn("php", "7.4-cli")),
        ("httpd:2.4", StandIn("httpd")),
        ("httpd:2.4.58-alpine3.19", StandIn("httpd", "-alpine")),
        ("buildpack-deps:bookworm-scm", StandIn("buildpack")),
        ("ghcr.io/astral-sh/uv:0.9-alpine3.22", StandIn("uvpython", "-alpine")),
        ("tonistiigi/xx:1.5.0", StandIn("xx")),
        ("caddy:2-alpine", StandIn("caddy")),
        ("maven:3.9.6-eclipse-temurin-21", StandIn("maven", "21")),
        ("gcr.io/distroless/base-debian12:nonroot", StandIn("distroless", "base-nonroot")),
        ("gcr.io/distroless/cc", StandIn("distroless", "cc")),
        ("gcr.io/distroless/nodejs22-debian12:nonroot", StandIn("nodejs", "22-nonroot")),
        ("gcr.io/distroless/nodejs20-debian12", StandIn("nodejs", "20")),
        ("gcr.io/distroless/python3-debian12:nonroot", StandIn("python3", "nonroot")),
        ("gcr.io/distroless/python3-debian13:nonroot", StandIn("python3", "13-nonroot")),
        ("gcr.io/distroless/python3-debian13", StandIn("python3", "13")),
        ("gcr.io/distroless/python3:debug", StandIn("python3", "debug")),
        ("gcr.io/distroless/java21-debian12:nonroot", StandIn("java21", "nonroot")),
        ("cgr.dev/chainguard/static:latest", StandIn("static", "nonroot")),
        ("cgr.dev/chainguard/glibc-dynamic", StandIn("distroless", "cc-nonroot")),
        ("cgr.dev/chainguard/wolfi-base", StandIn("wolfi")),
        ("cgr.dev/chainguard/go:latest", StandIn("golang")),
        ("cgr.dev/chainguard/python:latest-dev", StandIn("python", "3-alpine")),
        ("cgr.dev/chainguard/python:latest", StandIn("python3", "newest-nonroot")),
        ("cgr.dev/chainguard/node:latest-dev", StandIn("node", "-alpine")),
        ("cgr.dev/chainguard/node:latest", StandIn("node", "-slim")),
        ("ghcr.io/astral-sh/uv:latest", StandIn("uv")),
        ("ghcr.io/astral-sh/uv:python3.12-bookworm-slim", StandIn("uvpython", "3.12-slim")),
        ("ghcr.io/astral-sh/uv:0.9.2", StandIn("uv")),
        ("ghcr.io/astral-sh/uv:0.9-python3.13-trixie-slim", StandIn("uvpython", "3.13-slim")),
        ("ghcr.io/astral-sh/uv:python3.12-alpine", StandIn("uvpython", "3.12-alpine")),
        ("ghcr.io/astral-sh/uv:bookworm-slim", StandIn("uvpython", "-slim")),
        ("ghcr.io/astral-sh/uv:0.9.2-trixie", StandIn("uvpython")),
        ("gcr.io/distroless/java-base-debian12:nonroot", StandIn("distroless", "cc-nonroot")),
        ("quay.io/prometheus/busybox-linux-amd64:latest", StandIn("busybox")),
        ("java:8-jdk-alpine", StandIn("jdk", "8-alpine")),
        ("adoptopenjdk:11-jre-hotspot", StandIn("jre", "11")),
        ("nginx:1.27-alpine", StandIn("nginx", "-alpine")),
        ("nginx:stable-alpine-slim", StandIn("nginx", "-alpine")),
        ("nginx", StandIn("nginx")),
        ("nginxinc/nginx-unprivileged:1.27-alpine", StandIn("nginx", "unprivileged-alpine")),
        ("nginxinc/nginx-unprivileged:stable", StandIn("nginx", "unprivileged")),
        ("redis:7-alpine", StandIn("redis")),
        ("postgres:16", StandIn("postgres")),
        ("mysql:8.0", StandIn("mariadb")),
        ("mariadb:11-noble", StandIn("mariadb")),
        ("mongo:4.2.1-bionic", StandIn("mongo")),
        ("memcached:1.6-alpine", StandIn("memcached")),
        ("rabbitmq:4.0-management-alpine", StandIn("rabbitmq", "management")),
        ("rabbitmq:3", StandIn("rabbitmq")),
        ("nats:2.10-alpine", StandIn("nats")),
        (GENERATOR, StandIn("scanner")),
    ],
)
def test_stand_ins(reference, expected):
    found = stand_in(reference)
    assert found == expected
    assert parse(f"{found.repository}:{found.tag}").tag == found.tag  # a registry takes it


def test_bases_that_cannot_be_had_are_told_with_their_places():
    error = NoBase(("a:1", "a:1: there is none"), (None, "https://x: silent"), ("b", "b: no answer"), hint="look")
    placed = error.placed({"a:1": "v, w: Dockerfile:3", "c": "v: base"})
    assert placed.message == "v, w: Dockerfile:3: a:1: there is none\nhttps://x: silent\nb: no answer"
    assert placed.hint == "look"


@pytest.mark.parametrize(
    ("reference", "near"),
    [
        ("mcr.microsoft.com/dotnet/sdk:8.0", None),
        ("caddy:2-builder", "caddy:2"),
        ("ruby:3.3-alpine", "ruby:3.X[-slim]"),
        ("ghcr.io/team/golan:1", "golang:1.X"),
        ("bitnami/redis:7", "redis"),
        ("gradle:8.7.0-jdk21", "eclipse-temurin:21"),
        ("gradle", "eclipse-temurin:21"),
        ("registry.access.redhat.com/ubi9/ubi-minimal:9.4", "debian:12"),
        ("registry.access.redhat.com/ubi9/openjdk-21-runtime:1.22", "eclipse-temurin:21-jre"),
        ("registry.access.redhat.com/ubi9/python-312", "python:3.12"),
        ("bitnami/node:20.1", "node:20.1"),
        ("tiangolo/uvicorn-gunicorn:python3.10-slim", "python:3.10"),
        ("lukemathwalker/cargo-chef:latest-rust-1.80", "rust:1.80"),
        ("cgr.dev/example.com/jre-fips:openjdk-21", "cgr.dev/chainguard/jre"),
        ("amazonlinux:2023", "debian:12"),
        ("clojure:openjdk-17", "eclipse-temurin:17"),
        ("mcr.microsoft.com/devcontainers/python:1-3.12-bookworm", "python:3.12"),
        ("mcr.microsoft.com/vscode/devcontainers/typescript-node:20", "node:20"),
        ("mcr.microsoft.com/devcontainers/go:1-1.23-bookworm", "golang:1.23"),
        ("mcr.microsoft.com/devcontainers/base:ubuntu", "debian:12"),
        ("public.ecr.aws/lambda/python:3.12", "python:3.12"),
        ("nikolaik/python-nodejs:python3.11-nodejs20", "python:3.11"),
        ("quay.io/quarkus/ubi9-quarkus-micro-image:2.0", "debian:12-slim"),
        ("registry.fedoraproject.org/fedora-minimal", "debian:12"),
        ("nvidia/cuda:12.4.1-base-ubuntu22.04", "ubuntu"),
    ],
)
def test_no_stand_in_is_an_error_that_names_the_nearest_or_lists_all_there_are(reference, near):
    with pytest.raises(NoBase) as error:
        stand_in(reference)

    ((about, text),) = error.value.problems
    code, fields = parts(text)
    assert about == reference
    assert str(fields.get("near")).startswith(str(near))
    if near:
        return
    assert (code, fields) == ("stand_in.none_near", {"reference": reference})
    for name in (
        "golang:1.X",
        "ubuntu",
        "alpine",
        "chainguard/busybox",
        "distroless/static",
        "temurin",
        "maven",
        "python",
    ):
        assert name in error.value.hint.fields["known"]


@pytest.mark.parametrize(
    ("reference", "apk", "apt"),
    [
        ("alpine:3", True, False),
        ("golang:1-alpine", True, False),
        ("cgr.dev/chainguard/wolfi-base", True, False),
        ("debian:12", False, True),
        ("python:3.13-slim", False, True),
        ("gcr.io/distroless/static", False, False),
        ("busybox", False, False),
    ],
)
def test_who_has_which_package_manager(reference, apk, apt):
    found = stand_in(reference)
    assert (found.like_alpine, found.has_apt) == (apk, apt)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("ubuntu:23.10", "hub.example.com/x/library/ubuntu:23.10"),
        ("cgr.dev/chainguard/busybox:latest", "all.example.com/p/cgr.dev/chainguard/busybox:latest"),
        (f"gcr.io/a/b@{DIGEST}", f"all.example.com/p/gcr.io/a/b@{DIGEST}"),
    ],
)
def test_a_mirror_renames(reference, expected):
    mirror = Mirror(registries={"docker.io": "hub.example.com/x", "*": "all.example.com/p/"})

    assert mirrored(mirror, reference) == expected


def test_a_host_without_a_rule_keeps_its_name():
    assert mirrored(Mirror(registries={"docker.io": "m/x"}), "gcr.io/a/b:1") == "gcr.io/a/b:1"


def test_docker_hub_answers_under_another_name():
    assert front_door("docker.io") == "https://registry-1.docker.io/v2/"


@pytest.mark.parametrize(
    ("wanted", "made"),
    [("", "1.26.8"), ("1.25", "1.25.2"), ("1.20", "1.21.13"), ("1.24", "1.25.2"), ("1.99", "1.26.8")],
)
def test_a_go_that_is_not_there_gets_the_next_later_one_else_the_newest(tmp_path, wanted, made):
    shop = Workshop(tmp_path, Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm"), tmp_path / "log")
    shop.once("Go's releases", lambda: ["1.21.1", "1.21.13", "1.25.2", "1.26.8"])
    assert shop.go_release(wanted) == made


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
