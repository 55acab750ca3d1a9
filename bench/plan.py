"""Planning a generated suite: 1,000 variants within a second, and linear.

Half of the variants are built with ko and half from a Dockerfile; each has a source folder of its own, as nothing is shared.
Planning is ``plan.build.plan`` in a process that has the suite loaded: every file is read and hashed, every reason found.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from bench import _bench
from bench._bench import WORK, Result, limit

SIZES = (250, 500, 1000)
BASE = "cgr.dev/chainguard/static:latest"


def run() -> list[Result]:
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    loading: list[float] = []
    memory: list[float] = []
    for _round in range(_bench.ROUNDS):
        for size in SIZES:
            found = _measure(_suite(size))
            seconds[size].append(found["plan"])
            if size == SIZES[-1]:
                loading.append(found["load"])
                memory.append(found["memory"])
    each = [statistics.median(seconds[size]) / size for size in SIZES]
    growth = each[-1] / each[0]
    return [
        limit("thousand", "planning 1,000 variants", seconds[SIZES[-1]], target=1.0, unit="s"),
        limit("linear", "time per variant with 1,000 over that with 250", [growth], target=1.3, unit="times"),
        limit("memory", "peak of the planning process", memory, target=150, unit="MB"),
        Result("load", "reading and checking that suite file", statistics.median(loading), None, 0.0, None, "s"),
    ]


def _measure(root: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.plan", str(root)],
        cwd=_bench.ROOT,
        env=_bench.clean({"DEADWEIGHT_CACHE_DIR": os.environ.get("DEADWEIGHT_CACHE_DIR", "")}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def _suite(size: int) -> Path:
    root = WORK / f"plan-{size}"
    shutil.rmtree(root, ignore_errors=True)
    lines = ["name: generated", "variants:"]
    for number in range(size):
        app = root / f"app{number}"
        app.mkdir(parents=True)
        (app / "go.mod").write_text("module example.invalid/app\n\ngo 1.21\n")
        (app / "main.go").write_text(f"package main\n\nfunc main() {{ println({number}) }}\n")
        lines += [f"  v{number}:", f"    source: app{number}"]
        if number % 2:
            lines += ["    builder: ko", f"    base: {BASE}"]
        else:
            (app / "Dockerfile").write_text(f"ARG BASE\nFROM ${{BASE}}\nCOPY . /{number}\n")
            lines += [
                "    builder: dockerfile",
                f"    dockerfile: app{number}/Dockerfile",
                f"    bases: {{BASE: '{BASE}'}}",
            ]
    (root / "deadweight.yaml").write_text("\n".join(lines) + "\n")
    state = root / ".deadweight"
    state.mkdir()
    (state / "settings.json").write_text('{"source": "local"}')
    return root


def measured(root: Path) -> None:
    """The measured process."""
    import resource
    import time

    from deadweight.project.build import plan
    from deadweight.project.workspace import Workspace

    before = time.perf_counter()
    workspace = Workspace.open(print, root / "deadweight.yaml")
    loaded = time.perf_counter()
    work = plan(workspace, workspace.suite.variants)
    done = time.perf_counter()
    assert sum(task.reason is not None for task in work.tasks) == len(workspace.suite.variants)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"load": loaded - before, "plan": done - loaded, "memory": peak}))


if __name__ == "__main__":
    measured(Path(sys.argv[1]))
