"""The history: a line for each report that says anything new, kept where state folders come and go."""

import json
from dataclasses import replace

import pytest

from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.project.git import Commit, commit_of
from deadweight.publish.push import earlier, publish
from deadweight.report import history
from deadweight.report.history import load_report, write_report
from deadweight.report.model import AttackRecord, HeldRecord, HistoryEntry, HistoryPoint
from tests.support import report_samples as samples
from tests.support.codes import raises
from tests.support.fault_project import FaultProject
from tests.support.trees import git, written


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
    assert ([each.at[11:13] for each in entries], file.read_text().count("\n")) == (["01", "03", "04"], 3)
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
    (told,) = json.loads(project.invoke("report", "--history", "--json").output)["history"]
    assert (told["variants"].keys(), told["variants"]["v"]["image"]) == ({"v"}, "sha256:0")
    wrong = project.invoke("report", "--history", "--open")
    assert (wrong.code, wording("tasks.history_alone") in wrong.errors) == (2, True)


def test_two_reports_of_one_second_are_two():
    first = HistoryEntry("2026-11-28T04:55:45+00:00", None, False, "shop", "0.2.0", {})
    second = replace(first, variants={"v": HistoryPoint("sha256:b", 2)})
    assert history.merged((first, second), (second, first)) == (first, second)
