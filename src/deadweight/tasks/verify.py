"""Define ``verify`` (run the suite's checks) and ``attack`` (attack running images)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from textwrap import shorten
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import colour, console, print_json, report_progress, say, stand_in_rows, tell_stand_ins
from deadweight.tasks._task import Names, Part, choose, names, task

OUTCOMES = {
    "passed": ("pass", "32"),
    "warned": ("warn", "33"),
    "measured": ("measured", "36"),
    "failed as expected": ("fail, as expected", "32"),
    "passed, though expected to fail": ("passed, though expected to fail", "1;31"),
    "failed": ("FAIL", "1;31"),
    "not measured": ("not measured", "2"),
}
"""How a check can come out, in the order of a tally: its mark in a line, and that one's colour."""


@task(help={"check": "the check (repeatable; default: all checks in the suite)"})
def verify(c: Context, part: Part, variant: Names = None, check: Names = None, json: bool = False) -> None:
    """Run the checks on built variants, each in a hardened container; exit 1 if one fails, 3 if not measured or unproven.

    Example: invoke verify --variant apko --check api
    Example: invoke verify --shard 2/5
    """
    with lazy.Workspace.open(say, since=part.since) as workspace:
        selection = choose(workspace, variant, part)
        chosen = selection.variants
        if selection.narrowed and not chosen:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        lazy.table.refuse_unasked(names(check), chosen)
        built = [variant for variant in chosen if workspace.built(variant.name) is not None]
        results = verify_variants(workspace, built or chosen, names(check))
    if json:
        print_json({"suite": workspace.suite.name, "evidence": stand_in_rows(workspace, results)})
    else:
        tell_stand_ins(workspace, (result.variant for result in results))
    left = ", ".join(variant.name for variant in chosen if variant not in built)
    conclude(results, f"not checked because not built: {left}" if left else "")
    refuse_unproven(built)


def verify_variants(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], checks: Sequence[str] = (), jobs: int | None = None
) -> tuple[lazy.Evidence, ...]:
    """Check these variants, several side by side, telling each outcome on stderr."""
    with lazy.locked(workspace.state, say):
        done: list[str] = []

        def tell(results: lazy.Evidence) -> None:
            done.append(results.check)
            say(_line(results))

        with report_progress(lambda: f"verify, {lazy.figures.plural(len(done), 'check')} done"):
            if workspace.engine_pool is not None:
                return tuple(workspace.engine_pool.verify(chosen, checks, jobs, tell))
            subjects = [workspace.subject(variant) for variant in chosen]
            return tuple(lazy.runner.verify(subjects, checks, jobs=jobs, on_evidence=tell))


def conclude(results: Sequence[lazy.Evidence], left: str = "", then: str = "invoke report") -> None:
    """Say the total and the next command; ``left`` is what was not even tried. Each finding was told when it came.

    Raises CheckFailed naming the checks that did not end as the suite expects, MissingError where something was not measured.
    """
    if not results and not left:
        raise MissingError(wording("tasks.no_checks"))
    raise_if_bad(results, left)
    say(tally(results) + (f". Next: {then}" if then else ""))


def refuse_unproven(chosen: Sequence[lazy.Variant]) -> None:
    """Raises MissingError (exit 3) where the suite says that what was seen of a variant proves little."""
    by_code: dict[str, list[str]] = {}
    for variant in chosen:
        for code in variant.unproven:
            by_code.setdefault(code, []).append(variant.name)
    if by_code:
        doubts = "\n".join(f"{code}: {', '.join(names)}" for code, names in by_code.items())
        raise MissingError(wording("tasks.unproven", doubts=doubts))


def tally(results: Sequence[lazy.Evidence]) -> str:
    """How many checks came out how: ``72 passed, 2 failed as expected``."""
    counts = Counter(outcome(result) for result in results)
    return ", ".join(f"{counts[word]} {word}" for word in OUTCOMES if counts[word]) or "no check was run"


def outcome(evidence: lazy.Evidence) -> str:
    """One of ``OUTCOMES``."""
    if evidence.status == "not_measured":
        return "not measured"
    if evidence.status == "fail":
        return "failed as expected" if evidence.ok else "failed"
    if not evidence.ok:
        return "passed, though expected to fail"
    if evidence.status == "warn":
        return "warned"
    return "passed" if evidence.gated else "measured"


def raise_if_bad(results: Sequence[lazy.Evidence], left: str = "") -> None:
    """Raises CheckFailed naming each check that did not end as the suite expects; MissingError where one could not be measured,
    or where something was ``left`` for want of a build.
    """
    unmeasured = [result for result in results if result.status == "not_measured"]
    bad = [result for result in results if not result.ok and result not in unmeasured]
    tallied = "; ".join(filter(None, (tally(results), left)))
    checks = lazy.figures.plural(len(results), "check")
    if bad:
        message = wording("tasks.checks_failed", failed=len(bad), checks=checks, names=_names(bad), tally=tallied)
        raise CheckFailed(message)
    if unmeasured:
        hints = dict.fromkeys(str(result.data["hint"]) for result in unmeasured if result.data.get("hint"))
        hint = "; ".join([*hints, *(["invoke build"] if left else [])]) or "see the reasons above"
        message = wording(
            "tasks.check_unmeasured" if len(unmeasured) == 1 else "tasks.checks_unmeasured",
            count=len(unmeasured),
            checks=checks,
            names=_names(unmeasured),
            tally=tallied,
        )
        raise MissingError(message, hint=hint)
    if left:
        raise MissingError(wording("tasks.not_checked", left=left, tally=tally(results)))


def _names(results: Sequence[lazy.Evidence]) -> str:
    return ", ".join(f"{result.variant}/{result.check}" for result in results)


def _line(evidence: lazy.Evidence) -> str:
    mark, tone = OUTCOMES[outcome(evidence)]
    shown = f"\x1b[{tone}m{mark}\x1b[0m" if colour() else mark
    return f"{evidence.variant}: {evidence.check}: {shown}: {evidence.reason}"


# ``attack``.
@task(
    help={
        "variant": "the variant (repeatable; default: all that are services)",
        "posture": "open, default, hardened, tight-seccomp, privileged, only-WALL, without-WALL or all (repeatable; "
        "default: the first three, and each wall alone)",
    }
)
def attack(c: Context, part: Part, variant: Names = None, posture: Names = None, json: bool = False) -> None:
    """Run real attacks in isolated containers, and show what stops each; exit 1 if a gate fails, 3 if it could not be measured.

    Example: invoke attack --variant apko --posture hardened
    Example: invoke attack --since origin/main
    """
    postures = names(posture)
    lazy.attacks.plan_for(postures, ())
    with lazy.Workspace.open(say, since=part.since) as workspace:
        selection = choose(workspace, variant, part)
        chosen = [variant for variant in selection.variants if variant.runnable]
        if not chosen and selection.narrowed:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        if not chosen:
            raise UsageError(wording("tasks.no_service"))
        built = [variant for variant in chosen if workspace.built(variant.name) is not None]
        with lazy.locked(workspace.state, say), report_progress("attack"):
            if workspace.engine_pool is not None:
                results = workspace.engine_pool.attack(built or chosen, postures, say)
            else:
                results = lazy.attacks.attack_all(list(map(workspace.subject, built or chosen)), postures, say=say)
    _show(workspace, results, as_json=json)
    left = ", ".join(variant.name for variant in chosen if variant not in built)
    raise_if_bad(results, f"not attacked, since not built: {left}" if left else "")


def _show(workspace: lazy.Workspace, results: Sequence[lazy.Evidence], *, as_json: bool) -> None:
    notes = {result.variant: lazy.collect.attack_notes(result.data) for result in results}
    by_kind: dict[str, Mapping[str, Sequence[str]]] = {"note": notes}
    if as_json:
        print_json({"suite": workspace.suite.name, "evidence": stand_in_rows(workspace, results)})
    else:
        out = console()
        for line in amiss(results):
            out.print(line, style="bold", markup=False, soft_wrap=True)
        print_attacks(results, out)
        by_kind = {"hole": {result.variant: lazy.attacks.holes(result) for result in results}, "note": notes}
        by_kind["not measured"] = {result.variant: lazy.attacks.unmeasured(result) for result in results}
    for kind, by_variant in by_kind.items():
        for line in lazy.shared_notes(by_variant):
            say(f"{kind}: {line}")
    for result in results:
        reason = "; ".join(part for part in result.reason.split("; ") if part not in notes[result.variant])
        say(f"{result.variant}: {result.status.replace('_', ' ')}: {reason}")
    if not as_json:
        tell_stand_ins(workspace, (result.variant for result in results))
        say(f"{lazy.attacks.total(results)}. Next: invoke report")


# Attacks on a terminal: one variant with the walls by name, several with how many walls stop each.
WALLS_NAMED = 2
REASON_LETTERS = 160
WORDS = {"succeeded": "THROUGH", "crashed": "crashed it", "not_applicable": "n/a", "not_measured": "-"}
STYLES = {"blocked": "green", "succeeded": "bold red", "crashed": "magenta"}
DELIVERIES = {"service": "through the service", "breach": "after a breach"}


def print_attacks(results: Sequence[lazy.Evidence], out: lazy.Console) -> None:
    """One variant: attacks by postures, each cell naming the walls. Several: a table for each posture, attacks by variants."""
    tried = lazy.attacks.tried_now(results)
    if len(results) == 1:
        (result,) = results
        columns = {posture: lazy.attacks.cells(result, posture) for posture in tried}
        _print_table(f"{result.variant}: what stops each attack", columns, _walls, results, out)
        return
    for posture in tried:
        title = f"{posture}: how many walls stop each attack"
        columns = {result.variant: cells for result in results if (cells := lazy.attacks.cells(result, posture))}
        _print_table(title, columns, lambda cell: str(cell["depth"] or "blocked"), results, out)


def amiss(results: Sequence[lazy.Evidence]) -> tuple[str, ...]:
    """What is to be said before all tables: ``apko: not measured: nothing was measured in open: …``; where all is fine, nothing."""
    bad = [result for result in results if result.status == "not_measured" or not result.ok]
    # the summary that comes after the reason is in the tables
    reasons = {result.variant: shorten(result.reason.split(". ")[0], REASON_LETTERS, placeholder="…") for result in bad}
    notes = {result.variant: [f"{result.status.replace('_', ' ')}: {reasons[result.variant]}"] for result in bad}
    return lazy.shared_notes(notes)


def by_delivery(results: Iterable[lazy.Evidence], names: Iterable[str]) -> list[tuple[str, str]]:
    """Each attack once, those through the service first; before the first of each way its name, where there are both."""
    known = {name: row.get("delivery") for result in results for name, row in result.data.get("payloads", {}).items()}
    ways = {name: "breach" if known.get(name) == "breach" else "service" for name in names}
    ordered = sorted(ways, key=lambda name: ways[name] == "breach")
    first = {ways[name]: name for name in reversed(ordered)} if "breach" in ways.values() else {}
    return [(DELIVERIES[ways[name]] if name in first.values() else "", name) for name in ordered]


def _print_table(
    title: str,
    columns: Mapping[str, Mapping[str, Any]],
    word: Callable[[Mapping[str, Any]], str],
    known: Sequence[lazy.Evidence],
    out: lazy.Console,
) -> None:
    """Attacks by columns, in as many parts as the terminal needs to keep names whole. ``word`` shows one that is blocked."""

    def shown(cell: Mapping[str, Any]) -> str:
        return WORDS.get(cell["outcome"]) or word(cell)

    payloads = by_delivery(known, (name for cells in columns.values() for name in cells))
    widths = [max(len(name), *(len(shown(cell)) for cell in cells.values())) + 2 for name, cells in columns.items()]
    room, left = out.width - max((len(name) for _, name in payloads), default=0) - 2, list(columns)
    while left:
        count = max(1, sum(width <= room for width in accumulate(widths)))
        part, left, widths = left[:count], left[count:], widths[count:]
        out.print(title, style="italic", markup=False)
        table = lazy.Table(box=None, padding=(0, 1), pad_edge=False)
        table.add_column("attack", no_wrap=True)
        for name in part:
            table.add_column(name, overflow="fold")
        for words, payload in payloads:
            if words:
                table.add_row(f"[italic]{words}[/]")
            cells = (columns[name].get(payload) for name in part)
            styled = ((shown(cell), STYLES.get(cell["outcome"], "dim")) if cell else ("",) for cell in cells)
            table.add_row(payload, *(lazy.Text(*words) for words in styled))
        out.print(table)


def _walls(cell: Mapping[str, Any]) -> str:
    """``seccomp, non-root and 2 more``."""
    walls = list(cell.get("walls") or ())
    if not walls:
        return "blocked" if cell["depth"] is None else "walls together"
    more = len(walls) - WALLS_NAMED
    return ", ".join(walls[:WALLS_NAMED]) + (f" +{more}" if more > 0 else "")
