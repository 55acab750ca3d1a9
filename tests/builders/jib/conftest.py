"""Maven projects for tests of the jib builder, and the Maven that stays between their builds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.builders.jib import resident_maven as resident
from tests.support.builder_site import GivenSource, Project
from tests.support.java_projects import PROJECT, SUITE, emptied


@pytest.fixture(scope="module")
def resident_maven(tmp_path_factory) -> Iterator[tuple[Path, Path]]:
    """A folder for projects one after another, built through a Maven that stays, as a user's are, and the folder of its socket."""
    with tempfile.TemporaryDirectory(prefix="dw") as run:  # short: a socket lies in it
        yield tmp_path_factory.mktemp("maven"), Path(run)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", run)
            resident.end_all()


@pytest.fixture
def project(static_base, resident_maven, monkeypatch) -> Project:
    """A Maven project of one class, and a suite with one variant of it, ``v``. Its builds go through the Maven that stays."""
    root, run = resident_maven
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setenv(resident.VARIABLE, "1")
    return Project(emptied(root, kept="app"), GivenSource(static_base.bases)).write(PROJECT).suite(SUITE)
