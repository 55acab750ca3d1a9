"""Whose fault a failed build is, by what buildctl really says (0.34.2)."""

from __future__ import annotations

import pytest

from deadweight._errors import CommandError
from deadweight_pool.pool import judge_fault

RUN = 'error: failed to solve: process "/worker" did not complete successfully: exit code: 3'


@pytest.mark.parametrize(
    ("tail", "fault"),
    [
        ([RUN], "build"),
        (["#7 0.1 error: rpc error: code = Unavailable desc = connection refused", RUN], "build"),
        (["#7 0.1 write /x: no space left on device", RUN], "perhaps disk"),
        (["error: failed to solve: write /root/x: no space left on device"], "disk"),
        (["error: failed to solve: ResourceExhausted: failed to copy files: write: no space left on device"], "disk"),
        (["error: failed to receive status: Unavailable: error reading from server: EOF"], "lost"),
        (['error: failed to list workers: Unavailable: connection error: desc = "transport: x"'], "lost"),
        (["error: failed to solve: Canceled: context canceled"], "lost"),
        (["error: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN"], "build"),
        (["error: failed to solve: go:x: failed to resolve source metadata: docker.io/library/go:x: not found"], "build"),
        ([], "build"),
    ],
)  # fmt: skip
def test_what_buildctl_says(tail, fault):
    assert judge_fault(CommandError(["buildctl"], exit_code_of_command=1, reason="failed", tail=tail)) == fault


def test_what_was_ended_is_lost():
    assert judge_fault(CommandError(["buildctl"], exit_code_of_command=None, reason="did not end within 1 s")) == "lost"
