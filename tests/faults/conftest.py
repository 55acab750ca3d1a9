"""A project that tests break things under."""

from collections.abc import Iterator

import pytest

from tests.support.fault_project import FaultProject


@pytest.fixture
def project(request, tmp_path) -> Iterator[FaultProject]:
    """Built by the ``SCRIPT`` of the test's file. Whatever a test did to it, the next build is right."""
    made = FaultProject.make(tmp_path, v=request.module.SCRIPT)
    yield made
    made.suite(v=request.module.SCRIPT)
    made.builds()
