"""Our own small Go programs: built once, and anew where their source changed."""

from __future__ import annotations

import os
import subprocess

import pytest

from deadweight._errors import DeadweightError
from deadweight.engine import recorders, through
from deadweight.toolchain import own_programs
from deadweight_attacks import helper


def test_a_program_is_built_once_and_anew_where_its_source_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path))
    made = []
    monkeypatch.setattr(
        own_programs, "_compiled", lambda architecture, _source: made.append(architecture) or b"program"
    )
    first = own_programs.built("amd64", helper.SOURCE)
    assert own_programs.built("amd64", helper.SOURCE) == first
    assert own_programs.built("amd64", through.SOURCE) != first
    monkeypatch.setattr(own_programs, "source_digest", lambda *_: "f" * 64)
    assert own_programs.built("amd64", helper.SOURCE) != first
    assert made == ["amd64", "amd64", "amd64"]


@pytest.mark.tools
@pytest.mark.parametrize("source", [helper.SOURCE, through.SOURCE, recorders.SOURCE], ids=lambda source: source.name)
@pytest.mark.parametrize("architecture", sorted(set(own_programs.ARCHITECTURES.values())))
def test_each_compiles_for_both_architectures(source, architecture):
    env = {**os.environ, "GOARCH": architecture, "GOOS": "linux", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(["go", "vet", "."], cwd=source, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_architecture_that_they_are_not_made_for_is_told():
    with pytest.raises(DeadweightError, match="does not support riscv64"):
        own_programs.go_architecture("riscv64")
