"""Images of the Java service with a JVM in them: their layers, and, run for real, the API and attacks."""

import os
import re

import pytest

from deadweight.builders.table import builder
from deadweight.checks.layers import CHECK as LAYERS
from deadweight.checks.protocol import Subject
from deadweight.checks.runs import CHECK as RUNS
from deadweight.sources.settings import record
from deadweight_attacks import run as attacking
from deadweight_workload.api import CHECK as API
from tests.support.attack_grounds import left, only
from tests.support.builder_site import DEMO, Project, demo
from tests.support.small_images import forget_image
from tests.support.small_project import own_leftovers, subject_of

pytestmark = [pytest.mark.tools, pytest.mark.slow]

NAMES = ("jib", "jib-distroless")
ATTACKS = ("system", "write-root", "environ")


@pytest.fixture(scope="module")
def project(local_source, tmp_path_factory):
    """Both variants as our own suite has them, built from a copy of the service. The engine is shared: a name of our own."""
    root = demo(tmp_path_factory.mktemp("java-image"), f"java-image-{os.getpid()}", DEMO[-1:])
    text = (root / "deadweight.yaml").read_text()
    suite = {"deadweight.yaml": re.sub(r"blocked:\s*\[[^]]*\]", "blocked: [write-root]", text)}
    made = Project(root, local_source).write(suite)
    needs = [builder("jib").needs(made.variant(name), made.root).bases for name in NAMES]
    local_source.prepare([*needs[0], *needs[1], "busybox:1.36.1-musl"], apk=False, say=print)
    record(made.site.state, source="local")
    for name in NAMES:
        made.build(name)
    return made


def subject(project, name: str, engine=None) -> Subject:
    record = project.build_record(name)
    return subject_of(project.site.suite, name, record, project.archive(name, record), engine)


@pytest.mark.parametrize("name", NAMES)
def test_the_layers_are_told_apart_and_nothing_secret_is_in_them(project, name):
    evidence = LAYERS.run(subject(project, name))
    assert (evidence.status, list(evidence.data["secrets"])) == ("pass", [])
    steps = [layer["instruction"] for layer in evidence.data["layers"]]
    kinds = ("dependencies", "resources", "classes", "jvm arg files")
    assert [kind for kind in kinds if any(f"({kind})" in step for step in steps)] == list(kinds)
    assert bool([shell["path"] for shell in evidence.data["shells"]]) is (name == "jib")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_answers_and_is_attacked_like_any_other(project, engine, name, monkeypatch):
    monkeypatch.setattr(attacking, "suite_payloads", lambda *_: only(*ATTACKS))  # to keep it short
    one = subject(project, name, engine)
    engine.images.load(one.archive())
    try:
        runs, api = RUNS.run(one), API.run(one)
        attacked = attacking.attack(one, postures=("hardened",))
    finally:
        one.service.close()
        forget_image(engine, one.built.reference)
    assert own_leftovers(engine) == []
    assert (runs.status, api.status) == ("pass", "pass"), (runs.reason, api.reason)
    assert runs.data["user"].startswith("65532")
    opened, cells = (attacked.data["postures"][posture] for posture in ("open", "hardened"))
    outcome = {attack: cell["outcome"] for attack, cell in cells.items()}
    system = "succeeded" if name == "jib" else "blocked"
    assert outcome == {"environ": "succeeded", "write-root": "blocked", "system": system}
    assert "Read-only file system" in cells["write-root"]["reason"]
    # with a shell bound in it works: so the image, which has none, is what stops it
    assert ("control" in opened["system"]["evidence"]) is (name == "jib-distroless")
    assert left(engine) == []
