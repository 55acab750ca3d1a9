"""Show attacks on a terminal: of one variant what stops each, of several how many are stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from rich.text import Text

from deadweight.report.console import print_grid
from deadweight.report.verdict import shared_notes
from deadweight_attacks.summary import cells, tried_now

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight.records.evidence import Evidence

WALLS_NAMED = 2
REASON_LETTERS = 160
WORDS = {"succeeded": "THROUGH", "crashed": "crashed it", "not_applicable": "n/a", "not_measured": "-"}
STYLES = {"blocked": "green", "succeeded": "bold red", "crashed": "magenta"}


def print_attacks(results: Sequence[Evidence], out: Console) -> None:
    """One variant: attacks by postures, each cell naming the walls. Several: variants by postures, how many of the attacks stop."""
    tried = tried_now(results)
    found = {result.variant: {posture: cells(result, posture) for posture in tried} for result in results}
    if len(found) > 1:
        rows = [
            [Text(name), *(Text(_stopped(outcomes.values())) for outcomes in of.values())] for name, of in found.items()
        ]
        print_grid(("attacks stopped", *tried), rows, out)
        return
    for of in found.values():
        names = dict.fromkeys(name for outcomes in of.values() for name in outcomes)
        rows = [[Text(name), *(_shown(outcomes.get(name)) for outcomes in of.values())] for name in names]
        print_grid(("attack", *tried), rows, out)


def amiss(results: Sequence[Evidence]) -> tuple[str, ...]:
    """What is to be said before all tables: ``apko: not measured: nothing was measured in open: …``; where all is fine, nothing."""
    bad = [result for result in results if result.status == "not_measured" or not result.ok]
    # the summary that comes after the reason is in the tables
    reasons = {result.variant: shorten(result.reason.split(". ")[0], REASON_LETTERS, placeholder="…") for result in bad}
    notes = {result.variant: [f"{result.status.replace('_', ' ')}: {reasons[result.variant]}"] for result in bad}
    return shared_notes(notes)


def _stopped(tries: Iterable[Mapping[str, Any]]) -> str:
    """``33/53``; as in the report, what is only there if it is handed in is not counted."""
    outcomes = [cell["outcome"] for cell in tries if not cell.get("handed_in")]
    tried = sum(outcome in STYLES for outcome in outcomes)
    return f"{outcomes.count('blocked')}/{tried}" if tried else WORDS["not_measured"]


def _shown(cell: Mapping[str, Any] | None) -> Text:
    """``seccomp, non-root +2``."""
    if cell is None:
        return Text("")
    walls = list(cell.get("walls") or ())
    stops = ", ".join(walls[:WALLS_NAMED]) + (f" +{len(walls) - WALLS_NAMED}" if len(walls) > WALLS_NAMED else "")
    word = WORDS.get(cell["outcome"]) or stops or ("blocked" if cell["depth"] is None else "walls together")
    return Text(word, STYLES.get(cell["outcome"], "dim"))
