"""What a person sees on a terminal while work goes on."""

import io
import sys
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Inputs, Step
from deadweight.plan.fingerprint import Fingerprint
from deadweight.plan.graph import Task
from deadweight.plan.scheduler import Outcome
from deadweight.tasks._progress import Watcher


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_is_named_in_one_piece_on_a_narrow_terminal(monkeypatch) -> None:
    """A path that a line's end breaks cannot be copied; the terminal wraps by itself."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    task = Task(Step("image:v", "v", "ko build v", Inputs(), bool, print), Fingerprint("", {}), "why", ("v",))
    log = Path("/home/somebody/a folder/that is deep/.deadweight/logs/v.log")
    with Watcher() as shown:
        shown.began(task)
        shown.ended(Outcome(task, "failed", 1.0, log, DeadweightError("it")))
    assert f"failed after 1.0 s (log: {log})" in sys.stderr.getvalue()
