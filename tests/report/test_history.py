"""``report.json``: what is written validates against the published schema, and what is no report is refused; and the history of
reports: a line for each that says anything new, kept where state folders come and go."""

import contextlib
import json
import runpy
from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given, settings, strategies as st

from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.project.git import Commit, commit_of
from deadweight.publish.push import earlier, publish
from deadweight.report import history
from deadweight.report.history import load_report, write_report
from deadweight.report.model import AttackRecord, HeldRecord, HistoryEntry, HistoryPoint
from tests.support import ROOT, report_samples as samples
from tests.support.codes import raises
from tests.support.fault_project import FaultProject
from tests.support.json_schema import refusal, validator
from tests.support.trees import git, written

PUBLISHED = json.loads(resources.files("deadweight.report").joinpath("report.schema.json").read_bytes())


def test_the_schema_in_the_package_is_the_one_of_the_records() -> None:
    """Printed anew by ``python docs/report.py``."""
    assert runpy.run_path(str(ROOT / "docs" / "report.py"))["generated"]() == PUBLISHED
    assert refusal(PUBLISHED, {})


FULL = history.to_json(replace(samples.full_report(), variants={"one": samples.full_report().variants["all-in-one"]}))
CONTRACT = {
    "base": "reference digest stand_in",
    "image": "config_digest manifest_digest size_bytes compressed_bytes layers user entrypoint", "build": "seconds cached",
    "checks.runs": "status expected reason evidence", "vulnerabilities": "status coverage total by_severity database",
    "vulnerabilities.coverage": "os language", "vulnerabilities.database": "updated_at",
    "attacks.hardened.system": "outcome walls", "layers": "layers hidden secrets setuid shells package_managers",
    "layers.hidden.0": "path size_bytes layer added_by hidden_in hidden_by secrets",
    "layers.hidden.0.secrets.0": "rule fingerprint", "layers.layers.0": "digest diff_id size_bytes compressed_bytes instruction",
}  # fmt: skip


@pytest.mark.parametrize("place", CONTRACT)
def test_every_field_of_the_contract_is_there(place: str) -> None:
    """Others read these names; they may be joined by more, never renamed."""
    document = json.loads(FULL)
    record = document["variants"]["one"]
    assert (document["schema"], {"builder", "startup_seconds"} <= record.keys()) == (1, True)
    for key in place.split("."):
        record = record[int(key) if key.isdigit() else key]
    assert set(CONTRACT[place].split()) <= record.keys()


def test_not_measured_is_null_and_the_schema_refuses_a_zero_for_it() -> None:
    document = json.loads(history.to_json(samples.full_report()))
    never = document["variants"]["never-built"]
    assert (never["image"], never["startup_seconds"], never["vulnerabilities"]["total"]) == (None, None, None)
    for record, key in ((never["vulnerabilities"], "total"), (never, "startup_seconds")):
        record[key] = 0
        assert refusal(PUBLISHED, document)
        record[key] = None


@pytest.mark.parametrize("key", ["schema", "suite", "generated_at", "tool_version", "variants"])
def test_a_missing_key_is_named(key: str) -> None:
    document = json.loads(history.to_json(samples.report()))
    del document[key]
    with raises(ConfigError, "report.not_of_schema", key=key):
        history.parse_report(json.dumps(document).encode(), origin="old.json")
    assert refusal(PUBLISHED, document)


NO_REPORTS = [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"schema": 2}', b"[" * 100_000, b'{"variants": NaN}']
NO_REPORTS.append(FULL.replace(b'"schema": 1', b'"schema": 2'))


@pytest.mark.parametrize("content", NO_REPORTS, ids=range(9))
def test_what_is_no_report_is_one_clear_error(content: bytes, tmp_path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(content)
    with raises(ConfigError, "report.not_of_schema", schema=1, file=str(file)):
        history.load_report(file)


def test_a_missing_or_huge_file_is_one_clear_error(tmp_path) -> None:
    with raises(ConfigError, "report.unreadable"):
        history.load_report(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(history.MAX_REPORT_BYTES + 1)
    with raises(ConfigError, "report.too_large", limit=history.MAX_REPORT_BYTES):
        history.load_report(huge)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(0.1, 0.9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


def paths(node, prefix=()):
    """Every place in a document, as the keys that lead there."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


@pytest.mark.slow
@settings(max_examples=80)
@given(place=st.sampled_from(list(paths(json.loads(FULL)))), value=JSON)
def test_reader_and_schema_agree_on_damaged_reports(place, value) -> None:
    """A value replaced at random, anywhere: what the reader takes, the schema allows, and the other way round."""
    document = json.loads(FULL)
    node = document
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    # The counts of a scan that did not happen are the schema's own rule; the collector drops them before a report is made.
    errors = [error for error in validator(PUBLISHED).iter_errors(document) if "then" not in error.schema_path]
    with pytest.raises(ConfigError) if errors else contextlib.nullcontext():
        history.parse_report(json.dumps(document).encode(), origin="x")


# the history


def at(hour: int, size: int = 14_700_000):
    variants = samples.report().variants
    apko = replace(variants["apko"], image=replace(variants["apko"].image, size_bytes=size))
    return samples.report({**variants, "apko": apko}, generated_at=f"2031-02-03T{hour:02}:00:00+00:00")


def entry(hour: int, size: int = 14_700_000, commit: str = "a" * 40):
    return history.entry_of(at(hour, size), commit, dirty=False)


def test_only_what_is_new_is_added(tmp_path):
    file = tmp_path / "state" / "history.jsonl"
    for made in (entry(1), entry(2), entry(3, size=15_000_000), entry(4, size=15_000_000, commit="b" * 40)):
        entries = history.appended(file, made)
    assert ([record.at[11:13] for record in entries], file.read_text().count("\n")) == (["01", "03", "04"], 3)
    assert (history.read(file, entries[0].suite), history.read(file, "another suite")) == (entries, ())


def test_rows_tell_each_figure_of_a_variant_over_time():
    points = [point for _, point in history.of("apko", (entry(1), entry(2, size=15_000_000)))]
    record = samples.report().variants["apko"]
    assert [point.size_bytes for point in points] == [14_700_000, 15_000_000]
    point = points[0]
    assert (point.findings, point.startup_seconds) == (record.vulnerabilities.total, record.startup_seconds)
    outcomes = {kind: AttackRecord(kind) for kind in ("blocked", "succeeded", "not_measured")}
    outcomes["token"] = AttackRecord("blocked", handed_in=True)
    both = replace(record, attacks={"bare": outcomes, "none": {"c": outcomes["not_measured"]}})
    attacked = replace(at(1), variants={"x": both})
    assert history.entry_of(attacked, None, dirty=False).variants["x"].attacks == {"bare": HeldRecord(1, 2)}


def test_what_was_not_measured_is_no_zero():
    bare = replace(at(1), variants={"x": samples.variant(image=None, build=None, attacks={}, startup_seconds=None)})
    made = history.entry_of(bare, None, dirty=False)
    assert (made.variants["x"], list(history.of("x", (made,)))) == (HistoryPoint(stand_in=True), [])


def test_a_damaged_line_costs_itself_only_and_what_is_no_history_is_one_error(tmp_path, monkeypatch):
    file = tmp_path / "history.jsonl"
    lines = history.text((entry(1), entry(2))).splitlines()
    file.write_text("\n".join([lines[0], lines[1][:50], "<<<<<<< ours", "[]", "?"]))
    assert history.read(file, entry(1).suite) == (entry(1),)
    monkeypatch.setattr(history, "MAX_REPORT_BYTES", len(lines[0]))
    file.write_text(f"{' ' * len(lines[0])}\n{lines[0]}")
    with raises(ConfigError, "report.too_large", file=str(file)):
        history.read(file, entry(1).suite)
    with raises(DeadweightError, "report.history_unreadable", file=tmp_path):  # a folder
        history.read(tmp_path, "x")


def published_twice(tmp_path, target: str):
    """From two fresh state folders; the last one's report."""
    for number, made in enumerate((at(1), at(2, size=15_000_000))):
        own = tmp_path / f"state-{number}" / "history.jsonl"
        entries = history.appended(own, history.entry_of(made, f"{number}" * 40, dirty=False))
        write_report(replace(made, history=entries), own.parent / "report")
        publish(own.parent / "report", target, history=own)
    return load_report(own.parent / "report")


def test_publishing_from_a_fresh_state_folder_keeps_what_is_there(tmp_path):
    site = tmp_path / "site"
    report = published_twice(tmp_path, str(site))
    entries = history.read(site / "history.jsonl", at(1).suite)
    assert ([entry.commit for entry in entries], load_report(site).history) == (["0" * 40, "1" * 40], entries)
    assert len(report.history) == 1, "the local report is not changed"


@pytest.mark.slow
def test_pushing_again_keeps_what_was_pushed(tmp_path, local_registry):
    reference = f"oci://{local_registry}/team/history:latest"
    published_twice(tmp_path, reference)
    assert [entry.commit for entry in earlier(reference, tmp_path).history] == ["0" * 40, "1" * 40]


def test_a_commit_is_told_and_whether_files_differ_from_it(tmp_path):
    assert commit_of(tmp_path) == Commit(None, dirty=False)
    written(tmp_path, {"a": "a"})
    for words in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "a"]):
        git(tmp_path, *words)
    clean = commit_of(tmp_path)
    assert (len(clean.name or ""), clean.dirty) == (40, False)
    written(tmp_path, {"a": "b"})
    assert commit_of(tmp_path) == Commit(clean.name, dirty=True)


def test_the_task_prints_it_as_a_table_and_as_json(tmp_path, playground_archive):
    project = FaultProject.make(tmp_path, v=f"cp {playground_archive} $OUT")
    project.more["DOCKER_HOST"] = "unix:///nowhere.sock"
    none = project.invoke("report", "--history")
    assert (none.code, wording("tasks.no_history") in none.errors) == (3, True)
    assert [project.invoke(task).code for task in ("build", "report")] == [0, 0]
    table = project.invoke("report", "--history")
    assert (table.code, "Attacks held" in table.output) == (0, True)
    (record,) = json.loads(project.invoke("report", "--history", "--json").output)["history"]
    assert (record["variants"].keys(), record["variants"]["v"]["image"]) == ({"v"}, "sha256:0")
    wrong = project.invoke("report", "--history", "--open")
    assert (wrong.code, wording("tasks.history_alone") in wrong.errors) == (2, True)


def test_two_reports_of_one_second_are_two():
    first = HistoryEntry("2026-11-28T04:55:45+00:00", None, False, "shop", "0.2.0", {})
    second = replace(first, variants={"v": HistoryPoint("sha256:b", 2)})
    assert history.merged((first, second), (second, first)) == (first, second)
