"""How long scans of all built variants take, beside the scanner called by hand on the same archives, one after another.

``python -m bench scan`` in a project whose variants are built, with a database (``invoke scan --database …``);
``python -m bench.scan`` prints the counts beside those of the scanner called by hand. Each figure is the
median of several rounds, in seconds of wall time; every round starts with empty caches on both sides, and all archives are read
once before, so that no side pays for the disk.

- ``first``: all variants scanned, nothing kept · ``by_hand_first``: ``trivy image --input`` on each, one cache folder for all
- ``second``: all variants again · ``by_hand_second``: ``trivy image --input`` on each again, with its own cache warm
Goals: ``first`` at most 0.7 of ``by_hand_first``, ``second`` at most 0.1 of ``by_hand_second``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench._bench import Result
from deadweight.checks.protocol import Subject
from deadweight.checks.scan import database, trivy
from deadweight.project.scan import scan_subjects
from deadweight.project.workspace import Workspace
from deadweight.records.paths import State

ROUNDS = 3
GOALS = {"first": 0.7, "second": 0.1}
BY_HAND = (*trivy.OFFLINE, "--skip-version-check", "--disable-telemetry", "--scanners", "vuln")


def run() -> list[Result]:
    """The two measurements that have a goal."""
    figures = measure()
    what = {"first": "all variants scanned, nothing kept", "second": "all variants scanned again"}
    seconds, runs = figures["seconds"], figures["runs"]
    return [
        Result(
            name=name,
            what=what[name],
            ours=seconds[name],
            rival=seconds[f"by_hand_{name}"],
            ratio=figures["ratios"][name],
            target=goal,
            rival_name="trivy image one after another",
            runs=(tuple(runs[name]), tuple(runs[f"by_hand_{name}"])),
        )
        for name, goal in GOALS.items()
    ]


def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """All figures and counts. Raises MissingError where there is no database, no scanner, or nothing is built."""
    used = database.current()
    with Workspace.open(lambda line: print(line, file=sys.stderr)) as workspace:
        built = [variant for variant in workspace.suite.variants if workspace.built(variant.name) is not None]
        subjects = [workspace.subject(variant) for variant in built]
        archives = {variant.name: workspace.archive(variant) for variant in built}
        for archive in archives.values():
            _read(archive)
        samples: dict[str, list[float]] = {"first": [], "by_hand_first": [], "second": [], "by_hand_second": []}
        counts: dict[str, dict[str, Any]] = {}
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="deadweight-bench-") as name:
                _round(Path(name), subjects, archives, used, samples, counts)
    medians = {name: round(statistics.median(values), 3) for name, values in samples.items()}
    ratios = {name: round(medians[name] / medians[f"by_hand_{name}"], 3) for name in GOALS}
    return {
        "seconds": medians,
        "runs": {name: [round(value, 3) for value in values] for name, values in samples.items()},
        "ratios": ratios,
        "goals": GOALS,
        "met": all(ratios[name] <= goal for name, goal in GOALS.items()),
        "variants": counts,
        "cores": os.cpu_count(),
        "rounds": rounds,
        "scanner": trivy.scanner().version,
        "database": used.updated_at,
    }


def _round(
    folder: Path,
    subjects: Sequence[Subject],
    archives: dict[str, Path],
    used: database.Database,
    samples: dict[str, list[float]],
    counts: dict[str, dict[str, Any]],
) -> None:
    ours = [
        replace(subject, state=State(folder), archive=_given(archives[subject.variant.name])) for subject in subjects
    ]
    by_hand = folder / "by-hand"
    database.prepare(by_hand, used.folder)
    jobs = os.cpu_count() or 1
    for turn in ("first", "second"):
        started = time.monotonic()
        results, failed = scan_subjects(ours, jobs=jobs)
        samples[turn].append(time.monotonic() - started)
        assert not failed, failed
        started = time.monotonic()
        documents = {name: _by_hand(archive, by_hand) for name, archive in archives.items()}
        samples[f"by_hand_{turn}"].append(time.monotonic() - started)
    for evidence in results:
        counts[evidence.variant] = {
            "total": evidence.data.get("total"),
            "kernel_headers": (evidence.data.get("kernel_headers") or {}).get("total"),
            "by_hand": documents[evidence.variant],
            "coverage": evidence.data.get("coverage"),
        }


def _given(archive: Path) -> Callable[[], Path]:
    return lambda: archive


def _by_hand(archive: Path, cache: Path) -> int:
    """What a person would type; returns the number of rows."""
    words = [
        str(trivy.scanner().path),
        "image",
        "--cache-dir",
        str(cache),
        *BY_HAND,
        "--format",
        "json",
        "--input",
        str(archive),
    ]
    done = subprocess.run(words, capture_output=True, check=True, cwd=cache)
    results = json.loads(done.stdout).get("Results") or []
    return sum(len(result.get("Vulnerabilities") or []) for result in results)


def _read(archive: Path) -> None:
    with archive.open("rb") as stream:
        while stream.read(1 << 22):
            pass


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
