"""Work that Dockerfile variants share is run once by BuildKit: counted by the runs themselves, in a cache mount.

(That ko and melange compile a package once is in test_builders_apko; that our own Dockerfiles share their compile instructions to
the letter, in test_builders_dockerfile.)
"""

from __future__ import annotations

import re
import uuid

import pytest

from deadweight.builders import table
from deadweight.plan.graph import make_plan
from deadweight.plan.scheduler import run_plan
from deadweight.records.built_image import Base
from tests.support.builder_site import GivenSource, Project, Silent

pytestmark = pytest.mark.system

VARIANTS = ("a", "b", "c")


@pytest.fixture
def project(tmp_path, engine, tools_image):
    """Three variants with one compile stage that takes a moment and writes down that it ran, and one that tells the count."""
    mount = f"--mount=type=cache,id={uuid.uuid4().hex},target=/count"
    compiled = f"ARG BASE\nFROM ${{BASE}} AS build\nCOPY src /src\nRUN {mount} echo ran >> /count/runs; sleep 0.5\n"
    base = Base("tools", tools_image, None, stand_in=True)
    made = Project(tmp_path, GivenSource({"tools": base}), lambda: engine)
    made.write({"app/src/main.go": f"// {uuid.uuid4().hex}\n"})
    suite = ""
    for name in VARIANTS:
        made.write({f"{name}.Dockerfile": f"{compiled}FROM ${{BASE}}\nCOPY --from=build /src /{name}\n"})
    made.write({"count.Dockerfile": f"ARG BASE\nFROM ${{BASE}}\nRUN {mount} cat /count/runs && false\n"})
    for name in (*VARIANTS, "count"):
        suite += f"  {name}:\n    builder: dockerfile\n    dockerfile: {name}.Dockerfile\n    source: app\n"
        suite += "    bases: {BASE: tools}\n"
    made.suite(suite, name="once")  # its own: other files remove what is called small
    yield made
    for image in engine.api.images():
        for tag in image.get("RepoTags") or ():
            if tag.startswith("deadweight/once/"):
                engine.images.remove(tag, force=True)


def build(project: Project, *names: str):
    site = project.site
    variants = [variant for variant in site.suite.variants if variant.name in names]
    plan = make_plan(variants, site, lambda variant: table.builder(variant.builder))
    return run_plan(plan, site.state, Silent(), jobs=2)


def runs(project: Project) -> int:
    """How often the shared stage ran: the build that tells it fails on purpose, so that its answer is never cached.

    Only lines with a step's number count: buildx says the last ones of a failed step again, without it.
    """
    build(project, "count")
    log = project.log("count")
    return len(re.findall(r"^#\d+ [\d.]+ ran$", log[log.rindex("$ ") :], re.MULTILINE))


def test_the_shared_stage_runs_once_for_all_variants_and_once_more_after_a_change(project):
    assert [outcome.result for outcome in build(project, *VARIANTS)] == ["built"] * 3
    assert runs(project) == 1
    project.write({"app/src/main.go": f"// {uuid.uuid4().hex}\n"})
    assert [outcome.result for outcome in build(project, *VARIANTS)] == ["built"] * 3
    assert runs(project) == 2
    assert [outcome.result for outcome in build(project, *VARIANTS)] == ["cached"] * 3
    assert runs(project) == 2
