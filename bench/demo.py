"""``invoke demo`` in a new clone with an empty home, against itself when a build waited for the end of set-up.

Each run has tools, engine, registry and bases of its own to get, and ends what it started. Both take turns. The rival is a commit
of this repository, so its history has to be here.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench._bench import ROOT, NotMeasured, Result, alternate, clean, limit

BEFORE = "07b4aa4c"
FIRST_SECONDS, ALL_SECONDS = 180.0, 360.0
SHARE = 0.89
"""Of the time until the last variant was built at ``BEFORE``: 360 of 404 s, where the limit was set."""
ROUNDS = 3
HIDDEN = ("DEADWEIGHT_CACHE_DIR", "DOCKER_HOST", "VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


def run() -> list[Result]:
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{BEFORE}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode:
        raise NotMeasured(f"the commit {BEFORE} is not in this clone")
    built: list[tuple[float, float]] = []
    before: list[tuple[float, float]] = []
    rival = f"builds after set-up ({BEFORE})"
    compared = alternate(
        "cold",
        "demo on a new machine",
        lambda: cold("HEAD", built),
        lambda: cold(BEFORE, before),
        target=1.0,
        rival_name=rival,
        rounds=ROUNDS,
    )
    what = "demo on a new machine: {} variant built"
    firsts, lasts = zip(*built, strict=True)
    theirs = [last for _, last in before]
    ours, other = statistics.median(lasts), statistics.median(theirs)
    runs = (tuple(lasts), tuple(theirs))
    return [
        compared,
        limit("first", what.format("first"), firsts, target=FIRST_SECONDS, unit="s"),
        limit("all", what.format("last"), lasts, target=ALL_SECONDS, unit="s"),
        Result("all, in turn", what.format("last"), ours, other, round(ours / other, 3), SHARE, "s", rival, runs),
    ]


def cold(commit: str, built: list[tuple[float, float]]) -> float:
    """The seconds of one demo; ``built`` is given those until the first and until the last variant was built."""
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as work:
        clone, home = Path(work) / "clone", Path(work) / "home"
        home.mkdir()
        env = clean({"HOME": str(home)})
        for name in HIDDEN:
            env.pop(name, None)
        for words in (
            ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)],
            ["git", "-C", str(clone), "checkout", "--quiet", _id(commit)],
            [sys.executable, "-m", "venv", str(clone / ".venv")],
            [str(clone / ".venv/bin/pip"), "install", "--quiet", "-e", str(clone)],
        ):
            subprocess.run(words, env=env, check=True)
        invoke = str(clone / ".venv/bin/invoke")
        try:
            return _timed([invoke, "demo"], clone, env, built)
        finally:
            subprocess.run([invoke, "clean", "--all"], cwd=clone, env=env, capture_output=True, check=False)


def _timed(argv: list[str], clone: Path, env: dict[str, str], built: list[tuple[float, float]]) -> float:
    lines: list[str] = []
    started, at = time.monotonic(), list[float]()
    with subprocess.Popen(
        argv, env=env, cwd=clone, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if ": built in " in line:
                at.append(round(time.monotonic() - started, 1))
    if process.returncode or not at:
        raise SystemExit(f"invoke demo ended with {process.returncode}:\n{''.join(lines)[-3000:]}")
    built.append((at[0], at[-1]))
    return time.monotonic() - started


def _id(commit: str) -> str:
    """What a name means here, and not in the clone."""
    words = ["git", "rev-parse", commit]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
