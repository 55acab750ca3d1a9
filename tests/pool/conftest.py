"""What the tests with real daemons share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.pool_project import PoolProject, listening
from tests.support.small_images import go_program


@pytest.fixture(scope="module")
def worker(tmp_path_factory) -> Path:
    """The program of each instruction."""
    return go_program(ROOT / "tests/services/worker", tmp_path_factory.mktemp("worker") / "worker")


@pytest.fixture
def project(world, worker, tmp_path) -> Iterator[PoolProject]:
    """For the daemons of a test file's own ``world``."""
    with listening(world["a"].home) as reports:
        yield PoolProject(tmp_path / "project", worker, reports)
