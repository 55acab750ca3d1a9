"""An engine that answers and can run nothing: it is missing, no image is blamed for it, and set-up gets it back."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deadweight._errors import MissingError, wording
from deadweight._run import run
from deadweight.checks import runner
from deadweight.engine import broken_engine, daemon
from deadweight.engine.client import Engine
from deadweight.engine.own import machine
from deadweight.engine.own.engine import layout
from deadweight.project.install import survey
from deadweight.project.needs import ENGINE
from deadweight.records.built_image import kept_name
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.tasks.verify import raise_if_bad
from deadweight.toolchain import golang
from tests.support.codes import codes
from tests.support.fault_project import wait_for
from tests.support.installing import install
from tests.support.invoking import TASKS, invoke, module
from tests.support.marks import NEEDS_DOCKERD
from tests.support.small_project import own_leftovers, put_built, subject_of, write_suite
from tests.support.trees import written

pytestmark = [pytest.mark.system, pytest.mark.engine, NEEDS_DOCKERD]
SUITE = """\
name: lonely
defaults: {port: 8080, health: {path: /healthz, within_seconds: 5}}
variants:
  v:
    {builder: dockerfile, source: src, dockerfile: Dockerfile,
     checks: {api: [{name: json, request: {path: /json}}], budget: {layers: {hard: 3}}}}
"""
IMAGE = "deadweight-tests/lonely:1"


@pytest.fixture
def ours(endpoint, alone, cache) -> str:
    """An engine of our own, as if there were no other; it and its data are removed at the end. The one of all tests is started
    before it, so that each has a bridge of its own."""
    return daemon.find_or_start(print).host


def probes(engine) -> set[str]:
    tags = {tag for image in engine.api.images() for tag in image.get("RepoTags") or ()}
    return {tag for tag in tags if tag.startswith("deadweight/probe")}


def test_a_well_engine_runs_the_probe_and_keeps_nothing_of_it(engine):
    before = probes(engine)  # of another run that looks at this engine now, or was killed while it did
    assert broken_engine.lost_engine(lambda: engine) is None
    assert not [leftover for leftover in own_leftovers(engine) if broken_engine.PURPOSE in leftover.name]
    wait_for(lambda: probes(engine) <= before, 20)  # another run may look at this engine just now


@pytest.mark.parametrize(("answers", "is_lost"), [(["it took long", ""], False), (["no bridge", "no bridge"], True)])
def test_an_engine_is_asked_twice_before_it_is_lost(monkeypatch, engine, answers, is_lost):
    monkeypatch.setattr(broken_engine, "trouble", lambda _: answers.pop(0))
    assert (broken_engine.lost_engine(lambda: engine) is not None) is is_lost


@pytest.mark.parametrize(("machine", "architecture"), golang.ARCHITECTURES.items())
def test_the_probe_is_a_program_of_its_architecture(machine, architecture, tmp_path):
    file, probe = tmp_path / "probe", broken_engine.elf(architecture)
    file.write_bytes(probe)
    file.chmod(0o755)
    assert len(probe) < 200
    if machine == os.uname().machine:
        assert subprocess.run([file], check=False, timeout=5).returncode == 0


@pytest.mark.slow
def test_an_engine_that_lost_its_bridge_is_missing_everywhere_and_set_up_mends_it(ours, tmp_path, misbehaving_archive):
    written(tmp_path, {"project/Dockerfile": "FROM scratch\nCOPY nowhere /\n", "project/src/a.txt": "a\n"})
    suite = write_suite(tmp_path / "project", SUITE)
    (suite.root / "tasks.py").write_text(TASKS)
    built = put_built(suite, "v", misbehaving_archive, IMAGE)
    with Engine.connect(ours) as engine:
        for name in (IMAGE, kept_name(IMAGE, built.config_digest)):
            engine.images.load(misbehaving_archive, name)
        assert survey([ENGINE])[0].present
        where = layout()
        run(["ip", "link", "delete", where.bridge if machine.bridge_exists(where.bridge) else "docker0"])
        nothing_is_blamed(runner.run_checks(subject_of(suite, "v", built, misbehaving_archive, engine)))
    (finding,) = survey([ENGINE])
    assert (finding.status, finding.how, finding.gettable) == ("unusable", daemon.START_ANEW, True)
    others_are_told(suite.root, ours)
    install([finding], print, log_folder=tmp_path / "logs")
    assert survey([ENGINE])[0].present
    with Engine.connect(ours) as engine:
        results = runner.run_checks(subject_of(suite, "v", built, misbehaving_archive, engine))
    assert [result.status for result in results] == ["pass", "pass", "pass"]


@pytest.mark.slow
def test_an_engine_that_lost_its_disk_is_missing_and_starts_over(ours, tmp_path):
    """It takes an image, says that it has it, and has none."""
    for folder in ("overlay2", "image"):
        shutil.rmtree(layout().data / folder, ignore_errors=True)
    (finding,) = survey([ENGINE])
    assert (finding.status, finding.how) == ("unusable", daemon.START_ANEW)
    assert codes(finding.reason)[:1] == ["engine.cannot_run"]
    with Engine.connect(daemon.find_running()) as engine:
        for problem, code in ((wording("engine.images_not_kept"), "set_up_anew"), ("no bridge", "set_up_again")):
            assert codes(broken_engine.remedy(engine, problem)) == [f"engine.{code}"]
    install([finding], print, log_folder=tmp_path / "logs")
    assert survey([ENGINE])[0].present


def nothing_is_blamed(results: list[Evidence]) -> None:
    states = {result.check: result.status for result in results}
    assert states == {"runs": "not_measured", "api": "not_measured", "budget": "pass"}
    for result in results[:2]:
        assert (result.data["missing"], result.code) == (True, "engine.cannot_run")
        assert "bridge" in result.reason
        assert "invoke setup" in result.data["hint"]
    with pytest.raises(MissingError, match="v/runs, v/api"):
        raise_if_bad(results)


def others_are_told(root: Path, host: str) -> None:
    """As somebody else's engine: by the tasks and the plugin, with the command that gets it back."""
    env = {"DOCKER_HOST": host, "DEADWEIGHT_CACHE_DIR": str(root / "cache")}
    for task in ("verify --check runs --check api", "run --variant v", "build", "doctor", "setup --yes --variant v"):
        done = invoke(root, *task.split(), code=3, env=env)
        assert host in done.stdout + done.stderr
        assert "hint: " in done.stderr
    words = ("-p", "no:cacheprovider", "deadweight.yaml", "-k", "runs or api")
    done = module("pytest", root, *words, env={**os.environ, **env}, timeout=100)
    assert done.returncode == 1, done.stdout
    for check in ("runs", "api"):
        kept = load(Evidence, State(root).evidence("v", check))
        assert (kept.status, kept.code) == ("not_measured", "engine.cannot_run")


def test_a_full_disk_is_told_as_that(engine, monkeypatch):
    """As Docker 29 with containerd's store said it of its own; it says so in the stream, and no image is there afterwards."""
    message = (
        'failed to ingest "config.json": failed to open writer: write /var/lib/docker/containerd/daemon/'
        "io.containerd.content.v1.content/ingest/4cb1/ref: no space left on device"
    )
    monkeypatch.setattr(engine.api, "load_image", lambda _archive: iter([{"error": message}]))
    error = broken_engine.lost_engine(lambda: engine)
    assert codes(error.args[0]) == ["engine.cannot_run", "engine.disk_full"]
    assert error.hint.code == "engine.free_space"
