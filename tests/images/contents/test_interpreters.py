"""Shells and package managers wherever they lie, and nothing that only has their name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight_images.layers import chunks as portions
from deadweight_images.look.analyse import analyse
from deadweight_images.look.stream import analyse_stream
from tests.support import image_samples as samples
from tests.support.image_samples import honest_layer as layer

ELF = b"\x7fELF" + bytes(200)
SCRIPT = b"#!/usr/bin/env python3\n"


def found(path: Path, **how) -> set[str]:
    report = analyse(path, scan="no", **how)
    return {item.path for item in (*report.shells, *report.package_managers)}


def image(tmp_path: Path, *layers: bytes, compression: str = "none") -> Path:
    return samples.docker_save(tmp_path / f"{compression}.tar", samples.build(*layers, compression=compression))


def runnable(files: dict[str, bytes | str | None]) -> bytes:
    names = {name.rpartition("/")[2] for name in files}
    return layer(files, **dict.fromkeys(names, 0o755))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_programs_outside_the_usual_folders_count(tmp_path, compression):
    data = runnable({
        "busybox/busybox": ELF, "busybox/sh": "busybox", "busybox/ash": "=busybox/busybox", "sh": ELF, "opt/sh": "../tool",
        "tool": ELF,
        "opt/pip": SCRIPT, "usr/share/doc/dash": ELF, "srv/apk": "/busybox/busybox",
    })  # fmt: skip
    path = image(tmp_path, data, compression=compression)
    wanted = {
        "/busybox/busybox",
        "/busybox/sh",
        "/busybox/ash",
        "/sh",
        "/opt/sh",
        "/opt/pip",
        "/usr/share/doc/dash",
        "/srv/apk",
    }
    assert found(path, cache_dir=tmp_path / "cache") == wanted
    copy = tmp_path / "copy.tar"
    copy.write_bytes(path.read_bytes())
    assert found(copy, cache_dir=tmp_path / "cache") == wanted  # layers come from the cache
    with path.open("rb") as stream:
        report = analyse_stream(stream, scan="no")
    assert {item.path for item in (*report.shells, *report.package_managers)} == wanted


def test_a_version_or_static_behind_the_name_makes_no_difference(tmp_path):
    """Who removes ``pip`` and leaves ``pip3.11`` has a package manager still."""
    names = ("usr/bin/pip3.11", "bin/zsh5", "bin/zsh-5.9", "bin/bash-static", "bin/busybox.static", "usr/bin/gem3.1")
    others = ("usr/bin/python3.11", "usr/bin/es2", "lib/libbash.so.5", "bin/7", "usr/bin/pip-audit2", "bin/static")
    path = image(tmp_path, runnable(dict.fromkeys((*names, *others), ELF)))
    assert found(path) == {f"/{name}" for name in names}


def test_what_only_has_the_name_does_not_count(tmp_path):
    files = {
        "etc/init.d/rc": SCRIPT, "etc/cron.daily/dpkg": SCRIPT, "usr/share/bash-completion/completions/npm": SCRIPT,
        "usr/share/locale/es": b"data", "opt/nu": b"no program", "usr/share/bug/dpkg": SCRIPT, "var/lib/fish": "/etc/hostname",
        "etc/hostname": b"box\n", "opt/doc/examples/snap": SCRIPT, "usr/lib/git-core/git-sh": SCRIPT, "opt/es/x": b"1",
        "empty/sh": b"",
        "usr/share/fish": None,
    }  # fmt: skip
    assert found(image(tmp_path, runnable(files))) == set()
    assert found(image(tmp_path, layer({"opt/sh": ELF, "opt/pip": SCRIPT}))) == set()  # none of them can be run


def test_a_program_that_comes_in_pieces_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(portions, "SEGMENT", 1 << 20)
    monkeypatch.setattr(portions, "WHOLE", 2 << 20)
    data = runnable({"opt/small": b"x" * 3000, "opt/nu": ELF + bytes(6 << 20), "opt/fish": bytes(6 << 20)})
    assert found(image(tmp_path, data, compression="gzip")) == {"/opt/nu"}
