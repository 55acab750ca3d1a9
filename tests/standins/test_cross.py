"""The helpers that stand in for tonistiigi/xx, run as a stage would run them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from deadweight_standins import cross
from deadweight_standins.machine import Machine

pytestmark = pytest.mark.system

AMD64 = Machine("amd64", "amd64", "x86_64", "x86_64-linux-gnu", "bookworm")
ELF = bytes.fromhex("7f454c46" + "0" * 28 + "3e00")


@pytest.fixture
def bin_folder(tmp_path) -> Path:
    shop = SimpleNamespace(machine=AMD64, tree_layer=lambda _name, fill: fill(tmp_path))
    cross.xx(shop, "")
    for name, text in (("go", "echo go:$GOFLAGS: $@"), ("apk", "echo apk $@")):
        (tmp_path / "usr/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "usr/bin" / name).chmod(0o755)
    return tmp_path / "usr/bin"


def _run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **more}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def test_programs_are_called_as_they_are(bin_folder):
    assert _run(bin_folder, "xx-go", "build", "-o", "/x", ".").stdout == "go:: build -o /x .\n"
    assert _run(bin_folder, "xx-apk", "add", "--no-cache", "git").stdout == "apk add --no-cache git\n"
    assert _run(bin_folder, "xx-go", "--wrap").returncode == 0
    assert _run(bin_folder, "xx-info", "arch", TARGETPLATFORM="linux/amd64").stdout == "amd64\n"
    assert "TARGETARCH=amd64" in _run(bin_folder, "xx-info", "env").stdout


@pytest.mark.parametrize("platform", [{"TARGETPLATFORM": "linux/arm64"}, {"TARGETARCH": "s390x"}])
def test_another_platform_is_refused(bin_folder, platform):
    done = _run(bin_folder, "xx-go", "build", **platform)
    assert done.returncode == 1
    assert "builds for linux/amd64 only" in done.stderr


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (ELF, ["xx-verify"], ""),
        (ELF, ["xx-verify", "--static"], ""),
        (ELF + b"\0/lib64/ld-linux-x86-64.so.2\0", ["xx-verify"], ""),
        (ELF + b"\0/lib64/ld-linux-x86-64.so.2\0", ["xx-verify", "--static"], "is not statically linked"),
        (ELF.replace(b"\x3e", b"\xb7"), ["xx-verify"], "no program for linux/amd64"),
        (b"#!/bin/sh\n", ["xx-verify"], "no program for linux/amd64"),
    ],
)
def test_a_program_is_verified_by_its_header(bin_folder, tmp_path, content, words, said):
    (tmp_path / "program").write_bytes(content)
    done = _run(bin_folder, *words, str(tmp_path / "program"))
    assert done.returncode == (1 if said else 0)
    assert said in done.stderr
