"""What several builders build on."""

from collections.abc import Iterator

import pytest

from tests.support import builder_site
from tests.support.builder_site import DONOR, IMAGES, STATIC, GivenSource, Project
from tests.support.small_images import forget_images


@pytest.fixture(scope="session")
def static_base(local_source) -> GivenSource:
    """A source of the base of most suites here, and of an image that gives files."""
    local_source.prepare([STATIC, DONOR], apk=False, say=print)
    return GivenSource({name: local_source.base(name) for name in (STATIC, DONOR)})


@pytest.fixture
def on_tools(tmp_path, engine, tools_image) -> Iterator[Project]:
    """A Dockerfile project on the image with a shell; what it builds is removed."""
    project = builder_site.on_tools(tmp_path, engine, tools_image).write({"hello": "hello\n"})
    yield project.suite("  v:\n    builder: dockerfile\n    dockerfile: Dockerfile\n    bases: {BASE: tools}\n")
    forget_images(engine, IMAGES)
