"""A finding is counted once, however many programs of an image hold a copy of its package."""

from dataclasses import replace

from deadweight.checks.scan.model import Found, count
from deadweight.checks.scan.reachability import Observation, reachability
from deadweight.checks.vulnerabilities import severity_gates
from deadweight.suite.checks import VulnerabilitiesCheck

ROW = Found("CVE-2030-1", "stdlib", "1.21.3", "critical", "language", "1.21.4", "usr/bin/0", "gobinary")
COPIES = tuple(replace(ROW, path=f"usr/bin/{number}") for number in range(20))
OTHER = replace(ROW, version="1.26.0", fixed_version=None)


def test_copies_are_a_figure_of_their_own():
    """84 ids in 20 programs of the Go compiler were called 1,680 findings."""
    found = count((*COPIES, OTHER))
    assert (found.total, found.copies, found.fixable, found.ids) == (2, 21, 1, 1)
    assert found.by_severity["critical"] == 2


def test_a_gate_counts_each_once():
    (gate,) = severity_gates(VulnerabilitiesCheck(max={"critical": 1}), COPIES, None)
    assert gate.held


def test_one_touched_copy_is_enough_and_none_is_not_touched():
    seen = Observation("k", ("/usr/bin/0",), ("/usr/bin/0",))
    found = reachability((True, *[False] * 19, False), (*COPIES, OTHER), seen, 16)
    assert (found.reachable, found.dead_weight, found.undecided, found.requests) == (1, 1, 0, 16)
    unsure = reachability((None, *[False] * 19), COPIES, seen, 16)
    assert (unsure.reachable, unsure.dead_weight, unsure.undecided) == (0, 0, 1)
