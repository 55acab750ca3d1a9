"""A Docker client that is too old for the engine: it is told before a build, and set-up brings a newer buildx."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import MissingError
from deadweight.engine import daemon
from deadweight.engine.api import Endpoint
from deadweight.project.needs import tools_of
from deadweight.project.workspace import Workspace
from deadweight.toolchain import find as find_module
from tests.support.builder_site import GivenSource
from tests.support.codes import details, raises
from tests.support.pretended_engine import HONEST, Pretended, pretended
from tests.support.trees import shell_script


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(daemon, "endpoints", lambda: iter(()))  # no engine of the machine's answers


@pytest.fixture
def demanding(tmp_path) -> Iterator[Pretended]:
    """An engine that answers, and takes no client older than its API 1.44."""
    with pretended(tmp_path) as server:
        server.documents["/version"] = {**HONEST, "MinAPIVersion": "1.44"}
        yield server


def client(folder, monkeypatch, api):
    """A Docker client of the age of Debian 12's, alone on PATH."""
    said = f'case "$*" in *DefaultAPIVersion*) echo {api};; *) echo Docker version 20.10.24;; esac'
    shell_script(folder / "docker", said)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setattr(find_module, "PLUGIN_FOLDERS", ())


def test_a_client_that_is_too_old_for_the_engine_is_told_before_a_build_with_both_ways_out(
    demanding, tmp_path, monkeypatch
):
    endpoint = Endpoint(demanding.host, ours=False)
    client(tmp_path / "bin", monkeypatch, "1.41")
    with raises(MissingError, "engine.client_too_old") as told:
        daemon.docker_cli(endpoint)
    problem = details(told.value).fields["problem"].fields
    assert (problem["newest"], problem["oldest"]) == ("1.41", "1.44")
    demanding.documents["/version"] = {**HONEST, "MinAPIVersion": "1.40"}
    assert daemon.docker_cli(endpoint).docker == str(tmp_path / "bin" / "docker")


def test_set_up_brings_a_buildx_where_the_client_is_too_old(demanding, tmp_path, monkeypatch):
    endpoint = Endpoint(demanding.host, ours=False)
    client(tmp_path / "bin", monkeypatch, "1.41")
    monkeypatch.setattr(daemon, "endpoints", lambda: iter((Endpoint(endpoint.host, why="the test"),)))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    Path("Dockerfile").write_text("FROM scratch\nCOPY x /x\n")
    Path("x").write_text("x")
    Path("deadweight.yaml").write_text(
        "name: s\ndefaults: {port: 8080, health: {path: /healthz}}\n"
        "variants:\n  v: {builder: dockerfile, dockerfile: Dockerfile, source: .}\n"
    )
    with Workspace.open(print) as workspace:
        workspace.source = GivenSource()
        assert "buildx" in tools_of(workspace, workspace.suite.variants)
        demanding.documents["/version"] = {**HONEST, "MinAPIVersion": "1.40"}
        assert "buildx" not in tools_of(workspace, workspace.suite.variants)
