"""SARIF and JUnit: the parts that consumers require, ids that do not change, and text that XML cannot hold."""

import json
from dataclasses import replace
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

from deadweight.report.sarif import FINGERPRINT, SarifFinding, layers_junit, sarif_log, sarif_run
from tests.support import report_samples
from tests.support.json_schema import checked

FINDINGS = [
    SarifFinding("token", "A token was deleted in layer 3", "etc/secret file#1?.txt", "f1", line=3, place="layer 2"),
    SarifFinding(
        "cve", "CVE-1", "usr/lib/libx.so", "f2", level="warning", properties={"package": "x", "fixed": "1.2"},
        description="A known one", help_uri="https://x/y", security_severity=7.25,
    ),
    SarifFinding("token", "Another", "/etc/ümlaut", "f3", suppressed="test key, until 2027"),
]  # fmt: skip


def test_document():
    log = json.loads(sarif_log([sarif_run(FINDINGS, "ko")]))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert ([rule["id"] for rule in rules], rules[0]["properties"]) == (["cve", "token"], {"security-severity": "7.2"})
    assert (log["version"], run["automationDetails"]) == ("2.1.0", {"id": "deadweight/ko"})
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert checked(json.dumps(log)) == log


def test_the_schema_refuses_what_is_no_part_of_the_standard():
    log = json.loads(sarif_log([sarif_run(FINDINGS)]))
    log["runs"][0]["results"][0]["fingerprint"] = "f1"
    with pytest.raises(AssertionError):
        checked(json.dumps(log))


def test_paths_are_relative_uris_that_decode_to_the_name():
    places = [result["locations"][0]["physicalLocation"] for result in sarif_run(FINDINGS)["results"]]
    uris = [place["artifactLocation"]["uri"] for place in places]
    assert [urlsplit(uri).path for uri in uris] == uris
    assert sorted(map(unquote, uris)) == ["etc/secret file#1?.txt", "etc/ümlaut", "usr/lib/libx.so"]


def test_fingerprints_and_suppressions_whatever_the_order():
    assert sarif_run(FINDINGS[::-1]) == sarif_run(FINDINGS)
    results = sarif_run(FINDINGS)["results"]
    by_mark = {result["partialFingerprints"][FINGERPRINT]: result.get("suppressions") for result in results}
    assert (set(by_mark), by_mark["f1"]) == ({"f1", "f2", "f3"}, None)
    assert by_mark["f3"][0]["justification"] == "test key, until 2027"


def test_findings_of_one_fingerprint_are_numbered():
    """GitHub takes results of one ``primaryLocationLineHash`` for one alert."""
    twice = [SarifFinding("token", "m", "history", "f1", place=f"history[{number}]") for number in (0, 2)]
    marks = [result["partialFingerprints"] for result in sarif_run([*twice, FINDINGS[2]])["results"]]
    assert [mark[FINGERPRINT] for mark in marks] == ["f3", "f1", "f1:2"]
    assert [mark["primaryLocationLineHash"] for mark in marks] == ["f3:1", "f1:1", "f1:2"]


def test_no_findings_is_a_run_without_results():
    assert checked(sarif_log([sarif_run([])]))["runs"][0]["results"] == []


COUNTS = ("tests", "failures", "errors", "skipped")
REPORT = report_samples.layers()


def test_counts_and_outcomes():
    root = ElementTree.fromstring(layers_junit(replace(REPORT, secrets=(*REPORT.secrets, REPORT.secrets[0])), "ko"))
    for holder in (root, *root):
        assert [holder.get(name) for name in COUNTS] == ["4", "3", "0", "1"]
    assert [suite.get("name") for suite in root] == ["ko"]
    assert [outcome.tag for case in root[0] for outcome in case] == ["failure", "failure", "skipped", "failure"]
    names = [case.get("name") for case in root[0]]
    assert (len(set(names)), names[3]) == (len(names), f"{names[1]} 2")


def test_an_image_without_secrets_is_one_passed_case():
    root = ElementTree.fromstring(layers_junit(report_samples.layers(1), "ko"))
    assert ([root[0].get(name) for name in COUNTS], [list(case) for case in root[0]]) == (["1", "0", "0", "0"], [[]])


def test_what_xml_cannot_hold_is_escaped():
    hostile = replace(REPORT.secrets[0], path="etc/\x00\x1b[1m<secret> & more\ufffe")
    root = ElementTree.fromstring(layers_junit(replace(REPORT, hidden=(), secrets=(hostile,)), "k\x00o"))
    (case,) = root.iter("testcase")
    for text in (case.get("name"), case[0].get("message")):
        assert "etc/\\x00\\x1b[1m<secret> & more\\xfffe" in text
    assert case.get("classname") == "k\\x00o"
