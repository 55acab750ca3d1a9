"""Why a run is red, as the last thing before pytest's own closing line: the first failure's reason, then all by their causes.

What fails because something else did is one cause: twelve tests that ask a registry that has ended are not twelve faults.
"""

import collections
import re
from collections.abc import Generator, Sequence
from typing import Any

import pytest

UNREACHABLE = re.compile(
    r"^(?=.*(?:refused|does not answer|o such file|annot connect)).*?(127\.0\.0\.1:\d+|\S+\.sock)\b", re.MULTILINE
)
VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|/tmp/\S+|\d+")
"""What differs between two errors of one cause."""
MOST_LINES, MOST_TESTS, MOST_CAUSES, MOST_LETTERS = 12, 3, 10, 160


def cause(text: str) -> str:
    """Of what an error says."""
    if unreachable := UNREACHABLE.search(text):
        return f"nothing answers at {unreachable[1]}"
    return (text.strip().splitlines() or ["no reason was given"])[0][:MOST_LETTERS]


def lines(reports: Sequence[Any]) -> list[str]:
    """The text for reports of pytest's, of which there is at least one. The cause of the first failure comes first, then the one
    of most. Errors that differ in numbers alone have the same cause."""
    groups: dict[str, list[Any]] = collections.defaultdict(list)
    for report in sorted(reports, key=lambda report: getattr(report, "stop", 0.0)):
        text = _text(report)
        groups[cause(text) if UNREACHABLE.search(text) else VARYING.sub("#", cause(text))].append(report)
    (first, *more), *others = groups.values()
    told = [f"first: {first.nodeid} ({first.when or 'collect'})"]
    told += [f"  {line}" for line in _text(first).splitlines()[:MOST_LINES]]
    if crash := getattr(first.longrepr, "reprcrash", None):
        told.append(f"  {crash.path}:{crash.lineno}")
    told += [_members("more", more, first)] if more else []
    others.sort(key=len, reverse=True)
    told += [_members("other" if len(each) == 1 else "others", each, each[0]) for each in others[: MOST_CAUSES - 1]]
    if (left := len(groups) - MOST_CAUSES) > 0:
        told.append(f"and {left} more causes: see above")
    return told


def _text(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(report.longrepr if crash is None else crash.message)


def _members(word: str, reports: Sequence[Any], example: Any) -> str:
    names = [each.nodeid for each in reports[:MOST_TESTS]]
    names += [f"and {len(reports) - MOST_TESTS} more"] if len(reports) > MOST_TESTS else []
    return "\n    ".join([f"{len(reports)} {word}: {cause(_text(example))}", *names])


class Plugin:
    """After all other summaries, pytest's own included."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        yield
        reports = [each for kind in ("failed", "error") for each in terminalreporter.stats.get(kind, ())]
        if reports:
            terminalreporter.section("why it is red")
            for line in lines(reports):
                terminalreporter.line(line)
