"""Which engine of our own is started: the operating system's, or the current one that set-up builds."""

from __future__ import annotations

import os

import pytest

from deadweight._errors import MissingError
from deadweight.engine import daemon
from deadweight.engine.own import choice
from deadweight.engine.own import engine as own
from deadweight.project.survey import survey
from deadweight.toolchain import catalogue, copies


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
    assert own.layout().data.name == "engine"
    daemon.switch("current", print)
    assert own.layout().kind == "current"
    assert own.layout().data.name == "engine-current", "no engine reads the images of another"
    daemon.switch("os", print)
    assert own.layout().data.name == "engine"


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is told of sudo first")
def test_one_that_was_chosen_and_is_not_built_is_missing_and_set_up_builds_it():
    daemon.switch("current", print)
    with pytest.raises(MissingError, match=r"the engine that was chosen \(current\) is not built"):
        daemon.find_or_start(print)
    (found,) = survey(["engine"])
    assert (found.status, found.how, found.gettable) == ("missing", "started when it is built", True)


def test_all_of_its_programs_come_from_our_copies_and_are_first_on_its_path():
    put_in_place()
    assert choice.built()
    assert str(choice.dockerd("current")).startswith(str(copies.tools_folder()))
    folders = choice.path("current").split(os.pathsep)[:3]
    there = {path.name for folder in folders for path in copies.tools_folder().joinpath(folder).iterdir()}
    assert {"dockerd", "docker-proxy", "containerd", "containerd-shim-runc-v2", "runc"} <= there


@pytest.mark.parametrize("file", ["dockerd", "docker-proxy"])
def test_a_damaged_program_of_a_copy_is_seen_whichever_it_is(file):
    put_in_place()
    entry = catalogue.program("moby")
    assert copies.sound(entry)
    (copies.folder(entry) / file).write_text("#!/bin/sh\n")
    assert not copies.sound(entry)
