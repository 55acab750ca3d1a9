"""A suite's own noise floors and ratchets for comparisons."""

from dataclasses import replace

import pytest

from deadweight._errors import ConfigError
from deadweight.report.compare import compare
from deadweight.report.model import Finding, Report, VulnerabilitiesRecord
from deadweight.suite.model import ReportThresholds
from tests.support import report_samples as samples
from tests.support.small_project import write_suite

SUITE = """\
name: demo
variants:
  one: {{builder: ko, base: example.com/base}}
report:
  thresholds: {values}
"""


def thresholds(suite):
    return suite.report.thresholds


def report(size: int, *rows: Finding, total: int | None = None) -> Report:
    found = VulnerabilitiesRecord("scanned", total=len(rows) if total is None else total, findings=rows)
    variant = replace(samples.variant(size), vulnerabilities=found)
    return replace(samples.report(), variants={"one": variant})


def test_without_a_section_the_defaults_hold(tmp_path):
    assert thresholds(write_suite(tmp_path, SUITE.format(values="{}"))) == ReportThresholds()


def test_a_suite_says_what_is_noise_and_what_a_regression(tmp_path):
    old, new = report(10_000_000), report(14_000_000)
    assert compare(old, new, ReportThresholds()).regressions
    loose = thresholds(write_suite(tmp_path, SUITE.format(values="{ratchet_bytes: 5MB}")))
    assert [change.kind for change in compare(old, new, loose).regressions] == []
    deaf = thresholds(write_suite(tmp_path, SUITE.format(values="{noise_bytes: 5MiB, ratchet_bytes: 5MiB}")))
    assert not [change for change in compare(old, new, deaf).changes if change.kind == "size"]


def test_a_suite_says_which_new_findings_are_regressions(tmp_path):
    old, new = report(10_000_000), report(10_000_000, Finding("CVE-2030-1", "libfoo", "high"))
    assert compare(old, new, ReportThresholds()).regressions
    calm = thresholds(write_suite(tmp_path, SUITE.format(values="{grave: [critical]}")))
    assert not compare(old, new, calm).regressions


def test_the_same_vulnerability_in_more_places_is_told():
    row = Finding("CVE-2030-1", "stdlib", "high", kind="language")
    many = report(10_000_000, row)
    few = {
        name: replace(each, vulnerabilities=replace(each.vulnerabilities, copies=1))
        for name, each in many.variants.items()
    }
    more = {
        name: replace(each, vulnerabilities=replace(each.vulnerabilities, copies=2))
        for name, each in many.variants.items()
    }
    found = compare(replace(many, variants=few), replace(many, variants=more), ReportThresholds())
    assert [change.text for change in found.changes if change.kind == "vulnerabilities"] == [
        "the same vulnerabilities in more places: 1 → 2"
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("{ratchet_bytes: 5XB}", "ratchet_bytes.*5XB"),
        ("{noise_percent: -1}", "noise_percent.*-1"),
        ("{grave: [dire]}", "grave.*dire"),
        ("{ratchet_megabytes: 5}", "ratchet_megabytes"),
    ],
)
def test_wrong_thresholds_are_refused_with_their_line(tmp_path, values, words):
    with pytest.raises(ConfigError, match=words) as error:
        thresholds(write_suite(tmp_path, SUITE.format(values=values)))
    assert (error.value.exit_code, error.value.line) == (2, 5)
