"""An engine that is killed under a build."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from deadweight._errors import DeadweightError
from deadweight.engine import daemon
from deadweight.engine.client import Engine
from deadweight.engine.own import engine as own
from deadweight.engine.own.engine import layout
from deadweight.records import runs
from deadweight.records.built_image import Base
from deadweight.records.paths import State
from tests.support.builder_site import GivenSource, Project
from tests.support.fault_project import wait_for
from tests.support.invoking import invoke
from tests.support.marks import NEEDS_DOCKERD
from tests.support.small_images import docker_archive, program
from tests.support.small_project import write_suite

pytestmark = pytest.mark.system

NAME = "deadweight-tests/killed-base:1"


@pytest.mark.slow
@NEEDS_DOCKERD
def test_kill_9_of_the_engine_while_it_builds(request, monkeypatch, tmp_path):
    """An engine of our own, as if there were no other; it and its data are removed at the end."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(daemon, "endpoints", lambda: iter(()))
    request.addfinalizer(daemon.remove_data)
    with Engine.connect(daemon.find_or_start(print), project="deadweight-tests") as engine:
        files = {"/bin/sh": "/usr/bin/dash", "/etc/hostname": b"x\n"}
        files |= {**program("dash"), **program("sleep"), **program("cat")}
        config = {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]}
        engine.images.load(docker_archive(tmp_path / "base.tar", NAME, [files], config))
    engines: list[Engine] = []

    def engine_now() -> Engine:
        engines.append(Engine.connect(daemon.find_or_start(print), project="deadweight-tests"))
        return engines[-1]

    project = Project(tmp_path / "project", GivenSource({"base": Base("base", NAME, None, stand_in=True)}), engine_now)
    project.write({"hello": "hello\n", "Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY hello /hello\nRUN sleep 3\n"})
    project.suite("  v:\n    builder: dockerfile\n    dockerfile: Dockerfile\n    bases: {BASE: base}\n")
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(project.build, "v")
        wait_for(lambda: any("RUN sleep" in line for line in project.lines) or building.done(), 60)
        assert not building.done(), building.exception()
        pid = own._our_pid(layout())
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        error = building.exception(30)
    assert isinstance(error, DeadweightError)
    assert error.exit_code == 1
    assert str(project.site.state.log("v")) in str(error)
    assert not (project.site.state.image("v") / "built.json").exists()
    built = project.build("v")  # finds none running and starts it over what the killed one left
    assert engine_now().images.get(built.reference).id == built.config_digest
    assert project.steps("v")[0].there()
    for client in engines:
        client.close()


def test_a_build_that_failed_leaves_no_note(endpoint, tmp_path):
    """The next command would take it for one that was killed, and look for what it left."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY nowhere /\n")
    variants = "variants: {v: {builder: dockerfile, dockerfile: Dockerfile, source: .}}\n"
    write_suite(tmp_path, f"name: demo\ndefaults: {{port: 8080, health: {{path: /healthz}}}}\n{variants}")
    assert "COPY" in invoke(tmp_path, "build", code=1, env=dict(endpoint.cli_env)).stderr
    assert not runs.there(State(tmp_path))
