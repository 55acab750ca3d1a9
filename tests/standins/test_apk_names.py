"""The table of Alpine's names of packages."""

from __future__ import annotations

import re

from deadweight_standins.bases import names


def test_names_are_names_of_packages():
    table = names()
    meant = {package for packages in table.alpine.values() for package in packages}
    assert [
        name for name in {*table.alpine, *meant, *table.done_without} if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name)
    ] == []


def test_what_public_dockerfiles_add_most_is_there_under_the_os_s_name():
    table = names()
    wanted = (
        "build-base ca-certificates gcompat gettext icu-libs libpq-dev mysql-client openssl-dev py3-pip protoc su-exec"
    )
    assert [name for name in wanted.split() if name not in table.alpine] == []
    assert table.alpine["ca-certificates"] == ()
    assert "libssl-dev" in table.alpine["openssl-dev"]
