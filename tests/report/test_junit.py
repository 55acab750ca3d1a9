"""JUnit: counts, outcomes, and text that XML cannot hold."""

from dataclasses import replace
from xml.etree import ElementTree

from deadweight.report.sarif import layers_junit
from tests.support import report_samples

COUNTS = ("tests", "failures", "errors", "skipped")
REPORT = report_samples.layers()


def test_counts_and_outcomes():
    again = replace(REPORT, secrets=(*REPORT.secrets, REPORT.secrets[0]))
    root = ElementTree.fromstring(layers_junit(again, "ko"))
    for holder in (root, *root):
        assert [holder.get(name) for name in COUNTS] == ["4", "3", "0", "1"]
    assert [suite.get("name") for suite in root] == ["ko"]
    assert [[outcome.tag for outcome in case] for case in root[0]] == [
        ["failure"],
        ["failure"],
        ["skipped"],
        ["failure"],
    ]
    names = [case.get("name") for case in root[0]]
    assert len(set(names)) == len(names)
    assert names[3] == f"{names[1]} 2"


def test_an_image_without_secrets_is_one_passed_case():
    root = ElementTree.fromstring(layers_junit(report_samples.layers(1), "ko"))
    assert [root[0].get(name) for name in COUNTS] == ["1", "0", "0", "0"]
    assert [list(case) for case in root[0]] == [[]]


def test_what_xml_cannot_hold_is_escaped():
    hostile = replace(REPORT.secrets[0], path="etc/\x00\x1b[1m<secret> & more\ufffe")
    root = ElementTree.fromstring(layers_junit(replace(REPORT, hidden=(), secrets=(hostile,)), "k\x00o"))
    (case,) = root.iter("testcase")
    assert "etc/\\x00\\x1b[1m<secret> & more\\xfffe" in case.get("name")
    assert "etc/\\x00\\x1b[1m<secret> & more\\xfffe" in case[0].get("message")
    assert case.get("classname") == "k\\x00o"


def test_same_records_same_bytes():
    assert layers_junit(REPORT, "ko") == layers_junit(report_samples.layers(), "ko")
