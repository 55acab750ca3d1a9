"""The benchmark of the attack matrix: times of two ways that found different things are no measurement."""

import pytest

from bench import attacks

ROW = {"ours_seconds": 1.0, "naive_seconds": 4.0, "resource_seconds": 2.0, "attacks": 50, "sampled": 20}
SUMS = {"ours_seconds": 2.0, "naive_seconds": 8.0, "resource_seconds": 4.0, "ratio": 0.25}


@pytest.fixture
def run(monkeypatch):
    def measured(**differing):
        rows = {name: {**ROW, "differing": names} for name, names in differing.items()}
        monkeypatch.setattr(attacks, "measure", lambda: {**SUMS, "variants": rows})
        return attacks.run()

    return measured


def test_the_result_tells_how_many_attacks_came_to_the_same(run):
    matrix, _ = run(apko=[], ko=[])
    assert (matrix.met, matrix.facts) == (True, {"same_outcomes": True, "attacks": 100, "naive_sampled": 40})


def test_ways_that_differ_in_what_they_found_are_not_compared(run):
    with pytest.raises(SystemExit, match="write-root in hardened"):
        run(apko=[], ko=["write-root in hardened"])
