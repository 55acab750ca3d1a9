"""What all benchmarks share: two programs that take turns, medians, and one record per measurement.

Ratios are of medians, and the two take turns round by round, so that other load on the machine meets both.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
WORK = ROOT / ".deadweight" / "bench"
ROUNDS = 3


class NotMeasured(Exception):
    """What a benchmark needs is not there; what was measured before is kept."""


@dataclass(frozen=True)
class Result:
    """One measurement. ``ours`` and ``rival`` are medians in ``unit``; ``rival`` is None where a limit is absolute, and then
    ``ratio`` is ``ours`` itself. It is met where ``ratio`` is at most ``target``. ``runs`` holds every single figure,
    ``facts`` what else a reader must know to believe them."""

    name: str
    what: str
    ours: float
    rival: float | None
    ratio: float
    target: float | None
    unit: str = "s"
    rival_name: str = ""
    runs: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.ratio <= self.target


def alternate(
    name: str,
    what: str,
    ours: Callable[[], float],
    rival: Callable[[], float],
    *,
    target: float | None,
    rival_name: str,
    rounds: int = ROUNDS,
) -> Result:
    """Let both take turns; each call gives its own wall time in seconds, so that preparing is not measured."""
    runs: tuple[list[float], list[float]] = ([], [])
    for _round in range(rounds):
        for call, into in zip((ours, rival), runs, strict=True):
            into.append(round(call(), 3))
        print(f"  {name}: ours {runs[0][-1]:.2f} s, {rival_name} {runs[1][-1]:.2f} s", file=sys.stderr, flush=True)
    mine, other = statistics.median(runs[0]), statistics.median(runs[1])
    ratio = round(mine / other, 3)
    return Result(name, what, mine, other, ratio, target, "s", rival_name, (tuple(runs[0]), tuple(runs[1])))


def limit(name: str, what: str, figures: Sequence[float], *, target: float, unit: str) -> Result:
    """A figure that has no rival but a limit."""
    value = statistics.median(figures)
    return Result(name, what, round(value, 4), None, round(value, 4), target, unit, "", (tuple(figures), ()))


def timed(argv: Sequence[str | Path], cwd: Path, env: dict[str, str] | None = None) -> float:
    """The wall time of a whole process in seconds. Its failure ends the bench, with its own last words."""
    started = time.perf_counter()
    done = subprocess.run(list(map(str, argv)), cwd=cwd, env=clean(env), capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(map(str, argv))} failed with {done.returncode}:\n{last}")
    return seconds


def peak_memory(argv: Sequence[str | Path], cwd: Path, env: dict[str, str] | None = None) -> float:
    """The peak resident memory in MB of one process of ours, without the programs that it runs."""
    code = (
        "import resource, runpy, sys\n"
        "try:\n    runpy.run_module('invoke', run_name='__main__')\n"
        "finally:\n    print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)],
        cwd=cwd,
        env=clean(env),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stderr.rpartition("PEAK ")[2].split()[0]) / 1024


def clean(env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a user: Python may keep its compiled modules, as it does by default."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    return {name: value for name, value in {**os.environ, **(env or {})}.items() if name not in dropped}


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB, Python {python}, load before {load:.1f}"


def save(bench: str, results: Sequence[Result], on: str, seconds: float) -> Path:
    """Write one benchmark's results."""
    RESULTS.mkdir(exist_ok=True)
    document = {
        "bench": bench,
        "date": time.strftime("%Y-%m-%d"),
        "machine": on,
        "seconds": round(seconds, 1),
        "own_peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "results": [{**asdict(result), "met": result.met} for result in results],
    }
    path = RESULTS / f"{bench}.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return path


def table() -> str:
    """All results as a Markdown page."""
    lines = [
        "# Measured",
        "",
        "Medians; ours and the rival take turns on one machine. The ratio is ours / rival, and the target its upper limit; where",
        "there is no rival, the target is a limit for our own figure. `python -m bench NAME` repeats a benchmark and rewrites this",
        "page; the JSON files hold every single run.",
        "",
        "| benchmark | what | ours | rival | ratio | target | met |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    places = []
    for path in sorted(RESULTS.glob("*.json")):
        document = json.loads(path.read_text())
        places.append(f"- `python -m bench {document['bench']}`: {document['date']}, {document['machine']}")
        lines += [_row(document["bench"], row) for row in document.get("results", ())]
    return "\n".join([*lines, "", "## How to repeat", "", *places, ""])


def _row(bench: str, row: dict) -> str:
    def figure(value: float | None) -> str:
        return "" if value is None else f"{value:.3g} {row['unit']}"

    rival = f"{figure(row['rival'])} ({row['rival_name']})" if row["rival"] is not None else ""
    ratio = f"{row['ratio']:.2f}" if row["rival"] is not None else ""
    target = "" if row["target"] is None else f"{row['target']:g}"
    met = {None: "", True: "yes", False: "**no**"}[row["met"]]
    return f"| {bench}/{row['name']} | {row['what']} | {figure(row['ours'])} | {rival} | {ratio} | {target} | {met} |"
