"""Time the attack matrix (every variant, both ways in, ``open``, ``default`` and ``hardened``) beside the naive way.

    python -m bench attacks                      in a project whose variants are built
    python -m bench.attacks [VARIANT ...]        the same as JSON, also for some variants

The naive way takes a new container for each attack: start, wait until it is healthy, one request, remove. Both send the same
attacks to the same images in the same postures, one variant after the other, and look for the same evidence. Attacks on resources
wait on purpose, so they are left out of both and timed apart, on every fourth variant.

The naive way on every attack takes an hour and more. So it is timed on a sample for each variant (``SAMPLE`` pairs of attack and
posture, drawn by the variant's name, so the same ones every time) and counted up; all of ours is timed. ``--all`` samples nothing.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench._bench import Result
from deadweight.project.workspace import Workspace
from deadweight.suite.load import select
from deadweight_attacks import walls
from deadweight_attacks.containers import Yard
from deadweight_attacks.deliver import fire
from deadweight_attacks.lab import Lab
from deadweight_attacks.load import Catalogue, load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.outcomes import Matrix, Plan

LIMIT = 0.25
POSTURES = (walls.OPEN, walls.DEFAULT, walls.HARDENED)
PACKS = ("awk", "breach")
SAMPLE = 12
EACH_FOURTH = 4


def run() -> list[Result]:
    """The measurement that has a goal, and the time of the attacks on resources, which has none.

    Ends where the two ways found different things: then their times say nothing.
    """
    figures = measure()
    differing = {name: row["differing"] for name, row in figures["variants"].items() if row["differing"]}
    if differing:
        raise SystemExit(f"not measured: the ways differ in what they found: {json.dumps(differing)}")
    rows = figures["variants"].values()
    ours, naive = tuple(row["ours_seconds"] for row in rows), tuple(row["naive_seconds"] for row in rows)
    resource = figures["resource_seconds"]
    return [
        Result(
            name="matrix",
            what=f"all attacks but those on resources on {len(rows)} variants, open, default and hardened",
            ours=figures["ours_seconds"],
            rival=figures["naive_seconds"],
            ratio=figures["ratio"],
            target=LIMIT,
            rival_name="a container for each attack, counted up from a sample"
            if any(row["sampled"] < row["attacks"] for row in rows)
            else "a container for each attack",
            runs=(ours, naive),
            facts={
                "same_outcomes": True,
                "attacks": sum(row["attacks"] for row in rows),
                "naive_sampled": sum(row["sampled"] for row in rows),
            },
        ),
        Result(
            "resource attacks",
            "attacks on memory, processes, processor and disk on one variant",
            resource,
            None,
            resource,
            None,
        ),
    ]


def measure(variants: tuple[str, ...] = (), suite: Path | None = None, sample: int | None = SAMPLE) -> dict[str, Any]:
    """Seconds of both ways, for each variant and in all; ``ratio`` is ours to the naive one. ``sample`` None: all of it."""
    quick, slow = _split(load_payloads(packs=PACKS))
    rows: dict[str, dict[str, Any]] = {}
    with Workspace.open(lambda _line: None, suite) as workspace:
        for variant in select(workspace.suite, variants):
            if variant.runnable and workspace.built(variant.name) is not None:
                subject = workspace.subject(variant)
                subject.engine_image()  # loading the image into the engine is part of neither
                apart = slow if sample is None or len(rows) % EACH_FOURTH == 0 else None
                rows[variant.name] = row = _variant(subject, quick, apart, sample)
                print(f"  {variant.name}: {json.dumps(row)}", file=sys.stderr, flush=True)
    if not rows:
        raise SystemExit("no variant is built: invoke build")
    ours, naive = (round(sum(row[key] for row in rows.values()), 2) for key in ("ours_seconds", "naive_seconds"))
    timed = [row["resource_seconds"] for row in rows.values() if row["resource_seconds"] is not None]
    resource = round(sum(timed) / len(timed), 2)
    ratio = round(ours / naive, 3)
    return {
        "variants": rows,
        "ours_seconds": ours,
        "naive_seconds": naive,
        "resource_seconds": resource,
        "ratio": ratio,
        "limit": LIMIT,
        "ok": ratio <= LIMIT and not any(row["differing"] for row in rows.values()),
    }


def _split(catalogue: Catalogue) -> tuple[Catalogue, Catalogue]:
    """The attacks that answer at once, and those on resources."""
    quick = tuple(payload for payload in catalogue.payloads if not payload.resource)
    return Catalogue(quick, catalogue.features), Catalogue(
        tuple(payload for payload in catalogue.payloads if payload.resource), catalogue.features
    )


def _variant(subject: Any, quick: Catalogue, slow: Catalogue | None, sample: int | None) -> dict[str, Any]:
    """The ways take turns on one variant, so that other load on the machine meets both. ``slow`` None: not timed on this one."""
    ours, matrix = _ours(subject, quick)
    pairs = _pairs(quick, matrix)
    chosen = pairs if sample is None else random.Random(subject.variant.name).sample(pairs, min(sample, len(pairs)))
    spent, seen = _naive(subject, quick, chosen)
    naive = sum(spent) / len(spent) * len(pairs)
    return {
        "ours_seconds": round(ours, 2),
        "naive_seconds": round(naive, 2),
        "naive_standard_error": round(_error(spent) * len(pairs), 2),
        "resource_seconds": None if slow is None else round(_ours(subject, slow)[0], 2),
        "attacks": len(pairs),
        "sampled": len(spent),
        "containers": matrix.containers,
        "differing": [
            f"{name} in {posture}"
            for (posture, name), worked in seen.items()
            if (matrix.cells[posture][name].outcome == "succeeded") != worked
        ],
    }


def _ours(subject: Any, catalogue: Catalogue) -> tuple[float, Matrix]:
    """The network, the attacker and the planted things count as ours too."""
    started = time.monotonic()
    with Lab(subject) as lab:
        matrix = Runner(lab, catalogue).run(Plan(POSTURES, alone=False))
    return time.monotonic() - started, matrix


def _pairs(catalogue: Catalogue, matrix: Matrix) -> list[tuple[walls.Posture, str]]:
    """What both ways send: what this AWK does not have, and elsewhere what did not work in ``open``, is sent by neither."""
    return [
        (posture, payload.id)
        for posture in POSTURES
        for payload in catalogue.payloads
        if matrix.cells["open"][payload.id].outcome != "not_applicable"
        and (posture is walls.OPEN or payload.id in matrix.control)
    ]


def _naive(
    subject: Any, catalogue: Catalogue, pairs: Sequence[tuple[walls.Posture, str]]
) -> tuple[list[float], dict[tuple[str, str], bool]]:
    """The seconds of each, and whether it worked. Only containers and requests are timed; the network and the listeners stand."""
    by_id = {payload.id: payload for payload in catalogue.payloads}
    spent, seen = [], dict[tuple[str, str], bool]()
    with Lab(subject) as lab:
        for posture, name in pairs:
            started = time.monotonic()
            with Yard(lab, posture) as yard:
                shot = fire(lab, yard, by_id[name])
            spent.append(time.monotonic() - started)
            seen[posture.name, name] = shot.seen == "succeeded"
    return spent, seen


def _error(spent: Sequence[float]) -> float:
    """The standard error of the mean of these."""
    mean = sum(spent) / len(spent)
    return math.sqrt(sum((seconds - mean) ** 2 for seconds in spent) / max(1, len(spent) - 1) / len(spent))


if __name__ == "__main__":
    names = tuple(word for word in sys.argv[1:] if word != "--all")
    outcome = measure(names, sample=None if "--all" in sys.argv else SAMPLE)
    print(json.dumps(outcome, indent=2))
    sys.exit(0 if outcome["ok"] else 1)
