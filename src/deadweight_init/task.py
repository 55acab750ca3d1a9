"""Define ``init``: write a suite for a service."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, MissingError, UsageError
from deadweight._packages import images
from deadweight.tasks import lazy
from deadweight.tasks._progress import build_variants, print_json, read_answer, say
from deadweight.tasks._task import parse_port, task
from deadweight.tasks._words import Names, Value, names
from deadweight.tasks.setup import prepare
from deadweight_images.errors import Catalogue

# records' own, without what records import: each `invoke --list` reads this module
wording = Catalogue("deadweight_init")


@task(
    help={
        "dir": "the folder to read (default: this one)",
        "service": "which service, if there are several; all: each becomes a section of the suite",
        "main": "which main package or binary, if there are several",
        "port": "the service's port, if it cannot be detected",
        "health-path": "the health path, if it cannot be detected",
        "minutes": "end after this many minutes if two variants are verified by then; 0: no limit (default: 10)",
        "prove": "build, run and verify the new suite",
        "force": "a file that may be replaced (repeatable)",
        "yes": "install what is missing without asking",
        "check": "write nothing; show where the suite no longer matches the repository",
    }
)
def init(
    c: Context,
    dir: str = ".",
    service: Value = None,
    main: Value = None,
    port: Value = None,
    health_path: Value = None,
    minutes: str = "10",
    prove: bool = True,
    force: Names = None,
    yes: bool = False,
    check: bool = False,
    json: bool = False,
) -> None:
    """Onboard a service: detect how it is built and run, write its suite, and test each variant by building and running it.

    Without a tasks.py, run: deadweight init
    Example: invoke init --yes
    """
    root = Path(dir).resolve()
    if not root.is_dir():
        raise UsageError(wording("task.no_folder", flag="--dir", folder=dir))
    if check:
        tree = lazy.init.read_tree(root)
        if drifted := list(lazy.init.drifted(tree, lazy.init.find_services(tree))):
            raise CheckFailed(wording("task.drifted", changes="\n".join(drifted)))
        say(wording("task.matches"))
        return
    if prove:
        images.require("init")
    wanted = lazy.init.Options(service, main, parse_port(port), _path(health_path), names(force))
    tools = lazy.init.Tools(say, _build, _minutes(minutes), partial(prepare, yes=yes)) if prove else None
    outcome = lazy.init.bring_in(
        root, wanted, lambda question, choices: None if yes else _ask(question, choices), say, tools
    )
    if json:
        print_json(_document(outcome))
    _show(outcome)


def _build(workspace: lazy.Workspace, variant: lazy.Variant) -> None:
    """Build a variant. Raises what kept it from that."""
    (outcome,) = build_variants(workspace, [variant], jobs=1)
    if outcome.error is not None:
        raise outcome.error


def _document(outcome: lazy.init.Outcome) -> dict[str, Any]:
    services = [
        {
            "service": draft.service.name,
            "verified": [name for name in draft.accepted if name not in draft.uncompared],
            "not_compared": list(draft.uncompared),
            "down": dict(draft.down),
            "not_tried": dict(draft.untried),
            "left_out": dict(draft.left_out),
            "works": draft.works,
            "known": draft.known,
            "unproven": [doubt.code for doubt in draft.doubts],
            "remedies": list(draft.remedies),
        }
        for draft in outcome.drafts
    ]
    return {"services": services, "written": list(outcome.written), "left_out": dict(outcome.left_out)}


def _show(outcome: lazy.init.Outcome) -> None:
    """Say what was found. Raises CheckFailed (exit 1) where an own image or a whole service does not come up, MissingError (exit 3)
    where what runs proves too little."""
    for draft in outcome.drafts:
        if draft.proven:
            name, works, known = f"{draft.service.name}: " if draft.suite else "", draft.works, draft.known
            say(name + wording("task.works" if known else "task.works_unknown", works=works, known=known))
    for line in outcome.notes:
        say(line)
    say(f"written: {', '.join(outcome.written)}")
    for draft in outcome.drafts:
        compared = [name for name in draft.accepted if name not in draft.uncompared]
        done = compared if draft.proven else [rung.name for rung in draft.rungs]
        say(f"{'verified' if draft.proven else 'written, not tried'}: {', '.join(map(draft.full, done))}")
        if draft.uncompared:
            say(wording("task.not_compared", variants=", ".join(map(draft.full, draft.uncompared))))
        if later := [*map(draft.full, draft.untried)]:
            chosen = " ".join(f"--variant {name}" for name in later)
            say(f"not tried: {', '.join(later)}: {outcome.program} build {chosen} && {outcome.program} verify {chosen}")
        for what in dict.fromkeys(finding for findings in draft.accepted.values() for finding in findings):
            those = ", ".join(draft.full(name) for name, findings in draft.accepted.items() if what in findings)
            say(wording("task.accepted", variants=those, what=what))
    own = ((draft, rung.name) for draft in outcome.drafts for rung in draft.rungs if not rung.is_made)
    down = {draft.full(name): draft.down[name] for draft, name in own if name in draft.down} | dict(outcome.left_out)
    doubts = [f"{doubt.code}: {doubt.what}" for draft in outcome.drafts for doubt in draft.doubts]
    if down:
        reasons = "\n".join([*(f"{name}: {why}" for name, why in down.items()), *doubts])
        raise CheckFailed(wording("task.not_up", reasons=reasons, program=outcome.program))
    if doubts:
        raise MissingError(wording("task.unproven_draft", doubts="\n".join(doubts), program=outcome.program))
    then = "report" if outcome.drafts[0].proven else f"setup, then {outcome.program} build"
    say(f"next: {outcome.program} {then}")


def _path(given: str | None) -> str | None:
    if given is None:
        return None
    try:
        return lazy.plain_url_path(given)
    except ValueError as error:
        raise UsageError(wording("task.expected", flag="--health-path", expected=error.args[0], value=given)) from None


def _minutes(given: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", given, re.ASCII):
        raise UsageError(wording("task.minutes", value=given))
    return float(given)


def _ask(question: str, choices: Sequence[str]) -> str | None:
    """The answer of whoever sits at the terminal; None where nobody does."""
    listed = "".join(f"  {number}  {choice}\n" for number, choice in enumerate(choices, 1))
    while (answer := read_answer(f"{listed}{question} [1]? ")) is not None:
        text = answer.strip()
        if not text:
            return choices[0]
        if text in choices:
            return text
        if text.isdigit() and 1 <= int(text) <= len(choices):
            return choices[int(text) - 1]
        say(wording("task.choose", most=len(choices)))
    return None
