"""A workspace asks for nothing before it is needed."""

from __future__ import annotations

import pytest

from deadweight.project.workspace import Workspace
from deadweight.sources import choose
from tests.support.small_project import write_suite

SUITE = """\
    name: lazy
    variants:
      v: {builder: ko, source: ., base: "cgr.dev/chainguard/static:latest"}
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the source was decided, which asks the network")

    monkeypatch.setattr(choose, "choose", refuse)
    (tmp_path / "go.mod").write_text("module example.invalid/lazy\n")
    return Workspace(write_suite(tmp_path, SUITE), print)


def test_reading_what_was_built_decides_no_source(workspace, misbehaving_archive):
    from tests.support.small_project import put_built

    (variant,) = workspace.suite.variants
    put_built(workspace.suite, "v", misbehaving_archive, "deadweight/lazy/v:latest")
    assert workspace.archive(variant).is_file()
    assert workspace.subject(variant).archive().is_file()


def test_a_plan_does(workspace):
    (variant,) = workspace.suite.variants
    with pytest.raises(AssertionError, match="was decided"):
        workspace.builder(variant).steps(variant, workspace.site)
