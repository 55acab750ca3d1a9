"""Define ``verify`` (run the suite's checks) and ``attack`` (attack running images)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from invoke.context import Context

from deadweight._errors import CheckFailed, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import (
    Board,
    build_variants,
    console,
    painted,
    print_json,
    report_progress,
    say,
    stand_in_rows,
    tell_stand_ins,
)
from deadweight.tasks._task import Part, choose, end_if_none, task
from deadweight.tasks._words import Names, names

OUTCOMES = {
    "passed": ("pass", "32", "✓"),
    "warned": ("warn", "33", "!"),
    "measured": ("measured", "36", "✓"),
    "failed as expected": ("fail, as expected", "32", "✓"),
    "passed, though expected to fail": ("passed, though expected to fail", "1;31", "✗"),
    "failed": ("FAIL", "1;31", "✗"),
    "not measured": ("not measured", "2", "?"),
}
"""How a check can come out, in the order of a tally: its words, their colour, and its mark where a line tells of several."""
SAID = ("passed", "measured", "failed as expected")
"""Of these the mark says enough."""


@task()
def verify(
    c: Context, part: Part, variant: Names = None, check: Names = None, watch: bool = False, json: bool = False
) -> None:
    """Run the checks on built variants, each in a hardened container; exit 1 if one fails, 3 if not measured or unproven.

    Example: invoke verify apko/api
    Example: invoke verify --shard 2/5
    """
    parts = [name.partition("/") for name in names(variant)]
    checks = (*names(check), *(check for _, _, check in parts if check))
    with lazy.Workspace.open(say, since=part.since) as workspace:
        selection = choose(workspace, [name for name, _, _ in parts], part)
        chosen = selection.variants
        end_if_none(selection, chosen, {"suite": workspace.suite.name, "evidence": []}, json=json)
        lazy.table.refuse_unasked(checks, chosen)
        if watch:
            lazy.build.raise_if_failed(build_variants(workspace, selection.to_build))
        built = [variant for variant in chosen if workspace.built(variant.name) is not None]
        results = verify_variants(workspace, built or chosen, checks)
    if json:
        print_json({"suite": workspace.suite.name, "evidence": stand_in_rows(workspace, results)})
    else:
        tell_stand_ins(workspace, (result.variant for result in results))
    left = ", ".join(variant.name for variant in chosen if variant not in built)
    raise_if_bad(results, f"not checked because not built: {left}" if left else "")
    say(f"{tally(results)}. Next: invoke report")
    refuse_unproven(built)


def verify_variants(
    workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], checks: Sequence[str] = (), jobs: int | None = None
) -> tuple[lazy.Evidence, ...]:
    """Check these variants, several side by side, telling each outcome on stderr."""
    done: dict[str, list[lazy.Evidence]] = {variant.name: [] for variant in chosen}
    asked = {variant.name: len(lazy.table.checks_of(variant, checks)) for variant in chosen}
    indent, of = max(map(len, done), default=0), lazy.figures.plural(sum(asked.values()), "check")
    board = Board(lambda: f"verify, {sum(map(len, done.values()))} of {of} done")
    with lazy.locked(workspace.state, say, done, whole=False), report_progress(board.text):

        def tell(result: lazy.Evidence) -> None:
            name, mine = result.variant, done[result.variant]
            mine.append(result)
            if len(chosen) == 1:
                say(_line(result))
            elif len(mine) < asked[name]:
                board.put(name, name, " ".join(map(_mark, mine)))
            else:
                board.rows.pop(name, None)
                whys = [_line(one) for one in mine if outcome(one) not in SAID]
                say("\n".join([f"{name:<{indent}} {' '.join(map(_mark, mine))}", *whys]))

        if workspace.engine_pool is not None:
            return tuple(workspace.engine_pool.verify(chosen, checks, jobs, tell))
        subjects = [workspace.subject(variant) for variant in chosen]
        return tuple(lazy.runner.verify(subjects, checks, jobs=jobs, on_evidence=tell))


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
    or where something was ``left`` for want of a build, or nothing was checked at all.
    """
    if not results and not left:
        raise MissingError(wording("tasks.no_checks"))
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
        count, named = len(unmeasured), _names(unmeasured)
        raise MissingError(
            wording("tasks.unmeasured", count=count, checks=checks, names=named, tally=tallied), hint=hint
        )
    if left:
        raise MissingError(wording("tasks.not_checked", left=left, tally=tally(results)))


def _names(results: Sequence[lazy.Evidence]) -> str:
    return ", ".join(f"{result.variant}/{result.check}" for result in results)


def _line(evidence: lazy.Evidence) -> str:
    words, tone, _ = OUTCOMES[outcome(evidence)]
    return f"{evidence.variant}: {evidence.check}: {painted(words, tone)}: {evidence.reason}"


def _mark(evidence: lazy.Evidence) -> str:
    """``✓ runs``; of vulnerabilities how many, of a failure that it is meant to be one."""
    _, tone, mark = OUTCOMES[outcome(evidence)]
    found = evidence.data.get("total")
    name = f"{'?' if found is None else found} CVEs" if evidence.check == "vulnerabilities" else evidence.check
    return f"{painted(mark, tone)} {name}{' (fails on purpose)' if outcome(evidence) == 'failed as expected' else ''}"


# ``attack``.
@task()
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
        end_if_none(selection, chosen, {"suite": workspace.suite.name, "evidence": []}, json=json)
        if not chosen:
            raise UsageError(wording("tasks.no_service"))
        built = [variant for variant in chosen if workspace.built(variant.name) is not None]
        held = [variant.name for variant in chosen]
        with lazy.locked(workspace.state, say, held, whole=False), report_progress("attack"):
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
        for line in lazy.attacks.amiss(results):
            out.print(line, style="bold", markup=False, soft_wrap=True)
        lazy.attacks.print_attacks(results, out)
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
