"""Define ``attack`` (attack running images) and ``harden`` (tighten how they run)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import UsageError, wording
from deadweight.tasks import _options, lazy
from deadweight.tasks._options import names
from deadweight.tasks._progress import console, print_json, pulse, say, stand_in_rows, tell_stand_ins
from deadweight.tasks._task import task
from deadweight.tasks.verify import raise_if_bad


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that are services)",
        "posture": "open, default, hardened, tight-seccomp, privileged, only-WALL, without-WALL or all; repeat it for more "
        "(default: the first three, and each wall alone)",
    },
    iterable=["variant", "posture"],
)
def attack(
    c: Context,
    variant: Sequence[str] | None = None,
    posture: Sequence[str] | None = None,
    shard: str | None = None,
    times: str | None = None,
    since: str | None = None,
    changed_from: str | None = None,
    json: bool = False,
) -> None:
    """Attack the running images for real, contained; show which wall stopped each; exit 1 if a gate is broken, 3 if not measured.

    Example: invoke attack --variant apko --posture hardened
    Example: invoke attack --since origin/main
    """
    postures = names(posture)
    lazy.attacks.plan_for(postures, ())
    with lazy.Workspace.open(say, since=since) as workspace:
        selection = _options.chosen(
            workspace, variant, shard=shard, times=times, since=since, changed_from=changed_from
        )
        chosen = [variant for variant in selection.variants if variant.runnable]
        if not chosen and selection.narrowed:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        if not chosen:
            raise UsageError(wording("tasks.no_service"))
        built = [variant for variant in chosen if workspace.built(variant.name) is not None]
        with lazy.locked(workspace.state, say), pulse("attack"):
            if workspace.spread is not None:
                results = workspace.spread.attack(built or chosen, postures, say)
            else:
                results = lazy.attacks.attack_all(
                    [workspace.subject(variant) for variant in built or chosen], postures, told=say
                )
    _show(workspace, results, as_json=json)
    left = ", ".join(variant.name for variant in chosen if variant not in built)
    raise_if_bad(results, f"not attacked, since not built: {left}" if left else "")


def _show(workspace: lazy.Workspace, results: Sequence[lazy.Evidence], *, as_json: bool) -> None:
    if as_json:
        print_json({"suite": workspace.suite.name, "evidence": stand_in_rows(workspace, results)})
    else:
        out = console()
        for line in amiss(results):
            out.print(line, style="bold", markup=False, soft_wrap=True)
        print_attacks(results, out)
    for line in () if as_json else lazy.shared_notes({result.variant: holes(result) for result in results}):
        say(f"hole: {line}")
    notes = {result.variant: lazy.attack_notes(result.data) for result in results}
    for told in lazy.shared_notes(notes):
        say(f"note: {told}")
    for line in () if as_json else lazy.shared_notes({result.variant: unmeasured(result) for result in results}):
        say(f"not measured: {line}")
    for each in results:
        reason = "; ".join(part for part in each.reason.split("; ") if part not in notes[each.variant])
        say(f"{each.variant}: {each.status.replace('_', ' ')}: {reason}")
    if as_json:
        return
    tell_stand_ins(workspace, (result.variant for result in results))
    say(f"{total(results)}. Next: invoke report")


# Attacks on a terminal: one variant with the walls by name, several with how many walls stop each.
WALLS_NAMED = 2
REASON_LETTERS = 160
WORDS = {"succeeded": "THROUGH", "crashed": "crashed it", "not_applicable": "n/a", "not_measured": "-"}
STYLES = {
    "blocked": "green",
    "succeeded": "bold red",
    "crashed": "magenta",
    "not_applicable": "dim",
    "not_measured": "dim",
}
DELIVERIES = {"service": "through the service", "breach": "after a breach"}


def print_attacks(results: Sequence[lazy.Evidence], out: lazy.Console) -> None:
    """One variant: attacks by postures, each cell naming the walls. Several: a table for each posture, attacks by variants."""
    tried = tried_now(results)
    if len(results) == 1:
        (each,) = results
        columns = {name: each.data["postures"][name] for name in tried}
        _print_table(f"{each.variant}: what stops each attack", columns, _walls, results, out)
        return
    for posture in tried:
        columns = {each.variant: each.data.get("postures", {}).get(posture, {}) for each in results}
        columns = {name: cells for name, cells in columns.items() if cells}
        _print_table(f"{posture}: how many walls stop each attack", columns, _depth, results, out)


def amiss(results: Sequence[lazy.Evidence]) -> list[str]:
    """What is to be said before all tables: ``apko: not measured: nothing was measured in open: …``; where all is fine, nothing."""
    about: dict[str, list[str]] = {}
    for each in results:
        if each.status == "not_measured" or not each.ok:
            reason = each.reason.split(". ")[0]  # then comes the summary, which the tables show
            cut = reason if len(reason) <= REASON_LETTERS else f"{reason[: REASON_LETTERS - 1].rstrip()}…"
            about.setdefault(f"{each.status.replace('_', ' ')}: {cut}", []).append(each.variant)
    return [f"{', '.join(who)}: {told}" for told, who in about.items()]


def total(results: Sequence[lazy.Evidence]) -> str:
    """How many attacks were stopped, by posture, over all variants: ``attacks stopped: open 4 of 37, hardened 37 of 37``. As in the
    report, those on what is only there if it is handed in are not counted."""
    sums, everywhere = [], list[str]()
    for posture in tried_now(results):
        found = (cell for result in results for cell in result.data.get("postures", {}).get(posture, {}).values())
        cells = [cell["outcome"] for cell in found if not cell.get("handed_in")]
        everywhere += cells
        tried = sum(outcome in ("blocked", "succeeded", "crashed") for outcome in cells)
        if tried:
            sums.append(f"{posture} {cells.count('blocked')} of {tried}")
    measured = sum(bool(result.data.get("postures")) for result in results)
    variants = f" on {measured} variants" if measured > 1 else ""
    if everywhere and set(everywhere) == {"not_applicable"}:
        return f"no hole was found{variants}, so there was nothing to stop"
    return f"attacks stopped{variants}: {', '.join(sums)}" if sums else "nothing could be measured"


def unmeasured(each: lazy.Evidence) -> list[str]:
    """Of one variant, what was not measured and why; one line for each reason, ``default: breach-x, breach-y: reason``."""
    open_cells = each.data.get("postures", {}).get("open", {})
    by_reason: dict[tuple[str, str], list[str]] = {}
    for posture in tried_now([each]):
        for name, cell in each.data["postures"][posture].items():
            known = posture != "open" and open_cells.get(name, {}).get("outcome") == "not_measured"
            if cell["outcome"] == "not_measured" and not known:
                by_reason.setdefault((posture, cell["reason"]), []).append(name)
    return [
        f"{'' if posture == 'open' else f'{posture}: '}{', '.join(names)}: {reason}"
        for (posture, reason), names in by_reason.items()
    ]


def holes(each: lazy.Evidence) -> list[str]:
    """Of one variant, where the service itself lets each attack through: ``http-command: GET /ping query host: ; echo …``."""
    cells = each.data.get("postures", {}).get("open", {})
    found = {name: (cell["evidence"] or {}).get("at") for name, cell in cells.items() if cell["outcome"] == "succeeded"}
    return [f"{name}: {at}" for name, at in found.items() if at]


def tried_now(results: Sequence[lazy.Evidence]) -> list[str]:
    """Those in which something was measured now; what an earlier run found of others is for the report."""
    return list(
        dict.fromkeys(
            name
            for result in results
            for name, cells in result.data.get("postures", {}).items()
            if any(
                cell["outcome"] != "not_measured" and "measured_at" not in (cell["evidence"] or {})
                for cell in cells.values()
            )
        )
    )


def by_delivery(results: Iterable[lazy.Evidence], names: Iterable[str]) -> list[tuple[str, str]]:
    """Each attack once, those through the service first; before the first of each way its name, where there are both."""
    known = {name: told.get("delivery") for result in results for name, told in result.data.get("payloads", {}).items()}
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
    """Attacks by columns, in as many parts as the terminal needs to keep names whole."""
    payloads = by_delivery(known, (name for cells in columns.values() for name in cells))
    widths = [max(len(name), *(len(word(cell)) for cell in cells.values())) + 2 for name, cells in columns.items()]
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
            table.add_row(payload, *(f"[{STYLES[cell['outcome']]}]{word(cell)}[/]" if cell else "" for cell in cells))
        out.print(table)


def _depth(cell: Mapping[str, Any]) -> str:
    """How many walls stop it."""
    return str(cell["depth"] or "blocked") if cell["outcome"] == "blocked" else WORDS[cell["outcome"]]


def _walls(cell: Mapping[str, Any]) -> str:
    """``seccomp, non-root and 2 more``; what else came of it in a word."""
    walls = list(cell.get("walls") or ())
    if cell["outcome"] != "blocked":
        return WORDS[cell["outcome"]]
    if not walls:
        return "blocked" if cell["depth"] is None else "walls together"
    more = len(walls) - WALLS_NAMED
    return ", ".join(walls[:WALLS_NAMED]) + (f" +{more}" if more > 0 else "")


# ``harden``.
@task(
    help={
        "variant": "the variant (required if the suite has several)",
        "format": "run (docker flags, the default), compose, kubernetes, podman, quadlet (systemd) or ecs",
        "to": "a folder to write it to, with the seccomp profile beside it (default: print it)",
        "image": "the reference that the platform pulls, with its digest (default: the image in this engine)",
        "seccomp": "--no-seccomp does not search for a seccomp profile; the engine's own is used",
        "budget": "kubernetes: two replicas, apart, and a PodDisruptionBudget",
        "force": "search again, even if this image was already searched in this engine with the same settings",
        "json": "print one JSON document on stdout: the posture that was found, and what was tried",
    }
)
def harden(
    c: Context,
    variant: str | None = None,
    format: str = "run",
    to: str | None = None,
    image: str | None = None,
    seccomp: bool = True,
    budget: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Find the tightest settings under which the checks of a variant still pass, and print them.

    The result is stored, so another format needs no new search.

    Example: invoke harden --variant apko --format kubernetes
    Example: invoke harden --variant apko --format compose --to deploy
    """
    _options.one_of(format, "--format", lazy.attacks.HARDEN_FORMATS)
    with lazy.Workspace.open(say) as workspace:
        chosen = lazy.select_one(workspace.suite, variant)
        with lazy.locked(workspace.state, say), pulse("harden"):
            found = lazy.attacks.find_posture(workspace.subject(chosen), say, again=force, seccomp=seccomp)
        named = chosen.run.seccomp if found.seccomp is None else None
        root = workspace.suite.root
        profile = root / named if named else workspace.state.seccomp(chosen.name)
    for line in (*found.warnings(), *(lazy.attacks.seccomp_lines(found.seccomp) if found.seccomp else ())):
        say(f"{chosen.name}: {line}")
    if json:
        print_json(found.document())
        return
    names = (os.path.relpath(profile), os.path.relpath(root))  # as the text is to name them
    names = names if to is None else (f"./{found.suite}.seccomp.json", _way(to, root))
    _give(found, format, profile, lazy.attacks.HardenRequest(image or "", names[0], budget, names[1]), to)


def _way(folder: str, root: Path) -> str:
    """From one folder to another as the kernel goes: a folder may be a link, from which ``..`` leads elsewhere."""
    return os.path.relpath(os.path.realpath(root), os.path.realpath(folder))


def _give(
    found: lazy.attacks.Found, format: str, profile: Path, given: lazy.attacks.HardenRequest, to: str | None
) -> None:
    """Print the text, or write it and its profile to a folder."""
    for line in lazy.attacks.harden_notes(found, format, given):
        say(f"{found.variant.name}: {line}")
    if to is None:
        print(lazy.attacks.harden_text(found, format, given), end="")
        return
    folder = Path(to)
    for name, text in lazy.attacks.harden_files(found, format, given).items():
        lazy.write_atomically(folder / name, text)
        say(f"written: {folder / name}")
    if not found.profiled or format == "ecs":
        return
    beside_it = folder / Path(given.profile).name
    if found.seccomp:
        lazy.write_profile(beside_it, found.seccomp.profile())
    else:
        lazy.write_atomically(beside_it, profile.read_bytes())
    say(f"written: {beside_it}")
