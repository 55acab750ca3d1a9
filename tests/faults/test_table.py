"""The table of faults tells of tests that exist."""

from __future__ import annotations

import re

from tests.support import ROOT, TESTS


def named_in(pattern: str) -> set[str]:
    return {name for file in TESTS.glob(pattern) for name in re.findall(r"def (test_\w+)", file.read_text())}


def test_every_fault_has_its_test_and_every_test_its_fault():
    page = (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)", page))
    assert named - named_in("**/test_*.py") == set()
    assert len(named) >= 30
    assert named_in("faults/test_*.py") - named == {"test_every_fault_has_its_test_and_every_test_its_fault"}
