"""Variants that are derived from a repository's own Dockerfile, built and run for real, in languages that have no recipe."""

from __future__ import annotations

import os
import re

import pytest
import yaml

from deadweight.engine.options import RunOptions
from deadweight.project.load_suite import load_suite
from deadweight.suite.model import Health
from tests.init.no_recipe import OPERATIONS, SERVICES
from tests.init.test_proved import run
from tests.support.small_images import forget_images
from tests.support.trees import written

SETTINGS = ("User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Labels", "Env")


@pytest.fixture
def project(request, engine, tmp_path):
    """A service in a language without a recipe; its images go at the end."""
    name = f"derived{request.param}{os.getpid()}"
    root = written(tmp_path / name, SERVICES[request.param])
    yield root
    forget_images(engine, f"deadweight/{name}/")


@pytest.fixture
def nonroot(engine, tmp_path):
    """A service whose user and working folder are those of its base; its images go at the end."""
    name = f"nonroot{os.getpid()}"
    source = SERVICES["cpp"]["Dockerfile"].partition("FROM debian:12\n")[0].replace("g++ -O1", "g++ -static")
    source += "FROM gcr.io/distroless/static-debian12:nonroot\nENV SHOP_VERSION=7 GREETING=hi\n"
    source += 'COPY --from=build /server /\nCMD ["/server"]\n'
    yield written(tmp_path / name, {**SERVICES["cpp"], "Dockerfile": source})
    forget_images(engine, f"deadweight/{name}/")


@pytest.mark.slow
def test_the_user_of_the_own_base_stays_on_another_one(engine, nonroot, capfd, monkeypatch):
    monkeypatch.chdir(nonroot)
    assert run("init", "--yes", "--minutes", "0") == 0, capfd.readouterr().err
    images = (engine.api.inspect_image(f"deadweight/{nonroot.name}/{name}:latest") for name in ("today", "chainguard"))
    settings = [(each["Config"]["User"], each["Config"]["WorkingDir"]) for each in images]
    assert settings == [("65532", "/home/nonroot")] * 2


def answers(engine, image: str) -> dict[str, tuple[int, bytes]]:
    """What every operation answers, also those that no suite has recorded."""
    with engine.start(image, RunOptions(publish=8080)) as container:
        container.wait_healthy(Health(path="/health", within_seconds=60))
        got = {path: container.http(8080).request("GET", path, timeout=20) for path in OPERATIONS}
    return {path: (each.status, each.body) for path, each in got.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "project",
    [pytest.param(name, marks=() if name == "cpp" else pytest.mark.services) for name in SERVICES],
    indirect=True,
)
def test_a_service_without_a_recipe_runs_on_its_own_files_alone(engine, project, capfd, monkeypatch):
    monkeypatch.chdir(project)
    code, said = run("init", "--yes", "--minutes", "0"), capfd.readouterr().err
    assert code == 0, said
    suite = load_suite(project / "deadweight.yaml")
    assert {"today", "minimal", "slim"} <= set(suite.names()), said
    prefix = f"deadweight/{suite.name}"
    own, minimal = (engine.api.inspect_image(f"{prefix}/{name}:latest") for name in ("today", "minimal"))
    for key in SETTINGS:
        assert minimal["Config"].get(key) == own["Config"].get(key), key
    assert minimal["Size"] < own["Size"] * 0.8
    expected = answers(engine, f"{prefix}/today:latest")
    assert {status for status, _ in expected.values()} == {200}
    assert answers(engine, f"{prefix}/minimal:latest") == expected
    assert answers(engine, f"{prefix}/slim:latest") == expected
    text = (project / "deadweight.yaml").read_text()
    assert yaml.safe_load(text)["variants"]["slim"]["bases"] == {"BASE": "debian:12-slim"}
    assert "#   another base: debian:12 -> debian:12-slim (Dockerfile:" in text
    assert re.search(r"^    #   not there: [^\n]*\bapt-get\b", text, re.MULTILINE)
