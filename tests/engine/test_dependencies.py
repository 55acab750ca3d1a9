"""What a service needs beside it is started before it, found by name, and gone after it."""

import json
from dataclasses import replace

import pytest

from deadweight._errors import ConfigError, DeadweightError, MissingError, wording
from deadweight.checks import runner
from deadweight.checks.service import Service, started_dependencies
from deadweight.engine import labels, sidecars
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health, Need
from deadweight_attacks.harden.trial import attempt
from tests.support.codes import codes, raises
from tests.support.small_images import reference
from tests.support.small_project import built_subject, own_leftovers, write_suite

MISBEHAVING = reference("misbehave")
pytestmark = pytest.mark.usefixtures("misbehaving_image")


@pytest.fixture(autouse=True)
def _nothing_left(engine):
    before = {entry.id for entry in engine.leftovers()}
    yield
    assert [entry for entry in own_leftovers(engine) if entry.labels[labels.VARIANT] and entry.id not in before] == []


def need(**fields) -> Need:
    return Need(image="example/misbehave:1", **{"port": 8080, **fields})


def test_files_of_the_project_are_there_and_cannot_be_changed(engine, tools_image, tmp_path):
    (tmp_path / "schema.sql").write_text("select 1;\n")
    script = 'test "$(cat /init/schema.sql)" = "select 1;" && ! echo x 2>/dev/null >/init/schema.sql'
    ends = {"port": None, "health": Health(kind="exit"), "args": ("/bin/sh", "-c", script)}
    one = need(files={"/init/schema.sql": "schema.sql"}, **ends)
    with started_dependencies(lambda: engine, {"seed": one}, lambda _name: tools_image, root=tmp_path) as hosts:
        assert hosts == {}  # a job has ended before the service is started


def test_one_that_does_not_come_up_is_named_with_its_last_words(engine, tmp_path):
    needs = {"db": need(env={"MODE": "dies-at-once"})}
    starting = started_dependencies(lambda: engine, needs, lambda _name: MISBEHAVING, root=tmp_path, variant="v")
    with raises(MissingError, "engine.dependency_down", name="db", image="example/misbehave:1") as caught, starting:
        pass
    assert codes(caught.value.fields["reason"]) == ["engine.ended_early", "engine.ended"]
    assert "cannot open /etc/absent.conf" in str(caught.value)


SUITE = """
name: p
defaults: {builder: ko, port: 8080}
variants:
  v:
    health: {path: /json}
    run: {needs: {db: {variant: w, port: 8080, env: {DB: "yes"}, health: {path: /json}}, queue: {variant: w, port: 8080}}}
    checks:
      api:
        - {name: dial, request: {path: "/dial?address=db:8080"}, expect: {status: 200}}
        - {name: dial queue, request: {path: "/dial?address=queue:8080"}, expect: {status: 200}}
        - {name: nobody, request: {path: "/dial?address=absent:8080"}, expect: {status: 502}}
  w: {}
"""


@pytest.fixture
def subject(engine, tmp_path, misbehaving_archive):
    target = built_subject(write_suite(tmp_path, SUITE), "v", misbehaving_archive, MISBEHAVING, engine)
    service = Service(target.variant, target.engine, target.engine_image, lambda _name: MISBEHAVING, tmp_path)
    return replace(target, need_image=lambda _name: MISBEHAVING, service=service)


@pytest.mark.slow
def test_checks_start_them_once_for_all_of_them_and_the_service_knows_each_by_name(subject, engine):
    results = {result.check: result for result in runner.run_checks(subject)}
    assert [results["runs"].status, results["api"].status] == ["pass", "pass"], json.dumps(results["api"].data)


@pytest.mark.slow
def test_a_trial_of_harden_has_it_on_its_network(subject, engine):
    with engine.network("harden") as network, subject.service.dependencies(network) as hosts:
        assert attempt(subject, RunOptions(network=network, publish=8080, hosts=hosts)).problem == ""
        assert "dial" in attempt(subject, RunOptions(network=network, publish=8080)).problem


@pytest.mark.parametrize(("yaml", "message"), [
    ("{db: {port: 1}}", "db"),
    ("{db: {image: redis, variant: w, port: 1}}", "db"),
    ("{db: {image: redis}}", "db"),
    ("{db: {variant: x, port: 1}}", "'x'"),
    ("{db: {variant: v, port: 1}}", wording("suite.itself", variant="v")),
    ("{db: {image: redis, port: 1, imge: x}}", "imge"),
])  # fmt: skip
def test_a_wrong_need_is_told_with_its_line(tmp_path, yaml, message):
    text = f"name: p\nvariants:\n  v:\n    builder: ko\n    run:\n      needs: {yaml}\n  w: {{builder: ko}}\n"
    with pytest.raises(ConfigError) as caught:
        write_suite(tmp_path, text)
    assert (message in str(caught.value), caught.value.line) == (True, 6)


def test_a_recorder_that_is_gone_waits_for_the_end_of_what_it_recorded(engine, tools_image):
    """Who listens among the processes of a container is ended with them; the engine notes the container's end a moment later."""
    with engine.start(tools_image, RunOptions(entrypoint=("/bin/sh", "-c", "sleep 0.7"), network="none")) as container:
        assert sidecars.running_on(container, DeadweightError("another fault"))
        assert not sidecars.running_on(container, sidecars.Gone("who listens to the recorder said: nothing"))
