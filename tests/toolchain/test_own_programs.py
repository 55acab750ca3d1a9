"""Our own small Go programs: built once, and anew where their source changed."""

from __future__ import annotations

import os
import subprocess

import pytest

from deadweight._errors import DeadweightError
from deadweight.engine import recorders, tunnel_client
from deadweight.toolchain import helper_programs
from deadweight_attacks import helper


def test_a_program_is_built_once_and_anew_where_its_source_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path))
    made = []
    monkeypatch.setattr(
        helper_programs, "_compiled", lambda architecture, _source: made.append(architecture) or b"program"
    )
    first = helper_programs.built("amd64", helper.SOURCE)
    assert helper_programs.built("amd64", helper.SOURCE) == first
    assert helper_programs.built("amd64", tunnel_client.SOURCE) != first
    monkeypatch.setattr(helper_programs, "source_digest", lambda *_: "f" * 64)
    assert helper_programs.built("amd64", helper.SOURCE) != first
    assert made == ["amd64", "amd64", "amd64"]


@pytest.mark.tools
@pytest.mark.parametrize(
    "source", [helper.SOURCE, tunnel_client.SOURCE, recorders.SOURCE], ids=lambda source: source.name
)
@pytest.mark.parametrize("architecture", sorted(set(helper_programs.ARCHITECTURES.values())))
def test_each_compiles_for_both_architectures(source, architecture):
    env = {**os.environ, "GOARCH": architecture, "GOOS": "linux", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(["go", "vet", "."], cwd=source, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_architecture_that_they_are_not_made_for_is_told():
    with pytest.raises(DeadweightError, match="does not support riscv64"):
        helper_programs.go_architecture("riscv64")
