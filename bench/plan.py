"""Planning a generated suite: 1,000 variants within a second, 3,000 of 500 services within two, and linear; and what changed.

``--since`` is measured as its user pays for it: whole commands, ``invoke build --plan --since HEAD`` and the same that names the
six variants by hand. What the first takes longer is set against ``git diff --name-only``, which is run beside them.

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
from bench._bench import WORK, Result, limit, timed

SIZES = (250, 500, 1000)
BASE = "cgr.dev/chainguard/static:latest"


def run() -> list[Result]:
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    loading: list[float] = []
    memory: list[float] = []
    for _round in range(_bench.ROUNDS):
        for size in SIZES:
            figures = _measure(_suite(size))
            seconds[size].append(figures["plan"])
            if size == SIZES[-1]:
                loading.append(figures["load"])
                memory.append(figures["memory"])
    medians = [statistics.median(seconds[size]) / size for size in SIZES]
    growth = medians[-1] / medians[0]
    return [
        limit("thousand", "planning 1,000 variants", seconds[SIZES[-1]], target=1.0, unit="s"),
        limit("linear", "time per variant with 1,000 over that with 250", [growth], target=1.3, unit="times"),
        limit("memory", "peak of the planning process", memory, target=150, unit="MB"),
        Result("load", "reading and checking that suite file", statistics.median(loading), None, 0.0, None, "s"),
        *_many(),
    ]


def _many() -> list[Result]:
    """500 services with six variants each, one file changed, in a git repository; and a half of that."""
    rounds: dict[int, list[dict[str, float]]] = {250: [], 500: []}
    for _round in range(_bench.ROUNDS):
        for services, runs in rounds.items():
            runs.append(_measure(_services(services), "many"))
    whole, half = rounds[500], rounds[250]
    growth = statistics.median(run["plan"] for run in whole) / statistics.median(run["plan"] for run in half) / 2
    return [
        limit("many", "planning 3,000 variants of 500 services", [run["plan"] for run in whole], target=2.0, unit="s"),
        limit("many-memory", "peak of that process", [run["memory"] for run in whole], target=250, unit="MB"),
        limit("many-linear", "time per variant with 3,000 over that with 1,500", [growth], target=1.3, unit="times"),
        _since(_services(500)),
        Result(
            "many-load",
            "reading and checking that suite",
            statistics.median(run["load"] for run in whole),
            None,
            0.0,
            None,
            "s",
        ),
    ]


SINCE_ROUNDS = 21


def _since(root: Path) -> Result:
    """What ``--since`` adds to a command, and git's own time."""
    (root / "tasks.py").write_text("from deadweight.tasks import namespace as ns\n")
    (root / ".git/info/exclude").write_text("tasks.py\n.deadweight\n")
    plan = [sys.executable, "-m", "invoke", "build", "--plan"]
    words: dict[str, list[str]] = {
        "with": [*plan, "--since", "HEAD"],
        "without": [*plan, "--variant", ",".join(f"v1-{rung}" for rung in range(6))],
        "diff": ["git", "diff", "--name-only", "HEAD"],
        "all": plan,
        "python": [sys.executable, "-c", "pass"],
        "list": [sys.executable, "-m", "invoke", "--list"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in words}
    for _round in range(SINCE_ROUNDS):
        for name, argv in words.items():
            if name != "all" or _round < _bench.ROUNDS:
                seconds[name].append(round(timed(argv, root), 4))
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    adds = statistics.median(a - b for a, b in zip(seconds["with"], seconds["without"], strict=True))
    ratio = round(adds / middle["diff"], 3)
    what = "what --since adds to a command that names the same six variants of 3,000, over git diff"
    facts = {f"seconds of {name}": round(median, 3) for name, median in middle.items()}
    runs = tuple(seconds["with"]), tuple(seconds["without"])
    return Result("since", what, round(adds, 4), round(middle["diff"], 4), ratio, 1.2, "s", "git diff", runs, facts)


def _services(count: int) -> Path:
    root = WORK / f"services-{count}"
    shutil.rmtree(root, ignore_errors=True)
    lines = ["name: services", "defaults: {port: 8080}", "variants:"]
    for number in range(count):
        app = root / f"app{number}"
        app.mkdir(parents=True)
        for file in range(10):
            (app / f"file{file}.c").write_text(f"int app{number}_{file};\n" * 40)
        for rung in range(6):
            (app / f"{rung}.Dockerfile").write_text(f"FROM scratch\nCOPY . /{rung}\n")
            lines.append(
                f"  v{number}-{rung}: {{builder: dockerfile, source: app{number}, dockerfile: app{number}/{rung}.Dockerfile}}"
            )
    (root / "deadweight.yaml").write_text("\n".join(lines) + "\n")
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=b", "-c", "user.email=b@example.invalid", "commit", "-qm", "all"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    (root / ".deadweight").mkdir()
    (root / ".deadweight" / "settings.json").write_text('{"source": "registry"}')
    (root / "app1" / "file1.c").write_text("int changed;\n")
    return root


def _measure(root: Path, kind: str = "plan") -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.plan", str(root), kind],
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
    lines = ["name: generated", "defaults: {port: 8080}", "variants:"]
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


def measured_many(root: Path) -> None:
    """The measured process."""
    import resource
    import time

    from deadweight.project.changed import since
    from deadweight.project.workspace import Workspace

    before = time.perf_counter()
    workspace = Workspace.open(lambda _line: None, root / "deadweight.yaml")
    loaded = time.perf_counter()
    asked = time.perf_counter()
    variants = since(workspace, "HEAD", workspace.suite.variants)
    ended = time.perf_counter()
    assert len(variants) == 6, variants
    from deadweight.project.build import plan

    begun = time.perf_counter()
    plan(workspace, workspace.suite.variants)
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"load": loaded - before, "since": ended - asked, "plan": done - begun, "memory": peak}
    print(json.dumps(figures))


if __name__ == "__main__":
    {"plan": measured, "many": measured_many}[sys.argv[2]](Path(sys.argv[1]))
