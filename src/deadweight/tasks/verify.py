"""Define ``verify``: run the suite's checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from invoke.context import Context

from deadweight._errors import CheckFailed, MissingError, wording
from deadweight.tasks import _options, lazy
from deadweight.tasks._options import names
from deadweight.tasks._progress import print_json, pulse, say, stand_in_rows, tell_stand_ins
from deadweight.tasks._task import colour, task

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


@task(
    help={
        "variant": "the variant; repeat it for more (default: all)",
        "check": "the check; repeat it for more (default: all checks in the suite)",
    },
    iterable=["variant", "check"],
)
def verify(
    c: Context,
    variant: Sequence[str] | None = None,
    check: Sequence[str] | None = None,
    shard: str | None = None,
    times: str | None = None,
    since: str | None = None,
    changed_from: str | None = None,
    json: bool = False,
) -> None:
    """Run the checks on what is built, each in a hardened container; exit 1 if one fails, 3 if not measured or unproven.

    Example: invoke verify --variant apko --check api
    Example: invoke verify --shard 2/5
    """
    with lazy.Workspace.open(say, since=since) as workspace:
        selection = _options.chosen(
            workspace, variant, shard=shard, times=times, since=since, changed_from=changed_from
        )
        chosen = selection.variants
        if selection.narrowed and not chosen:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        lazy.refuse_unasked(names(check), chosen)
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
        told: list[str] = []

        def tell(results: lazy.Evidence) -> None:
            told.append(results.check)
            say(_line(results))

        with pulse(lambda: f"verify, {lazy.figures.plural(len(told), 'check')} done"):
            if workspace.spread is not None:
                return tuple(workspace.spread.verify(chosen, checks, jobs, tell))
            subjects = [workspace.subject(variant) for variant in chosen]
            return tuple(lazy.run_checks(subjects, checks, jobs=jobs, on_evidence=tell))


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
        told = "\n".join(f"{code}: {', '.join(names)}" for code, names in by_code.items())
        raise MissingError(wording("tasks.unproven", doubts=told))


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
