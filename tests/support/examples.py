"""How many examples a property test tries: all in ``nox -s fuzz``, fewer in every run of the suite, new ones each time."""

import os

FUZZ = int(os.environ.get("DEADWEIGHT_FUZZ", "0"))
"""How many of each kind ``nox -s fuzz`` was asked for; 0 in a run of the suite."""


def examples(count: int) -> int:
    """``count`` in ``nox -s fuzz``, a fifth of it elsewhere."""
    return count if FUZZ else count // 5
