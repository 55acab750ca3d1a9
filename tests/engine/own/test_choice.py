"""Which engine of our own is started: the operating system's, or the current one that set-up builds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import MissingError
from deadweight.engine import daemon
from deadweight.engine.daemon import Endpoint
from deadweight.engine.own import choice
from deadweight.engine.own.layout import layout
from deadweight.engine.places import Place
from deadweight.project.needs import tools_of
from deadweight.project.survey import survey
from deadweight.project.workspace import Workspace
from deadweight.toolchain import catalogue, copies
from deadweight.toolchain import find as find_module
from deadweight.toolchain.probe import tools_folder
from tests.support.builder_site import GivenSource
from tests.support.pretended_engine import HONEST, Pretended, pretended


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(daemon, "places", lambda: iter(()))  # no engine of the machine's answers


def put_in_place():
    """What set-up would build, as empty programs."""
    for name in choice.PROGRAMS:
        entry = catalogue.program(name)

        def fill(folder, entry=entry):
            for file in entry.files:
                (folder / file).write_text("#!/bin/sh\necho version 29.0.0\n")

        copies.make(entry, fill)


def test_the_operating_systems_is_started_unless_another_was_chosen():
    assert choice.chosen() == "os"
    assert layout().data.name == "engine"
    daemon.switch("current", print)
    assert layout().kind == "current"
    assert layout().data.name == "engine-current", "no engine reads the images of another"
    daemon.switch("os", print)
    assert layout().data.name == "engine"


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is told of sudo first")
def test_one_that_was_chosen_and_is_not_built_is_missing_and_set_up_builds_it():
    daemon.switch("current", print)
    with pytest.raises(MissingError, match=r"the chosen engine \(current\) is not built"):
        daemon.find_or_start(print)
    (found,) = survey(["engine"])
    assert (found.status, found.how, found.gettable) == ("missing", "started when it is built", True)


def test_all_of_its_programs_come_from_our_copies_and_are_first_on_its_path():
    put_in_place()
    assert choice.built()
    assert str(choice.dockerd("current")).startswith(str(tools_folder()))
    folders = choice.path("current").split(os.pathsep)[:3]
    there = {path.name for folder in folders for path in tools_folder().joinpath(folder).iterdir()}
    assert {"dockerd", "docker-proxy", "containerd", "containerd-shim-runc-v2", "runc"} <= there


@pytest.mark.parametrize("file", ["dockerd", "docker-proxy"])
def test_a_damaged_program_of_a_copy_is_seen_whichever_it_is(file):
    put_in_place()
    entry = catalogue.program("moby")
    assert copies.sound(entry)
    (copies.folder(entry) / file).write_text("#!/bin/sh\n")
    assert not copies.sound(entry)


@pytest.fixture
def demanding(tmp_path) -> Iterator[Pretended]:
    """An engine that answers, and takes no client older than its API 1.44."""
    with pretended(tmp_path) as server:
        server.documents["/version"] = {**HONEST, "MinAPIVersion": "1.44"}
        yield server


def client(folder, monkeypatch, api):
    """A Docker client of the age of Debian 12's, alone on PATH."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *DefaultAPIVersion*) echo {api};; *) echo Docker version 20.10.24;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setattr(find_module, "PLUGIN_FOLDERS", ())


def test_a_client_that_is_too_old_for_the_engine_is_told_before_a_build_with_both_ways_out(
    demanding, tmp_path, monkeypatch
):
    endpoint = Endpoint(demanding.host, ours=False)
    client(tmp_path / "bin", monkeypatch, "1.41")
    with pytest.raises(
        MissingError, match=r"too old for this engine: .* up to 1\.41, but this engine requires 1\.44"
    ) as told:
        daemon.docker_cli(endpoint)
    assert "run invoke setup to get a newer buildx" in str(told.value.hint)
    assert "DOCKER_HOST" in str(told.value.hint)
    demanding.documents["/version"] = {**HONEST, "MinAPIVersion": "1.40"}
    assert daemon.docker_cli(endpoint).docker == str(tmp_path / "bin" / "docker")


def test_set_up_brings_a_buildx_where_the_client_is_too_old(demanding, tmp_path, monkeypatch):
    endpoint = Endpoint(demanding.host, ours=False)
    client(tmp_path / "bin", monkeypatch, "1.41")
    monkeypatch.setattr(daemon, "places", lambda: iter((Place(endpoint.host, "the test"),)))
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
