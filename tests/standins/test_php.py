"""PHP and Apache: what their stand-ins are made of."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight_standins import catalogue, servers
from deadweight_standins.bases import bases
from deadweight_standins.stand_in import stand_in


@pytest.mark.parametrize(
    ("wanted", "made"), [("", "8.4"), ("8", "8.4"), ("7.4", "8.2"), ("8.2", "8.2"), ("8.3", "8.4"), ("9.0", "8.4")]
)
def test_a_php_that_is_not_there_gets_the_next_later_one(wanted, made):
    assert bases()["php"].release(wanted) == made


@pytest.mark.parametrize(
    ("reference", "server", "headers", "suite"),
    [
        ("php:8.2-apache", "libapache2-mod-php8.2", True, "bookworm"),
        ("php:8.3-fpm-alpine3.20", "php8.4-fpm", False, "trixie"),
        ("php:8-cli-bookworm", "php8.4-cli", True, "trixie"),
    ],
)
def test_the_os_s_packages_of_a_php(reference, server, headers, suite):
    item = stand_in(reference)
    shop: Any = SimpleNamespace(rootfs_layer=lambda names, **more: (names, more), tree_layer=lambda name, _fill: name)
    layers: Any = servers.make(shop, "php", item.parameter).layers
    (names, more), _ = layers
    assert server in names
    assert ("libpq-dev" in names) is headers
    assert more["suite"] == suite == catalogue.suite_of(item)
    assert item.like_alpine is not headers
    assert item.has_apt is headers


def test_extensions_are_switched_on_and_one_that_is_not_there_is_told(tmp_path):
    available = tmp_path / "mods-available"
    available.mkdir()
    (available / "gd.ini").touch()
    script = (
        bases()["php"]
        .values["switch"]
        .replace("@version@", "8.2")
        .replace("/etc/php/8.2/mods-available", str(available))
    )
    (tmp_path / "phpenmod").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/done\n')
    (tmp_path / "phpenmod").chmod(0o755)

    def switched(*words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["sh", "-c", script, "sh", *words], env=env, capture_output=True, text=True, check=False)

    assert switched("-j4", "gd", "-j", "2").returncode == 0
    assert (tmp_path / "done").read_text().splitlines()[-1] == "-v 8.2 gd"
    assert switched("install", "gd-1.2.3").returncode == 0
    missing = switched("oci8")
    assert missing.returncode == 1
    assert "has no extension oci8; it has: gd.ini" in missing.stderr


def test_full_images_of_languages_are_made_anew_when_their_headers_change():
    full, slim = catalogue.edition_of(stand_in("python:3.12")), catalogue.edition_of(stand_in("python:3.12-slim"))
    assert full.startswith(f"{slim} headers ")
    assert catalogue.edition_of(stand_in("golang:1.25")) == catalogue.EDITION
