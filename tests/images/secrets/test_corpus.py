"""Recall and false alarms on the cases that four other scanners test their own rules with (``tests/data/secret-cases``)."""

from __future__ import annotations

import pytest

from bench.cases import DATA, MARK, Case, stored, without_contradictions
from deadweight_images.secrets.scanner import Scanner

# Percent of a peer's true cases that we find at least: more than any other but their own authors (bench/secrets.py). Of the same
# cases of kingfisher's gitleaks, the best of the others, finds 44.0, of Trivy's betterleaks 38.6.
LEAST = {"gitleaks": 99.0, "betterleaks": 93.0, "trivy": 45.0, "kingfisher": 44.1}
FALSE_ALARMS = 4.0  # percent, of all together


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Case]]:
    return without_contradictions({name: stored(name) for name in LEAST})


@pytest.fixture(scope="module")
def found(corpus) -> dict[Case, bool]:
    """Whether the gate would count something in each case."""
    scanner = Scanner.default()
    return {
        case: any(
            match.confidence != "low"
            for match in scanner.scan(case.text.encode("utf-8", "surrogateescape"), path="case.conf").matches
        )
        for cases in corpus.values()
        for case in cases
    }


@pytest.mark.slow
@pytest.mark.parametrize("peer", LEAST)
def test_recall_on_what_a_peer_calls_a_secret(peer, corpus, found):
    true = [case for case in corpus[peer] if case.true]
    missed = [case.rule for case in true if not found[case]]
    assert 100 * (len(true) - len(missed)) / len(true) >= LEAST[peer], missed


def test_false_alarms_on_what_peers_call_none(corpus, found):
    for false in (
        [case for cases in corpus.values() for case in cases if not case.true],
        list({case.text: case for case in found if not case.true}.values()),  # many stand in two corpora
    ):
        alarms = [case for case in false if found[case]]
        assert len(false) > 600
        assert 100 * len(alarms) / len(false) <= FALSE_ALARMS, [(case.rule, case.text[:80]) for case in alarms]


def test_no_scanner_finds_a_token_in_the_data():
    scanner = Scanner.default()
    for file in sorted(DATA.iterdir()):
        assert scanner.scan(file.read_bytes(), path=f"srv/{file.name}").matches == (), file.name
    assert MARK in (DATA / "trivy.jsonl").read_text()
