"""The nox sessions, run by nox itself."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deadweight._errors import wording
from tests.support import ROOT
from tests.support.fault_project import FaultProject
from tests.support.trees import written
from tests.test_docs import SESSIONS

pytestmark = pytest.mark.system


def listed(folder: Path) -> dict[str, bool]:
    """Each session of a project, and whether plain ``nox`` runs it."""
    output = subprocess.check_output([sys.executable, "-m", "nox", "--list"], cwd=folder, text=True, timeout=120)
    return {match[2]: match[1] == "*" for match in re.finditer(r"^([*-]) (\S+)", output, re.MULTILINE)}


def test_a_project_gets_the_sessions_that_are_for_projects(tmp_path):
    """Not those of this repository: their tools, tests and folders are not there."""
    suite = "name: shop\nvariants: {today: {builder: ko}}\ndefaults: {port: 8080}\n"
    written(tmp_path, {"noxfile.py": "from deadweight.nox_sessions import *\n", "deadweight.yaml": suite})
    assert listed(tmp_path) == {"verify": True, "verify-today": False}


def test_this_repository_has_its_own_beside_them():
    sessions = listed(ROOT)
    assert [name for name, chosen in sessions.items() if chosen] == ["tests", "lint", "types"]
    assert {"verify-ko", *SESSIONS} <= set(sessions)


def nox(project, session):
    """No engine is asked for, and none is there."""
    project.more["DOCKER_HOST"] = "unix:///nowhere.sock"
    return project.nox(session)


@pytest.mark.slow
def test_one_broken_variant_does_not_keep_the_others_from_being_checked(tmp_path):
    """They are in JUnit, and the session fails at its end, for the build. Without an engine its check fails, as not measured."""
    project = FaultProject.make(tmp_path, good="cp src/a.txt $OUT", bad="echo the compiler said this; exit 3")
    code, output = nox(project, "verify")
    assert code == 1, output
    assert "the compiler said this" in output
    cases = ElementTree.parse(project.state / "report" / "junit-verify.xml").iter("testcase")
    outcomes = {f"{case.get('classname')}.{case.get('name')}": [child.tag for child in case] for case in cases}
    assert {name.split(".")[-2]: tags[-1] for name, tags in outcomes.items()} == {"good": "failure", "bad": "failure"}
    assert [line for line in output.splitlines() if "failed with exit code" in line and "invoke build" in line], output
    assert output.rstrip().splitlines()[-1].endswith("Session verify failed.")


@pytest.mark.slow
def test_a_variant_is_checked_against_the_one_that_it_is_to_be_smaller_than(tmp_path, playground_archive):
    """That one is built for it, and not checked; what is not smaller fails the session."""
    copy = f"cp {playground_archive} $OUT"
    project = FaultProject.make(tmp_path, small=copy, large=copy, third="exit 3")
    suite = project.root / "deadweight.yaml"
    budget = "    checks: {budget: {smaller_than: large}}\n"
    suite.write_text(suite.read_text().replace("  large:\n", f"{budget}  large:\n"))
    code, output = nox(project, "verify-small")
    assert code == 1, output
    message = wording("checks.not_smaller", size="\n", variant="large", other="\n")  # sizes are not known here
    assert all(words in output for words in message.split("\n"))
    cases = ElementTree.parse(project.state / "report" / "junit-small.xml").iter("testcase")
    assert {case.get("classname").split(".")[-1] for case in cases} == {"small"}
