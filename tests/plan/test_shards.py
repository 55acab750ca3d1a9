"""Dividing a suite among machines, and joining what they made: the same everywhere, even, stable, and no mixtures."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from deadweight._errors import ConfigError, UsageError
from deadweight.project.changed import divide, parse_shard, shard_of
from deadweight.records.runs import Scope
from deadweight.report.history import joined as joined_reports, parse_report, to_json
from deadweight.report.model import Report
from deadweight.report.sarif import SarifFinding, joined_junit, joined_sarif, sarif_log, sarif_run
from tests.support import report_samples as samples
from tests.support.codes import raises

NAMES = [f"service-{number}" for number in range(300)]
SECONDS = {name: 1.0 + (number * 37 % 101) for number, name in enumerate(NAMES)}


@pytest.mark.parametrize("total", [1, 2, 5, 7, 16])
def test_every_variant_is_in_one_shard_and_all_take_alike_long_in_whatever_order_they_are_given(total):
    shards = divide(NAMES, total, SECONDS)
    assert sorted(name for shard in shards for name in shard) == sorted(NAMES)
    assert [set(shard) for shard in divide(NAMES[::-1], total, SECONDS)] == [set(shard) for shard in shards]
    loads = [sum(SECONDS[name] for name in shard) for shard in shards]
    assert max(loads) <= 1.11 * sum(loads) / total


def test_one_heavy_variant_has_a_shard_almost_to_itself():
    shards = divide(["heavy", "a", "b", "c", "d"], 2, {"heavy": 100.0, "a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0})
    assert {"a", "b", "c", "d"} in [set(shard) for shard in shards]


@pytest.mark.parametrize("total", [2, 5, 16])
def test_few_variants_move_when_one_is_added(total):
    before = {name: index for index, shard in enumerate(divide(NAMES, total, SECONDS)) for name in shard}
    for added in ("a-new-one", "zzz", "service-31a"):
        after = {name: index for index, shard in enumerate(divide([*NAMES, added], total, SECONDS)) for name in shard}
        moved = [name for name in NAMES if before[name] != after[name]]
        assert len(moved) <= 0.08 * len(NAMES), (added, moved)  # longest first alone moves most of them


def test_what_took_an_unknown_time_counts_for_the_median():
    shards = divide(["a", "b", "c", "new"], 2, {"a": 10.0, "b": 10.0, "c": 10.0})
    assert sorted(len(shard) for shard in shards) == [2, 2]


@pytest.mark.parametrize(("flag", "environment", "expected"), [
    (None, {}, None), (None, {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "5"}, "2/5"), (None, {"CI_NODE_TOTAL": "1"}, None),
    (None, {"JOB_COMPLETION_INDEX": "0", "DEADWEIGHT_SHARDS": "4"}, "1/4"),
    (None, {"JOB_COMPLETION_INDEX": "3", "DEADWEIGHT_SHARDS": "4"}, "4/4"), (None, {"JOB_COMPLETION_INDEX": "3"}, None),
    (None, {"DEADWEIGHT_SHARD": "1/3", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "5"}, "1/3"),
    ("1/2", {"CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "5"}, "1/2"),
])  # fmt: skip
def test_the_flag_is_taken_or_what_the_ci_system_says(flag, environment, expected):
    shard = shard_of(flag, environment)
    assert (shard and str(shard)) == expected


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/1001", "1/2/3"])
def test_what_is_no_shard_is_refused(text):
    with raises(UsageError, "plan.shard", origin="--shard", most=1000, text=text):
        parse_shard(text)


def test_a_job_that_is_not_indexed_is_told():
    with raises(UsageError, "plan.no_index", total="DEADWEIGHT_SHARDS", index="JOB_COMPLETION_INDEX"):
        shard_of(None, {"DEADWEIGHT_SHARDS": "4"})


def shards() -> dict[str, Report]:
    """The reports of all shards of one run, each with every variant, as a machine that was given one part writes it."""
    whole = samples.report()
    made = {}
    for index, mine in enumerate(divide(list(whole.variants), 3), 1):
        scope = Scope(index, 3, mine, tuple(whole.variants), "c0ffee", "all")
        others = {
            name: record if name in mine else replace(record, build=None, image=None, checks={})
            for name, record in whole.variants.items()
        }
        made[f"shard-{index}"] = replace(whole, variants=others, scope=scope)
    return made


def test_shards_joined_are_the_whole():
    joined = joined_reports(shards())
    assert joined.variants == samples.report().variants
    assert list(joined.variants) == list(samples.report().variants)
    assert parse_report(to_json(joined), origin="joined") == joined


def broken(name: str, **changes: object) -> dict[str, Report]:
    made = shards()
    return {**made, name: replace(made[name], **changes)}


def rescoped(name: str, **changes: object) -> dict[str, Report]:
    return broken(name, scope=replace(shards()[name].scope, **changes))


TWICE = {"shard": "2/3", "count": 2, "files": "shard-2, again"}


@pytest.mark.parametrize(("given", "code", "fields", "shown"), [
    (lambda: {"shard-1": shards()["shard-1"]}, "shards_missing", {"shards": "2/3, 3/3"}, ""),
    (lambda: {**shards(), "again": shards()["shard-2"]}, "shard_twice", TWICE, ""),
    (lambda: rescoped("shard-3", commit="decaf"), "different_runs", {"difference": "commit"}, "shard-3: decaf"),
    (lambda: broken("shard-1", suite="other"), "different_runs", {"difference": "suite"}, "shard-1: other"),
    (lambda: broken("shard-1", tool_version="9"), "different_runs", {"difference": "version"}, "shard-1: 9"),
    (lambda: broken("shard-1", scope=None), "no_shard", {"file": "shard-1"}, ""),
    (lambda: rescoped("shard-2", total=4), "different_runs", {"difference": "shards"}, "shard-2: 4"),
    (lambda: rescoped("shard-2", mine=("jib",)), "shards_divided_differently", {}, ""),
    (lambda: rescoped("shard-2", mine=("nobody",)), "shard_incomplete", {"variants": "nobody"}, ""),
])  # fmt: skip
def test_a_mixture_is_refused_by_name(given, code, fields, shown):
    with raises(UsageError, f"report.{code}", exit_code=2, **fields) as raised:
        joined_reports(given())
    assert shown in str(raised.value)


def test_junit_of_several_machines_is_one_document(tmp_path):
    for number in (1, 2):
        suite = f'<testsuite name="v{number}" tests="2" failures="1" time="1.5"><testsuite tests="1"/></testsuite>'
        (tmp_path / f"{number}.xml").write_text(f"<testsuites>{suite}</testsuites>")
    root = ElementTree.fromstring(joined_junit(sorted(tmp_path.glob("*.xml"))))
    assert [suite.get("name") for suite in root] == ["v1", "v2"]  # a suite's own counts hold those within it
    assert (root.get("tests"), root.get("failures"), root.get("time")) == ("4", "2", "3.000")


def test_sarif_of_several_machines_is_one_log(tmp_path):
    for number in (1, 2):
        log = sarif_log([sarif_run([SarifFinding("r", "m", "p", "f")], f"v{number}")])
        (tmp_path / f"{number}.sarif").write_text(log)
    joined = json.loads(joined_sarif([*sorted(tmp_path.glob("*.sarif")), tmp_path / "1.sarif"]))
    assert [run["automationDetails"]["id"] for run in joined["runs"]] == ["deadweight/v1", "deadweight/v2"]


@pytest.mark.parametrize(("joined", "text", "code"), [
    (joined_junit, "", "report.junit_damaged"), (joined_junit, "<a/>", "report.not_junit"),
    (joined_junit, "<!DOCTYPE x><testsuites/>", "report.junit_doctype"),
    (joined_junit, '<testsuite tests="many"/>', "report.junit_damaged"), (joined_junit, "{}", "report.junit_damaged"),
    (joined_sarif, "", "report.not_sarif"), (joined_sarif, "[]", "report.not_sarif"),
    (joined_sarif, "{}", "report.not_sarif"),
    (joined_sarif, '{"version": "2.0.0", "runs": []}', "report.sarif_version"),
    (joined_sarif, '{"version": "2.1.0", "runs": [1]}', "report.not_sarif"),
])  # fmt: skip
def test_what_is_no_junit_or_sarif_is_refused(tmp_path, joined, text, code):
    (tmp_path / "x").write_text(text)
    with raises(ConfigError, code):
        joined([tmp_path / "x"])
