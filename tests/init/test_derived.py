"""Variants that are derived from a repository's own Dockerfile, built and run for real, in languages that have no recipe."""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from deadweight.engine.options import RunOptions
from deadweight.project.load_suite import load_suite
from deadweight.suite.model import Health
from tests.init.test_proved import run
from tests.support.small_images import forget_images

SETTINGS = ("User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "Volumes", "StopSignal", "Labels", "Env")


OPERATIONS = ("/health", "/prices", "/file", "/late", "/version", "/save", "/user")
"""What each service answers: data of its own, a file of its image, a module that is loaded when it is first asked for, a variable
of a build argument, a folder that it may write to."""
SERVICES = Path(__file__).parent / "corpus" / "no_recipe"


@pytest.fixture
def service(engine, tmp_path):
    """Gives the folder of a service in a language without a recipe; its images go at the end."""
    roots = []

    def copied(language: str) -> Path:
        roots.append(tmp_path / f"derived{language}{os.getpid()}")
        for name in ("common", language):
            shutil.copytree(SERVICES / name, roots[0], dirs_exist_ok=True)
        return roots[0]

    yield copied
    forget_images(engine, f"deadweight/{roots[0].name}/")


@pytest.mark.slow
def test_the_user_of_the_own_base_stays_on_another_one(engine, service, capfd, monkeypatch):
    """So does the working folder."""
    root = service("cpp")
    own = (root / "Dockerfile").read_text().partition("FROM debian:12\n")[0].replace("g++ -O1", "g++ -static")
    own += "FROM gcr.io/distroless/static-debian12:nonroot\nENV SHOP_VERSION=7 GREETING=hi\n"
    (root / "Dockerfile").write_text(own + 'COPY --from=build /server /\nCMD ["/server"]\n')
    monkeypatch.chdir(root)
    assert run("init", "--yes", "--minutes", "0") == 0, capfd.readouterr().err
    images = (engine.api.inspect_image(f"deadweight/{root.name}/{name}:latest") for name in ("today", "chainguard"))
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
    "language", ["cpp", *(pytest.param(name, marks=pytest.mark.services) for name in ("elixir", "lua", "perl"))]
)
def test_a_service_without_a_recipe_runs_on_its_own_files_alone(engine, service, capfd, monkeypatch, language):
    project = service(language)
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
