"""How a project's own tests use a running variant: the fixture ``deadweight_container`` of the pytest plugin.

A project needs no more than the test functions below. Here the images come from another fixture, so that these tests need not
wait until all variants of our own suite are built.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deadweight.project.workspace import Workspace
from tests.support.small_project import put_built, write_suite

pytestmark = pytest.mark.system


@pytest.fixture(scope="session")
def deadweight_workspace(tmp_path_factory, playground_archive, playground_image) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("demo")
    suite = write_suite(
        root, "name: demo\ndefaults: {port: 8080, health: {path: /healthz}}\nvariants: {plain: {builder: ko}}"
    )
    put_built(suite, "plain", playground_archive, playground_image)
    with Workspace(suite, print) as workspace:
        yield workspace


@pytest.fixture(scope="session")
def awk(deadweight_container):
    """Runs a script in the container and gives the answer's JSON."""

    def run(script: str, text: str = "", *args: str) -> dict[str, object]:
        answer = deadweight_container("plain").request(
            "POST", "/api/v1/awk", json={"script": script, "input": text, "args": list(args)}
        )
        assert answer.status == 200, answer.text()
        document: dict[str, object] = answer.json()
        return document

    return run


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_text_comes_back_as_it_went(awk, text):
    assert awk("{ print }", text + "\n")["stdout"] == text + "\n"


def test_the_hardened_container_lets_nothing_be_written(awk):
    answer = awk('BEGIN { print "x" > "/here"; print "not reached" }')
    assert answer["exit_code"] != 0
    assert "not reached" not in str(answer["stdout"])


def test_there_is_no_shell_to_start(awk):
    assert awk('BEGIN { print system("echo out") }')["stdout"] != "out\n0\n"
