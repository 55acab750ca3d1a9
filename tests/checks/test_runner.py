"""The checks on real containers: a good service, and each way in which one misbehaves."""

import json
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from deadweight import _signals
from deadweight._errors import CheckFailed, ConfigError, MissingError, UsageError
from deadweight.checks import runner, runs as runs_check, table
from deadweight.checks.budget import check_limits
from deadweight.checks.protocol import Subject
from deadweight.checks.service import Service
from deadweight.engine import labels
from deadweight.records.evidence import Evidence
from deadweight.records.store import load
from deadweight.suite.model import criteria_of
from deadweight.tasks.verify import raise_if_bad
from tests.support.codes import details, raises
from tests.support.fault_project import wait_for
from tests.support.small_images import docker_archive, reference
from tests.support.small_project import built_subject, own_leftovers, write_suite

MISBEHAVING = reference("misbehave")
pytestmark = pytest.mark.usefixtures("misbehaving_image")


@pytest.fixture
def several(tmp_path, engine, misbehaving_archive):
    """Subjects of the misbehaving service, one for each variant: ``several("variants' YAML")``."""

    def build(variants: str, defaults: str = "health: {path: /healthz}") -> list[Subject]:
        text = f"name: p\ndefaults: {{port: 8080, builder: ko, {defaults}}}\nvariants:{variants}\n"
        suite = write_suite(tmp_path, text)
        return [built_subject(suite, name, misbehaving_archive, MISBEHAVING, engine) for name in suite.names()]

    return build


@pytest.fixture
def make(several):
    """A subject of the misbehaving service: ``make("variant's YAML")``."""

    def build(yaml: str = "", mode: str = "good", memory: str = "256MiB", also: str = "") -> Subject:
        indented = "\n".join(f"    {line}" for line in yaml.strip().splitlines())
        (made,) = several(f"\n  v:\n    run: {{memory: {memory}, env: {{MODE: {mode}}}{also}}}\n{indented}")
        return made

    return build


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """Each service is started twice and watched for a moment, which is enough where a test is not of just that."""
    monkeypatch.setattr(runs_check, "STARTS", 2)
    monkeypatch.setattr(runs_check, "WATCH_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def _nothing_left(engine):
    """Whatever a check met, its containers are gone."""
    yield
    assert [leftover for leftover in own_leftovers(engine) if leftover.labels[labels.VARIANT]] == []


@pytest.mark.slow
def test_a_good_service_passes_and_its_evidence_is_kept(make):
    asked = "[{name: json, request: {path: /json}, expect: {json: {name: zoë}}}]"
    subject = make(f"checks: {{api: {asked}, budget: {{startup_seconds: {{hard: 20}}}}}}")
    rows = runner.run_checks(subject)
    runs, api, budget = rows
    assert [(row.check, row.status) for row in rows] == [("runs", "pass"), ("api", "pass"), ("budget", "pass")]
    data, kept = runs.data, subject.state.evidence("v", "runs")
    assert (len(data["startup_samples"]), data["startup_alone"]) == (2, True)
    assert data["startup_seconds"] == pytest.approx(statistics.median(data["startup_samples"]), abs=1e-4)
    assert 0 < data["stop_seconds"] < 10
    assert (data["exit_code"], data["user"], data["posture"]["read_only"]) == (0, "65532:65532", True)
    assert runs.provenance.image_digest == subject.built.config_digest
    assert runs.provenance.tool.endswith("engine")
    assert load(Evidence, kept) == runs
    document = json.loads(kept.read_text())
    assert (document["status"], document["reason"].count("\n")) == ("pass", 0)
    assert document["asked"] == criteria_of(subject.variant, "runs") != criteria_of(subject.variant, "api")
    assert api.data["items"][0]["http_status"] == 200
    assert budget.data["figures"]["startup_seconds"] == data["startup_seconds"]
    raise_if_bad(rows)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "health", "code", "shown"), [
    ("never-healthy", "within_seconds: 1", "engine.not_healthy_advice", "GET /healthz"),
    ("dies-at-once", "within_seconds: 5", "engine.ended_early", " 4"),
    ("dies-at-once", "kind: exit", "engine.job_failed", " 4"),
    ("panics", "within_seconds: 5", "engine.ended_early", "panic: assignment to entry in nil "),
    ("dies", "within_seconds: 5", "checks.ended_later", "misbehave: mode dies | misbehave: giving up"),
])  # fmt: skip
def test_a_service_that_does_not_stay_up_fails_with_its_last_lines(make, mode, health, code, shown, monkeypatch):
    monkeypatch.setattr(runs_check, "WATCH_SECONDS", 5.0)
    monkeypatch.setattr(runs_check, "STARTS", 1)
    (runs,) = runner.run_checks(make(f"health: {{{health}}}", mode), only=("runs",))
    assert (runs.status, runs.ok, runs.code, shown in runs.reason) == ("fail", False, code, True)
    assert "misbehave" in " ".join(runs.data["log_tail"])
    with pytest.raises(CheckFailed, match="v/runs"):
        raise_if_bad([runs])


@pytest.mark.slow
def test_a_service_listens_on_each_port_that_it_is_said_to(make):
    asked = "checks: {api: [{name: there, request: {port: 9000, path: /json}, expect: {json: {name: zoë}}}]}"
    both = make(asked, mode="good, ALSO: ':9000'", also=", ports: [9000]")
    assert [result.status for result in runner.run_checks(both)] == ["pass", "pass"]
    (runs,) = runner.run_checks(make("health: {within_seconds: 1}", also=", ports: [9000]"), only=("runs",))
    assert (runs.status, runs.code, "9000" in runs.reason) == ("fail", "checks.port_closed", True)


STUBBORN = "checks: {{runs: {{stops_within_seconds: 0.5, if_killed: {}}}}}"


@pytest.mark.slow
@pytest.mark.parametrize(("yaml", "mode", "status", "ok", "exit_code"), [
    (STUBBORN.format("fail"), "stubborn", "fail", False, 137),
    (STUBBORN.format("warn"), "stubborn", "warn", True, 137),
    ("", "ugly", "warn", True, 5),
    ("health: {within_seconds: 0.4}\nexpect: {runs: fail}", "never-healthy", "fail", True, None),
    ("expect: {runs: fail}", "good", "pass", False, 0),
])  # fmt: skip
def test_how_it_ends_on_sigterm_and_what_is_expected_are_judged(make, yaml, mode, status, ok, exit_code):
    (runs,) = runner.run_checks(make(yaml, mode))
    assert (runs.status, runs.ok, runs.data.get("exit_code")) == (status, ok, exit_code)
    killed = mode == "stubborn"
    assert (runs.code == "checks.not_stopped", runs.data.get("killed", False)) == (killed, killed)


def test_wrong_answers_are_told_and_the_other_requests_still_sent(make):
    yaml = """
checks:
  api:
    - {name: wrong, request: {path: /json}, expect: {json: {count: 4, on: true}}}
    - {name: right, request: {path: /json}, expect: {json: {list: [1, {a: 2}]}}}
    - {name: absent, request: {path: /nothing}}
    - {name: body, request: {method: POST, path: /echo, body: "ab", repeat_body: 50000}, expect: {json: {length: 100000}}}
"""
    (api,) = runner.run_checks(make(yaml), only=("api",))
    items = api.data["items"]
    assert (api.status, api.code, items[0]["reason"] in api.reason) == ("fail", "checks.answers", True)
    assert [item["status"] for item in items] == ["fail", "pass", "fail", "pass"]
    assert [item["http_status"] for item in items] == [200, 200, 404, 200]


@pytest.mark.slow
def test_a_service_that_dies_under_a_request_is_told_and_started_again(make):
    yaml = "checks: {api: [{name: eats, request: {path: /eat}}, {name: after, request: {path: /json}}]}"
    (api,) = runner.run_checks(make(yaml, memory="32MiB"), only=("api",))
    assert "items" in api.data, api.reason
    eats, after = api.data["items"]
    assert (eats["status"], eats["http_status"], after["status"]) == ("fail", None, "pass")
    assert "137" in eats["reason"]


def test_an_api_check_of_a_service_that_does_not_come_up_fails_once(make):
    yaml = "health: {within_seconds: 0.4}\nchecks: {api: [{name: a, request: {}}, {name: b, request: {}}]}"
    (api,) = runner.run_checks(make(yaml, "never-healthy"), only=("api",))
    assert (api.status, api.code) == ("fail", "engine.not_healthy_advice")


def test_a_wrong_api_item_is_a_configuration_error_with_its_place(make):
    with pytest.raises(ConfigError, match=r"absent\.bin") as caught:
        runner.run_checks(make("checks: {api: [{name: a, request: {body_file: absent.bin}}]}"), only=("api",))
    assert (Path(caught.value.file).name, caught.value.key) == ("deadweight.yaml", "variants.v.checks")
    assert caught.value.line


def test_an_entrypoint_that_is_not_there_fails(tmp_path, engine):
    archive = docker_archive(tmp_path / "image.tar", reference("empty"), [{"/x": b"x"}], {"Entrypoint": ["/absent"]})
    engine.images.load(archive)
    suite = write_suite(tmp_path, "name: p\nvariants: {v: {builder: ko, port: 8080, health: {path: /healthz}}}")
    try:
        (runs,) = runner.run_checks(built_subject(suite, "v", archive, reference("empty"), engine))
    finally:
        engine.images.remove(reference("empty"), force=True)
    assert (runs.status, "/absent" in runs.reason) == ("fail", True)


# budget


@pytest.mark.slow
def test_budgets_tell_headroom_warn_and_fail(make, misbehaving_archive):
    sizes = "size_bytes: {soft: 1MB, hard: 1GB}, compressed_bytes: {hard: 100MB}"
    asked = f"checks: {{budget: {{{sizes}, layers: {{hard: 1}}, startup_seconds: {{hard: 20}}}}}}"
    (budget,) = runner.run_checks(make(asked), only=("budget",))
    figures, limits = budget.data["figures"], budget.data["limits"]
    size = (misbehaving_archive.parent / "app").stat().st_size  # the one file in its one layer
    assert (budget.status, budget.code, figures["size_bytes"]) == ("warn", "checks.over_limit", size)
    room = {"headroom_soft": 10**6 - size, "headroom_hard": 10**9 - size}
    assert limits["size_bytes"] == {"value": size, "soft": 10**6, "hard": 10**9, **room}
    assert limits["layers"]["headroom_hard"] == 0
    assert 0 < figures["startup_seconds"] < 20
    assert 0 < figures["compressed_bytes"] < size


def test_smaller_than_compares_two_variants_without_an_engine(tmp_path, misbehaving_archive, playground_archive):
    budgets = {"small": "large", "large": "small", "third": "small"}
    lines = (f"  {name}: {{checks: {{budget: {{smaller_than: {other}}}}}}}\n" for name, other in budgets.items())
    suite = write_suite(tmp_path, f"name: p\ndefaults: {{builder: ko, runnable: false}}\nvariants:\n{''.join(lines)}")

    def subject(name: str, **others: Subject) -> Subject:
        archive = misbehaving_archive if name == "small" else playground_archive
        return built_subject(suite, name, archive, "r:1", None, **others)

    def budget(name: str, **others: Subject) -> Evidence:
        (evidence,) = runner.run_checks(subject(name, **others), only=("budget",))
        return evidence

    fails = budget("large", small=subject("small"))
    assert (fails.status, fails.code, fails.data["smaller_than"]["other"]) == ("fail", "checks.not_smaller", "small")
    passes = budget("small", large=subject("large"))
    assert (passes.status, passes.data["smaller_than"]["ratio"] < 1) == ("pass", True)
    unknown = budget("third")
    assert (unknown.status, unknown.code) == ("not_measured", "checks.not_compared")
    with pytest.raises(MissingError, match="third/budget") as caught:
        raise_if_bad([unknown])
    assert caught.value.hint == unknown.data["hint"] == "invoke build --variant small"


def test_a_figure_at_its_limit_is_within_it_and_one_that_is_absent_is_not_zero():
    assert check_limits("layers", 5, (5, 5), "").status == "pass"
    assert check_limits("layers", None, (5, 5), "why").status == "not_measured"
    assert check_limits("size_bytes", 3, (1, 2), "").status == "fail"
    over = check_limits("startup_seconds", 1.5, (1.0, 2.0), "")
    assert over.status == "warn"
    assert {"excess": "0.50 s", "kind": "soft", "limit": "1.00 s"}.items() <= details(over.text).fields.items()


# which checks


def test_names_are_known_or_refused(make):
    subject = make("checks: {budget: {}}")
    assert [check.name for check in table.checks_of(subject.variant)] == ["runs", "budget"]
    with raises(UsageError, "checks.no_such_check", name="rums"):
        runner.verify([subject], only=("rums",))
    with raises(MissingError, "checks.unknown_check", name="nobodys"):
        table.checks_of(make("checks: {other: {nobodys: {}}}").variant)


@pytest.mark.slow
def test_variants_that_are_verified_together_are_started_in_turns(several, monkeypatch):
    """Five starts of one after the other measured what else the machine did meanwhile."""
    timed = create_autospec(Service.start_timed, side_effect=Service.start_timed)
    monkeypatch.setattr(Service, "start_timed", timed)
    subjects = several(" {a: {}, b: {}, c: {ladder: other}, d: {runnable: false}}")
    events: list[Evidence] = []
    rows = runner.verify(subjects, jobs=3, on_evidence=events.append)
    assert [(row.variant, row.check, row.status) for row in rows] == [(name, "runs", "pass") for name in "abc"]
    assert sorted(event.variant for event in events) == ["a", "b", "c"], "each is told once"
    started = [call.args[0].variant.name for call in timed.call_args_list]
    assert [name for name in started if name != "c"][2:] == ["a", "b"] * 2
    for row in rows:
        assert len(row.data["startup_samples"]) == 2
        assert ("startup_alone" in row.data) == (row.variant == "c"), "it has no other of its ladder"
        kept = load(Evidence, subjects[0].state.evidence(row.variant, "runs"))
        assert kept.data["startup_samples"] == row.data["startup_samples"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "yaml", "mode", "check"), [
    (signal.SIGINT, "health: {within_seconds: 60}", "deaf", "runs"),
    (signal.SIGTERM, "checks: {api: [{name: a, request: {path: /freeze}}]}", "good", "api"),
])  # fmt: skip
def test_a_signal_ends_a_check_that_hangs(make, engine, cancelling, number, yaml, mode, check):
    subject = make(yaml, mode)
    sent: list[float] = []

    def send() -> None:
        wait_for(lambda: any(leftover.labels[labels.VARIANT] for leftover in own_leftovers(engine)))
        time.sleep(1.5)  # by now it waits for an answer
        sent.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, number)

    threading.Thread(target=send, daemon=True).start()
    with _signals.heeded(), pytest.raises(KeyboardInterrupt):
        runner.verify([subject], only=(check,))
    assert time.monotonic() - sent[0] < 2


def test_ctrl_c_ends_all_variants_at_once(several, cancelling):
    subjects = several(" {a: {}, b: {}}", "health: {path: /healthz, within_seconds: 60}, run: {env: {MODE: deaf}}")
    timer = threading.Timer(1.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.verify(subjects, jobs=2)
    finally:
        timer.cancel()
    assert time.monotonic() - started < 50


@pytest.mark.parametrize(("wanted", "status"), [("^misbehave: mode good$", "pass"), ("^42$", "fail")])
def test_what_a_job_prints_is_judged(make, wanted, status):
    yaml = f"health: {{kind: exit, within_seconds: 10}}\nchecks: {{runs: {{prints: '{wanted}'}}}}"
    (evidence,) = runner.run_checks(make(yaml, "good, DIES_AFTER: 0s, DIES_WITH: '0'"))
    assert (evidence.status, "misbehave: mode good" in evidence.data["printed"]) == (status, True)
    assert evidence.code == ("checks.job_done" if status == "pass" else "checks.not_printed")
    assert status == "pass" or wanted in evidence.reason


@pytest.mark.system
def test_a_user_s_start_up_is_the_median_of_five():
    """Our tests take two."""
    code = "from deadweight.checks import runs; print(runs.STARTS)"
    words = ["env", "--unset", "DEADWEIGHT_FEW_STARTS", sys.executable, "-c", code]
    assert subprocess.check_output(words, text=True) == "5\n"
