"""``invoke clean``: what goes, and what other projects share and so stays."""

import os

import pytest

from deadweight.engine.options import RunOptions
from deadweight.project.clean import clean
from deadweight.project.workspace import Workspace
from deadweight.records.built_image import superseded
from tests.support.builder_site import on_tools
from tests.support.fault_project import FaultProject
from tests.support.small_images import forget_images

pytestmark = pytest.mark.system

SUITE = "  v:\n    builder: dockerfile\n    dockerfile: Dockerfile\n    port: 8080\n    bases: {BASE: tools}\n"
DOCKERFILE = "ARG BASE\nFROM ${BASE}\nCOPY hello /hello\nUSER 65532\n"
NAME = f"cleaned-{os.getpid()}"
IMAGES = f"deadweight/{NAME}/"
"""Of these tests alone: all of a project's images are counted, and other files build the same small project."""
SLEEPS = RunOptions(entrypoint=("/bin/sh",), args=("-c", "sleep 60"))


@pytest.fixture
def project(tmp_path, engine, tools_image):
    yield on_tools(tmp_path, engine, tools_image).write({"hello": "one\n", "Dockerfile": DOCKERFILE}).suite(SUITE, NAME)
    forget_images(engine, IMAGES)


def ours(engine) -> set[str]:
    tags = {tag for image in engine.api.images() for tag in image.get("RepoTags") or ()}
    return {tag for tag in tags if tag.startswith(IMAGES)}


@pytest.mark.slow
def test_a_new_image_is_built_while_a_container_runs_from_the_old_one(project, engine):
    state = project.site.state
    first = project.build("v")
    with engine.start(first.reference, SLEEPS) as container:
        project.write({"hello": "two\n"})
        second = project.build("v")
        assert second.reference != first.reference
        assert ours(engine) >= {first.reference, second.reference, f"{IMAGES}v:latest"}
        assert container.exec(["/usr/bin/cat", "/hello"]).output == b"one\n"
        assert superseded(state) == (first.reference,)
        project.write({"hello": "one\n"})
        assert project.build("v").reference == first.reference
        assert superseded(state) == (), "what is in use again is not taken away later"
        project.write({"hello": "two\n"})
        project.build("v")
    workspace = Workspace.open(project.lines.append, project.root / "deadweight.yaml")
    with workspace:
        assert clean(workspace).images == 1
    assert first.reference not in ours(engine)
    assert ours(engine) >= {second.reference, f"{IMAGES}v:latest"}
    assert superseded(state) == ()


def test_all_of_a_project_goes_and_the_engine_stays(project, engine, tools_image, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    with engine.start(project.build("v").reference, SLEEPS):
        project.write({"hello": "two\n"})
        project.build("v")
    lines: list[str] = []
    suite = project.root / "deadweight.yaml"
    suite.write_text(suite.read_text().replace("  v:", "  w:"))  # the suite has another name for it meanwhile
    with Workspace.open(lines.append, suite) as workspace:
        clean(workspace, project=True)
    assert ours(engine) == set()
    assert engine.images.get(tools_image) is not None
    assert {path.name for path in project.site.state.folder.rglob("*") if path.is_file()} <= {"lock", "lock.holder"}
    assert not lines, "nothing that others share is ended"


def test_the_task_says_what_it_removed(tmp_path):
    project = FaultProject.make(tmp_path, v='cp src/a.txt "$OUT"')
    project.more["DEADWEIGHT_CACHE_DIR"] = str(tmp_path / "cache")
    project.invoke("build", code=0)
    assert "0 images, 1 file (" in project.invoke("clean").errors, "the log"
    assert "stopping" not in project.invoke("clean", "--project", code=0).errors
    assert not (project.state / "images").exists()
