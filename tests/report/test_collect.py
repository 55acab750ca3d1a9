"""Collecting reads what is on disk: stale, damaged and missing evidence is not measured, never a figure."""

import re
import shutil
from dataclasses import asdict, replace

import pytest

from deadweight._errors import ArchiveError, wording
from deadweight.records.built_image import FAILED_FILE, Base, BuiltImage, FailedBuild
from deadweight.records.evidence import Evidence
from deadweight.records.paths import State
from deadweight.records.store import save
from deadweight.report.collect import collect
from deadweight.report.figures import when
from deadweight.report.history import to_json
from deadweight.report.html import render_html
from deadweight.report.markdown import render_markdown
from deadweight.report.model import RuntimeRecord
from deadweight.report.table import checks_cell
from deadweight.report.verdict import verdict
from deadweight.suite.checks import BudgetCheck, Checks, SizeLimit
from deadweight.suite.model import Reference, Suite, Variant, criteria_of
from deadweight_images.inspect.summary import summary
from tests.support import report_samples as samples
from tests.support.codes import codes, parts
from tests.support.small_images import docker_archive
from tests.support.trees import written


@pytest.fixture
def state(tmp_path) -> State:
    return State(tmp_path)


@pytest.fixture
def suite(tmp_path) -> Suite:
    reference = Reference(source="A talk", size_bytes="15.3MB", vulnerabilities=4)
    variant = Variant(name="small", builder="dockerfile", reference=reference)
    return Suite(file=tmp_path / "deadweight.yaml", root=tmp_path, name="demo", variants=(variant,))


CONFIG = {"User": "65532", "Entrypoint": ["/app", "--db-password=" + "tr1ckyhorse77"]}


@pytest.fixture
def built(state) -> BuiltImage:
    """A real, tiny archive in the variant's state folder, and its record."""
    folder = state.image("small")
    folder.mkdir(parents=True)
    layers = [{"/app": b"x" * 5000}, {"/etc/os-release": b"ID=demo\n"}]
    docker_archive(folder / "image.tar", "demo/small:1", layers, CONFIG)
    config = summary(folder / "image.tar").config_digest
    base = Base("docker.io/library/alpine:3", "127.0.0.1:5000/alpine:3", "sha256:" + "b" * 64, stand_in=True)
    how = (1.25, False, "f", "buildx 0.38.2", samples.WHEN, "go1.21.3")
    record = BuiltImage("small", "dockerfile", "demo/small:1", config, False, base, *how)
    save(record, folder / "built.json")
    return record


def put(state: State, built: BuiltImage, check: str, data: dict, **changes) -> None:
    evidence = Evidence("small", check, "pass", f"{check} is fine", samples.provenance(built.config_digest), data=data)
    save(replace(evidence, **changes), state.evidence("small", check))


def only(suite, state, *asked: str, **more):
    """The record of the only variant; ``asked``: the checks that the suite asks for, without any all count."""
    return collect(suite, state, asked={"small": asked} if asked else None, **more).variants["small"]


def test_a_project_where_nothing_was_done_yet(suite, state) -> None:
    record = only(suite, state)
    assert (record.image, record.build, record.startup_seconds, record.layers, record.checks) == (*[None] * 4, {})
    assert (record.vulnerabilities.status, codes(record.notes[0])) == ("not_scanned", ["report.not_built"])
    assert (record.reference.size_bytes, record.reference.vulnerabilities) == (15_300_000, 4)


def test_figures_come_from_the_archive_with_how_they_were_got(suite, state, built) -> None:
    record = only(suite, state)
    image = record.image
    assert (image.size_bytes, len(image.layers), image.user) == (5008, 2, "65532")
    assert image.entrypoint == ("/app", "--db-password=tr… (13 bytes)"), "without the secret"
    assert (image.compressed_bytes > 0, record.stand_in) == (True, True)
    got, made = record.provenance["image"], record.provenance["build"]
    assert (got.image_digest, made.tool, made.tool_version) == (built.config_digest, "buildx", "0.38.2")
    to_json(collect(suite, state))


def test_the_runtime_is_read_from_the_image_without_any_check(suite, state, built, playground_archive) -> None:
    """What the builder says it compiled with is believed only where there is no archive to look into."""
    record = only(suite, state)
    assert (record.runtime, record.go_version) == (RuntimeRecord("native", None, "/app"), None)
    archive = state.image("small") / "image.tar"
    archive.unlink()
    assert only(suite, state).runtime == RuntimeRecord("Go", "1.21.3")
    shutil.copyfile(playground_archive, archive)
    save(replace(built, config_digest=summary(archive).config_digest), state.image("small") / "built.json")
    variant = only(suite, state)
    assert (variant.runtime.name, variant.runtime.path) == ("Go", "/app")
    assert variant.go_version == f"go{variant.runtime.version}" != "go1.21.3"


def test_a_stand_in_in_another_stage_is_told_wherever_figures_are(suite, state, built) -> None:
    stages = ("docker.io/library/golang:1", "busybox:1")
    save(replace(built, base=None, other_stand_ins=stages), state.image("small") / "built.json")
    report = collect(suite, state)
    to_json(report)
    assert report.variants["small"].stand_in
    assert r"| small\* |" in render_markdown(report)
    assert 'small</a><abbr class="star" title="stand-in">*</abbr>' in render_html(report)
    save(replace(built, base=None), state.image("small") / "built.json")
    assert "stand-in" not in render_markdown(collect(suite, state))


def test_evidence_finds_its_place(suite, state, built) -> None:
    put(state, built, "runs", {"startup_seconds": 0.3, "startup_samples": [0.3]})
    put(state, built, "layers", asdict(samples.layers()))
    outcome = {"outcome": "blocked", "walls": ["non-root"], "evidence": {"canary": None}}
    attacks = {"postures": {"hardened": {"system": outcome}}, "payloads": {"system": {"title": "system()"}}}
    put(state, built, "attacks", {**attacks, "notes": {"open": "goes without SYS_TIME"}})
    put(state, built, "vulnerabilities", {"status": "scanned", "total": 3, "by_severity": {"high": 3}})
    report = collect(suite, state)
    to_json(report)
    record = report.variants["small"]
    assert (record.startup_seconds, record.vulnerabilities.total, record.layers) == (0.3, 3, samples.layers())
    assert record.attacks["hardened"]["system"].walls == ("non-root",)
    assert (record.attack_notes, report.payloads["system"].title) == (("goes without SYS_TIME",), "system()")
    assert {"layers", "attacks", "vulnerabilities", "startup_seconds"} <= record.provenance.keys()
    assert record.checks["layers"].evidence == {}, "its data stands once, in its own section"
    assert record.checks["runs"].evidence["startup_samples"] == [0.3]


OF_AN_EARLIER_IMAGE = samples.provenance("sha256:" + "0" * 64)


def test_evidence_of_an_earlier_image_is_not_shown_as_this_ones(suite, state, built) -> None:
    put(state, built, "runs", {"startup_seconds": 0.3}, provenance=OF_AN_EARLIER_IMAGE)
    record = only(suite, state)
    runs = record.checks["runs"]
    assert (record.startup_seconds, runs.status, runs.why_not, runs.evidence) == (None, "not_measured", "stale", {})
    left_out = ("report.check_of_earlier_image", {"check": "runs"})
    assert [parts(note) for note in only(suite, state, "api").notes] == [left_out]


def test_stale_results_and_those_that_were_never_got_stay_in_the_denominator(suite, state, built) -> None:
    asked = {"small": ["runs", "api", "layers"]}
    never = collect(suite, state, asked=asked)
    assert checks_cell(never.variants["small"].checks).text == "not measured"
    assert codes(verdict(never).counts) == ["report.no_checks_run"]
    put(state, built, "runs", {}, provenance=OF_AN_EARLIER_IMAGE)
    put(state, built, "api", {})
    report = collect(suite, state, asked=asked)
    to_json(report)
    assert checks_cell(report.variants["small"].checks).text == "1/3 ok; stale: runs; not run: layers"
    assert list(parts(verdict(report).counts)[1].values())[:2] == ["1 of 3 checks", ", 1 stale, 1 not run"]


def test_a_check_that_the_suite_no_longer_asks_for_is_no_result(suite, state, built) -> None:
    """What it measured stays; and what ``invoke scan`` found was never asked for by the suite."""
    put(state, built, "budget", {"figures": {"startup_seconds": 0.3}}, status="fail", expected=False)
    put(state, built, "vulnerabilities", {"status": "scanned", "total": 3, "by_severity": {"high": 3}})
    put(state, built, "runs", {})
    record = only(suite, state, "runs")
    assert record.checks.keys() == {"runs"}
    assert [parts(note) for note in record.notes] == [("report.check_not_in_suite", {"check": "budget"})]
    assert (record.startup_seconds, record.vulnerabilities.total) == (0.3, 3)


def test_a_result_by_other_limits_is_no_result(suite, state, built) -> None:
    """What it measured stays true; whether that is right by what the suite asks now, nobody has looked at."""
    (variant,) = suite.variants

    def record(**changes):
        now = suite.model_copy(update={"variants": (variant.model_copy(update=changes),)})
        return only(now, state, "runs", "budget")

    put(state, built, "runs", {"startup_seconds": 0.3}, asked=criteria_of(variant, "runs"))
    put(state, built, "budget", {}, asked=criteria_of(variant, "budget"))
    assert record().checks.keys() == {"runs", "budget"}
    limited = record(checks=Checks(budget=BudgetCheck(size_bytes=SizeLimit(hard=1))))
    assert {name: check.why_not for name, check in limited.checks.items()} == {"runs": None, "budget": "stale"}
    assert wording("report.suite_changed", command="`invoke verify --variant small`") in limited.checks["budget"].reason
    elsewhere = record(port=9090)
    reasons = {name: check.why_not for name, check in elsewhere.checks.items()}
    assert (reasons, elsewhere.startup_seconds) == ({"runs": "stale", "budget": None}, 0.3)
    assert record(expect={"budget": "fail"}).checks["budget"].expected is False


@pytest.mark.parametrize("how", ["failed", "did not end"], ids=["code", "words of older versions"])
def test_a_build_that_failed_since_is_told_and_not_counted(suite, state, built, how) -> None:
    save(FailedBuild(how, samples.WHEN, ".deadweight/logs/small.log"), state.image("small") / FAILED_FILE)
    report = collect(suite, state)
    record = report.variants["small"]
    assert (record.image is None, record.build.failed_at) == (False, samples.WHEN)
    assert re.search(rf" {how} \({when(samples.WHEN)}, \w+ .deadweight/logs/small.log\)$", record.failed)
    (code, fields), *others = map(parts, record.notes)
    assert (code, fields["built_at"], others) == ("report.figures_of_earlier_build", built.built_at, [])
    assert str(fields["failure"]) == record.failed
    outcome = verdict(report)
    assert (outcome.status, outcome.title, outcome.counts[-21:]) == ("fail", "1 build failed", "0 of 1 variant built.")
    assert str(outcome.failures[0]).startswith(f"small/build: {record.failed}; ")
    to_json(report)


def test_an_archive_of_another_image_is_not_measured_nor_is_a_damaged_one(suite, state, built) -> None:
    save(replace(built, config_digest="sha256:" + "1" * 64), state.image("small") / "built.json")
    record = only(suite, state)
    assert (record.image.size_bytes, codes(record.notes[-1])) == (None, ["report.archive_of_other_image"])
    (state.image("small") / "image.tar").write_bytes(b"no archive")
    with pytest.raises(ArchiveError):
        collect(suite, state)


def test_without_an_archive_the_budget_check_knows_the_sizes(suite, state, built) -> None:
    """One elsewhere is read where the caller says."""
    moved = (state.image("small") / "image.tar").rename(state.root / "elsewhere.tar")
    assert only(suite, state).image.size_bytes is None
    assert only(suite, state, archives={"small": moved}).image.size_bytes == 5008
    put(state, built, "budget", {"figures": {"size_bytes": 5008, "compressed_bytes": 300, "layers": 2}})
    record = only(suite, state)
    figures = (record.image.size_bytes, record.image.compressed_bytes, record.provenance["image"].tool)
    assert figures == (5008, 300, "sample")


@pytest.mark.parametrize("status", ["not_scanned", "not_covered"])
def test_counts_of_a_scan_that_did_not_happen_are_dropped(suite, state, built, status) -> None:
    put(state, built, "vulnerabilities", {"status": status, "total": 0, "by_severity": {"high": 0}, "fixable": 0})
    scan = only(suite, state).vulnerabilities
    assert (scan.status, scan.total, scan.by_severity, scan.fixable) == (status, None, {}, None)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b'{"variant": "small"}', b"\xff"])
def test_damaged_evidence_is_as_none(suite, state, built, content) -> None:
    path = state.evidence("small", "runs")
    written(path.parent, {path.name: content})
    assert only(suite, state).checks == {}


@pytest.mark.parametrize(("check", "data"), [
    ("layers", {"layers": "x"}), ("vulnerabilities", {"status": "fine"}),
    ("attacks", {"postures": {"hardened": {"system": {"outcome": "maybe"}}}}),
    ("attacks", {"postures": [1], "payloads": 3}), ("runs", {"startup_seconds": "soon"}), ("budget", {"figures": 3}),
    ("budget", {"figures": {"size_bytes": "x", "compressed_bytes": -1}}),
])  # fmt: skip
def test_evidence_of_another_shape_is_not_measured(suite, state, built, check, data) -> None:
    put(state, built, check, data)
    to_json(collect(suite, state))
    record = only(suite, state)
    assert (record.layers, record.startup_seconds, record.vulnerabilities.total) == (None, None, None)
    assert all(item.outcome == "not_measured" for by in record.attacks.values() for item in by.values())
