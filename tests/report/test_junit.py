"""JUnit: counts, outcomes, and text that XML cannot hold."""

from __future__ import annotations

from xml.etree import ElementTree

from deadweight.report.sarif import JunitCase, JunitSuite, junit

SUITES = [
    JunitSuite(
        "ko",
        (
            JunitCase("runs", "deadweight.ko", 1.5),
            JunitCase("layers", "deadweight.ko", failure="1 secret", detail="etc/\x00\x1b[1m<secret> & more\ufffe"),
            JunitCase("attacks", "deadweight.ko", error="the engine is gone"),
            JunitCase("vulnerabilities", "deadweight.ko", skipped="not covered"),
        ),
        timestamp="2026-06-01T10:00:00",
        properties={"image": "sha256:0"},
    ),
    JunitSuite("empty", ()),
]


def test_counts_and_outcomes():
    root = ElementTree.fromstring(junit(SUITES))
    assert {key: root.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "1.500",
    }
    assert [suite.get("name") for suite in root] == ["ko", "empty"]
    assert [[outcome.tag for outcome in case] for case in root[0].iter("testcase")] == [
        [],
        ["failure"],
        ["error"],
        ["skipped"],
    ]


def test_what_xml_cannot_hold_is_escaped():
    failure = ElementTree.fromstring(junit(SUITES)).find(".//failure")
    assert failure.text == "etc/\\x00\\x1b[1m<secret> & more\\xfffe"
    assert failure.get("message") == "1 secret"


def test_same_records_same_bytes():
    assert junit(SUITES) == junit(list(SUITES))
