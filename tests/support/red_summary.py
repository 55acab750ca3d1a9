"""Why a run is red, as the last thing before pytest's own closing line: the first failure's reason, then all by their causes.

What fails because something else did is one cause: twelve tests that ask a registry that has ended are not twelve faults.
"""

import collections
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import pytest

UNREACHABLE = re.compile(
    r"^(?=.*(?:refused|does not answer|o such file|annot connect)).*?(127\.0\.0\.1:\d+|\S+\.sock)\b", re.MULTILINE
)
VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|/tmp/\S+|\d+")
"""What differs between two errors of one cause."""
MOST_LINES, MOST_TESTS, MOST_CAUSES, MOST_LETTERS = 12, 3, 10, 160


@dataclass(frozen=True)
class Failure:
    """``text`` is what the error says, ``place`` the file and line where it was raised, ``ended`` in seconds since 1970."""

    test: str
    when: str
    text: str
    place: str
    ended: float

    @property
    def cause(self) -> str:
        if found := UNREACHABLE.search(self.text):
            return f"nothing answers at {found[1]}"
        return (self.text.strip().splitlines() or ["no reason was given"])[0][:MOST_LETTERS]


def failure(report: pytest.TestReport | pytest.CollectReport) -> Failure:
    """One report of pytest's, from whichever worker."""
    said = report.longrepr
    crash = getattr(said, "reprcrash", None)
    text = str(crash.message) if crash is not None else str(said)
    place = f"{crash.path}:{crash.lineno}" if crash is not None else ""
    return Failure(report.nodeid, report.when or "collect", text, place, getattr(report, "stop", 0.0))


def grouped(failures: Sequence[Failure]) -> dict[str, list[Failure]]:
    """By cause, the one of the first failure first, then the largest. Errors that differ in numbers alone have the same cause."""
    groups: dict[str, list[Failure]] = collections.defaultdict(list)
    for each in sorted(failures, key=lambda failure: failure.ended):
        groups[each.cause if UNREACHABLE.search(each.text) else VARYING.sub("#", each.cause)].append(each)
    first, *others = groups.values()
    return {members[0].cause: members for members in (first, *sorted(others, key=len, reverse=True))}


def lines(failures: Sequence[Failure]) -> list[str]:
    """The text; there is at least one failure."""
    groups = grouped(failures)
    first, *more = next(iter(groups.values()))
    told = [f"first: {first.test} ({first.when})"]
    told += [f"  {line}" for line in first.text.splitlines()[:MOST_LINES]]
    told += [f"  {first.place}"] if first.place else []
    if more:
        told.append(f"{len(more)} more: {next(iter(groups))}{_tests(more)}")
    for cause, members in list(groups.items())[1:MOST_CAUSES]:
        told.append(f"{len(members)} {'other' if len(members) == 1 else 'others'}: {cause}{_tests(members)}")
    if (left := len(groups) - MOST_CAUSES) > 0:
        told.append(f"and {left} more causes: see above")
    return told


def _tests(members: Sequence[Failure]) -> str:
    names = [each.test for each in members[:MOST_TESTS]]
    names += [f"and {len(members) - MOST_TESTS} more"] if len(members) > MOST_TESTS else []
    return "".join(f"\n    {name}" for name in names)


class Plugin:
    """After all other summaries, pytest's own included."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        yield
        reports = [each for kind in ("failed", "error") for each in terminalreporter.stats.get(kind, ())]
        if reports:
            terminalreporter.section("why it is red")
            for line in lines([failure(each) for each in reports]):
                terminalreporter.line(line)
