"""The table of Alpine's names of packages."""

from __future__ import annotations

import re

from deadweight_standins.apk_names import DONE_WITHOUT, NAMES


def test_names_are_names_of_packages():
    meant = {package for packages in NAMES.values() for package in packages}
    assert [name for name in {*NAMES, *meant, *DONE_WITHOUT} if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name)] == []


def test_what_public_dockerfiles_add_most_is_there_under_the_os_s_name():
    wanted = (
        "build-base ca-certificates gcompat gettext icu-libs libpq-dev mysql-client openssl-dev py3-pip protoc su-exec"
    )
    assert [name for name in wanted.split() if name not in NAMES] == []
    assert NAMES["ca-certificates"] == []
    assert "libssl-dev" in NAMES["openssl-dev"]
