"""Why a run is red, as the last thing before pytest's own closing line: the first failure's reason, then all failures by cause.

What fails because something else did is one cause: twelve tests that ask a registry that has ended are not twelve faults.
"""

import re
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest

UNREACHABLE = re.compile(
    r"^(?=.*(?:refused|does not answer|o such file|annot connect)).*?(127\.0\.0\.1:\d+|\S+\.sock)\b", re.MULTILINE
)
VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|/tmp/\S+|\d+")
"""What differs between two errors of one cause."""
MOST_LINES, MOST_TESTS, MOST_CAUSES, MOST_LETTERS = 12, 3, 10, 160


def cause(text: str) -> str:
    """Of what an error says: the address that does not answer, else its first line but for what varies."""
    if unreachable := UNREACHABLE.search(text):
        return f"nothing answers at {unreachable[1]}"
    return VARYING.sub("#", text.strip().partition("\n")[0][:MOST_LETTERS]) or "no reason was given"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """After all other summaries, pytest's own included. The first failure is the first in time, on whichever worker."""
    yield
    reports: list[Any] = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, ())]
    groups: dict[str, list[str]] = defaultdict(list)
    for report in sorted(reports, key=lambda report: getattr(report, "stop", 0.0)):
        crash = getattr(report.longrepr, "reprcrash", None)
        text = str(report.longrepr if crash is None else crash.message)
        if not groups:
            terminalreporter.section("why it is red")
            place = [f"{crash.path}:{crash.lineno}"] if crash else []
            lines = [f"first: {report.nodeid} ({report.when or 'collect'})", *text.splitlines()[:MOST_LINES], *place]
            terminalreporter.line("\n  ".join(lines))
        groups[cause(text)].append(report.nodeid)
    for why, tests in sorted(groups.items(), key=lambda group: -len(group[1]))[:MOST_CAUSES]:
        more = [f"and {len(tests) - MOST_TESTS} more"] if len(tests) > MOST_TESTS else []
        terminalreporter.line("\n    ".join([f"{len(tests)} failed: {why}", *tests[:MOST_TESTS], *more]))
