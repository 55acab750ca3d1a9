"""What a service calls and which files it reaches, in a Podman without root: nothing is bound in, and no root is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.checks.protocol import Subject
from deadweight.checks.scan.reach import Observation, observed
from deadweight.engine.client import Engine
from deadweight.engine.options import hardened_for
from deadweight.engine.seccomp import floor, profile
from deadweight.engine.seccomp.kinds import HELD
from deadweight.engine.seccomp.runtime import runtime_of
from deadweight.trials.harden.trial import PURPOSE, attempt
from deadweight.trials.seccomp import recorder
from tests.support.rootless_podman import missing, rootless_podman
from tests.support.small_images import reference
from tests.support.small_project import own_leftovers, put_built, subject_of, write_suite

pytestmark = [
    pytest.mark.engine,
    pytest.mark.tools,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="to become another user needs root"),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}"),
]
SUITE = """\
name: p
variants:
  app:
    builder: ko
    checks:
      api:
        - name: adds
          request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 6 * 7 }'}}
"""


@pytest.fixture(scope="module")
def subject(playground_archive, tmp_path_factory) -> Iterator[Subject]:
    with rootless_podman() as (host, _), Engine.connect(host, project="deadweight-rootless") as engine:
        engine.load(playground_archive, reference("playground"))
        suite = write_suite(tmp_path_factory.mktemp("rootless"), SUITE)
        built = put_built(suite, "app", playground_archive, reference("playground"))
        made = subject_of(suite, "app", built, playground_archive, engine)
        yield made
        made.service.close()
        assert [each.name for each in own_leftovers(engine) if each.kind == "container"] == []


def test_the_service_its_awk_and_its_libraries_are_seen(subject):
    found = observed(subject, may_run=True)
    assert isinstance(found, Observation), found
    names = {path.rpartition("/")[2] for path in found.opened}
    assert {"/app", "/usr/bin/awk"} <= set(found.executed)
    assert any(name.startswith("libc.so") for name in names)
    assert not any(path.startswith(("/proc/", "/sys/", "/.deadweight")) for path in found.opened)


def test_a_profile_of_what_was_recorded_lets_the_service_work_and_nothing_else_through(subject, tmp_path: Path):
    """Recorded, completed by what the runtime needs, and tried, as the search does before it leaves calls out."""
    runtime = runtime_of(subject.engine())
    needed = floor.kept_floor(runtime) or floor.find(runtime)
    with subject.engine().network(PURPOSE, internal=True) as network:
        options = hardened_for(subject.variant).but(network=network)
        engines = recorder.allowed(subject, options, "amd64")
        trial, recording = recorder.recorded(subject, options, None, "amd64")
        assert trial.problem == ""
        assert [phase.name for phase in recording.phases] == ["start", "adds", "idle", "end"]
        assert recording.seen_in("listen") == ("start",)
        assert recording.linker.startswith("/lib64/ld-linux") or not recording.linker
        calls = {*needed.calls, *(recording.calls & {*engines, *HELD})}
        assert len(calls) < 100 < len(engines)
        for refused, works in (("", True), ("listen", False)):
            file = profile.write(tmp_path / "p.json", profile.document(calls - {refused}, recording.families, "amd64"))
            seen = attempt(subject, options.but(seccomp=str(file)))
            assert (seen.problem == "") is works, seen.problem


def test_what_the_attackers_program_needs_is_recorded(subject):
    calls = recorder.rehearsed(subject, hardened_for(subject.variant), "amd64").calls
    assert {"execve", "prctl", "write"} <= calls


def test_a_program_that_is_not_there_is_told_as_it_says_itself(subject):
    """It ends before anybody can listen."""
    options = hardened_for(subject.variant).but(entrypoint=("/nowhere",))
    trial, recording = recorder.recorded(subject, options, None, "amd64")
    assert "/nowhere: no such file or directory" in trial.problem
    assert recording.calls == frozenset()
