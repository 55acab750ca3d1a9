"""The nox sessions, run by nox itself."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from fault_project import FaultProject

from deadweight import nox_sessions


@pytest.mark.parametrize(("group", "words"), [("pytest-xdist>=3.6", 4), ("pytest", 0)])
def test_tests_run_side_by_side_where_the_project_brings_xdist(tmp_path, monkeypatch, group, words):
    (tmp_path / "pyproject.toml").write_text(f'[dependency-groups]\ntests = ["{group}"]\n')
    monkeypatch.chdir(tmp_path)
    assert len(nox_sessions._side_by_side()) == words


def test_one_broken_variant_does_not_keep_the_others_from_being_checked(tmp_path):
    """They are in JUnit, and the session fails at its end, for the build. No engine is asked for: then the check is skipped."""
    project = FaultProject.make(tmp_path, good="cp src/a.txt $OUT", bad="echo the compiler said this; exit 3")
    (project.root / "noxfile.py").write_text("from deadweight.nox_sessions import *\n")
    env = {**os.environ, "PYTHONPATH": str(project.plugins), "DOCKER_HOST": "unix:///nowhere.sock"}
    argv = [sys.executable, "-m", "nox", "-s", "verify"]
    done = subprocess.run(argv, cwd=project.root, env=env, text=True, capture_output=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "the compiler said this" in said
    cases = ElementTree.parse(project.state / "report" / "junit-verify.xml").iter("testcase")
    outcomes = {f"{case.get('classname')}.{case.get('name')}": [each.tag for each in case] for case in cases}
    assert {name.split(".")[-2]: tags[-1] for name, tags in outcomes.items()} == {"good": "skipped", "bad": "failure"}
    failures = [line for line in said.splitlines() if "failed with exit code" in line and "invoke build" in line]
    assert failures, said
    assert said.rstrip().splitlines()[-1].endswith("Session verify failed.")
