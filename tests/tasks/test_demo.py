"""``demo`` as users call it, on a small project."""

from __future__ import annotations

import json

import pytest

from tests.support.fault_project import FaultProject

pytestmark = pytest.mark.system


def test_what_could_not_be_built_is_not_verified_in_its_old_image(tmp_path, playground_archive):
    """No engine is asked for: the checks that are run are told as not measured, which is enough to see them."""
    copy = f"cp {playground_archive} $OUT"
    project = FaultProject.make(tmp_path, v=copy, w=copy)
    project.more["DOCKER_HOST"] = "unix:///nowhere.sock"
    assert project.invoke("build").code == 0
    project.suite(v="exit 1", w=copy)
    (project.root / "src" / "a.txt").write_text("b\n")
    done = project.invoke("demo", "--yes")
    assert done.code == 1, done.errors
    assert "w: runs: not measured" in done.errors
    assert "v: runs" not in done.errors
    report = json.loads((project.state / "report" / "report.json").read_text())
    assert report["variants"]["v"]["build"]["failed_at"] is not None
    assert report["variants"]["w"]["build"]["failed_at"] is None
