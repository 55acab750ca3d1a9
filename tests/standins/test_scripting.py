"""Bun, Deno and Ruby: what their stand-ins are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deadweight_standins import languages
from deadweight_standins.bases import bases
from deadweight_standins.machine import Machine

AMD64 = Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm")


def _shop(version: str, authorities: tuple[bytes, ...] = ()) -> Any:
    return SimpleNamespace(
        machine=AMD64,
        authorities=authorities,
        once=lambda _name, _make: version,
        tree_layer=lambda name, _fill, **_more: name,
        rootfs_layer=lambda names, **more: (names, more),
    )


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        (languages.bun, "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"),
        (languages.deno, "DENO_TLS_CA_STORE=system,mozilla"),
    ],
)
def test_programs_with_cas_of_their_own_look_at_the_os_s_where_this_machine_trusts_others(recipe, setting):
    assert setting in recipe(_shop("1.3.5", (b"pem",)), "1-slim").settings.env
    assert setting not in recipe(_shop("1.3.5"), "1-slim").settings.env


def test_another_version_than_the_tag_s_is_told():
    told = languages.bun(_shop("1.4.0"), "1.3.9-slim").settings.labels
    assert told == {"org.opencontainers.image.description": "Bun 1.4.0 in place of 1.3.9"}


@pytest.mark.parametrize(
    ("wanted", "made"), [("", "3.3"), ("3", "3.3"), ("3.0", "3.1"), ("3.1.4", "3.1"), ("3.2", "3.3"), ("4.0", "3.3")]
)
def test_a_ruby_that_is_not_there_gets_the_next_later_one(wanted, made):
    assert bases()["ruby"].release(wanted) == made
