"""SARIF: the parts that consumers require, and ids that do not change."""

import json
import random
from urllib.parse import unquote, urlsplit

import pytest

from deadweight.report.sarif import FINGERPRINT, SarifFinding, sarif_log, sarif_run
from tests.support.json_schema import checked

FINDINGS = [
    SarifFinding("token", "A token was deleted in layer 3", "etc/secret file#1?.txt", "f1", line=3, place="layer 2"),
    SarifFinding(
        *("cve", "CVE-1", "usr/lib/libx.so", "f2"),
        level="warning",
        properties={"package": "x", "fixed": "1.2"},
        description="A known one",
        help_uri="https://x/y",
        security_severity=7.25,
    ),
    SarifFinding("token", "Another", "/etc/ümlaut", "f3", suppressed="test key, until 2027"),
]


def test_document():
    log = json.loads(sarif_log([sarif_run(FINDINGS, "ko")]))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["cve", "token"]
    assert run["tool"]["driver"]["rules"][0]["properties"] == {"security-severity": "7.2"}
    assert run["automationDetails"] == {"id": "deadweight/ko"}
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert checked(json.dumps(log)) == log


def test_the_schema_refuses_what_is_no_part_of_the_standard():
    log = json.loads(sarif_log([sarif_run(FINDINGS)]))
    log["runs"][0]["results"][0]["fingerprint"] = "f1"
    with pytest.raises(AssertionError):
        checked(json.dumps(log))


def test_paths_are_relative_uris_that_decode_to_the_name():
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in sarif_run(FINDINGS)["results"]
    ]
    assert [urlsplit(uri).path for uri in uris] == uris
    assert sorted(map(unquote, uris)) == ["etc/secret file#1?.txt", "etc/ümlaut", "usr/lib/libx.so"]


def test_order_of_findings_changes_nothing():
    shuffled = FINDINGS[:]
    random.Random(1).shuffle(shuffled)
    assert sarif_run(shuffled) == sarif_run(FINDINGS)


def test_fingerprints_and_suppressions():
    results = sarif_run(FINDINGS)["results"]
    by_mark = {result["partialFingerprints"][FINGERPRINT]: result for result in results}
    assert set(by_mark) == {"f1", "f2", "f3"}
    assert by_mark["f3"]["suppressions"][0]["justification"] == "test key, until 2027"
    assert "suppressions" not in by_mark["f1"]


def test_findings_of_one_fingerprint_are_numbered():
    """GitHub takes results of one ``primaryLocationLineHash`` for one alert."""
    twice = [SarifFinding("token", "m", "history", "f1", place=f"history[{number}]") for number in (0, 2)]
    results = sarif_run([*twice, FINDINGS[2]])["results"]
    marks = [result["partialFingerprints"] for result in results]
    assert [mark[FINGERPRINT] for mark in marks] == ["f3", "f1", "f1:2"]
    assert [mark["primaryLocationLineHash"] for mark in marks] == ["f3:1", "f1:1", "f1:2"]


def test_no_findings_is_a_run_without_results():
    assert checked(sarif_log([sarif_run([])]))["runs"][0]["results"] == []
