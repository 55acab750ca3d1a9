"""Why builds failed: logs with their true cause. Nothing may be named wrongly; what is not known is told as that."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deadweight._errors import CommandError
from deadweight.builders.dockerfile.errors import DockerListener

LOGS = yaml.safe_load((Path(__file__).parent / "corpus/build_logs.yaml").read_text(encoding="utf-8"))
LEAST = 0.9


def cause_of(step: str, log: str) -> str:
    """The cause that a build names that fails so."""
    listener = DockerListener(lambda _: None, "Dockerfile", {step: 3})
    for line in (f"#7 [build 3/5] {step}", *(f"#7 0.5{at:02} {line}" for at, line in enumerate(log.splitlines()))):
        listener(line)
    listener(f'#7 ERROR: process "/bin/sh -c {step[4:]}" did not complete successfully: exit code: 1')
    error = CommandError(["docker"], exit_code_of_command=1, reason="failed")
    return listener.failure(error, "today", stand_in=False, full_disk=str).cause


@pytest.mark.parametrize("case", LOGS, ids=[f"{at}-{each['cause']}" for at, each in enumerate(LOGS)])
def test_no_cause_is_named_that_is_not_the_true_one(case):
    assert cause_of(case["step"], case["log"]) in (case["cause"], "unknown")


def test_nine_of_ten_causes_are_named():
    named = [cause_of(each["step"], each["log"]) == each["cause"] for each in LOGS]
    assert len(LOGS) >= 50
    assert sum(named) >= max(45, LEAST * len(LOGS))
