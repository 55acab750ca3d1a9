"""``--watch``: the seconds from saving a line of the demo's Go service to what is told of it, in a copy of the project."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench._bench import ROOT, WORK, Result, limit

EDITS = 7
WAITING = "waiting for a change"
LEFT = (".git", ".venv", ".nox", ".deadweight", "docs", "tests", "results", "__pycache__")


def run() -> list[Result]:
    folder = WORK / "watch"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT))
    return [
        limit("ko built", "a line of Go saved, ko: built", seconds(folder, "build", "ko"), target=1.5, unit="s"),
        limit("ko verified", "the same: checked too", seconds(folder, "verify", "ko/api"), target=1.5, unit="s"),
    ]


def seconds(folder: Path, *words: str) -> list[float]:
    """For each edit, until the command waits for the next one. The first build is not counted."""
    file = folder / "src" / "vulnerable-awk-playground" / "answers.go"
    before, figures = file.read_text(), []
    command = [sys.executable, "-m", "invoke", *words, "--watch"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for edit in range(EDITS + 1):
            began = time.monotonic()
            if edit:
                file.write_text(f"{before}\nvar _ = {time.time_ns()}\n")
            while not (line := process.stderr.readline()).startswith(WAITING):
                assert line, f"{command} ended with {process.wait()}"
            figures.append(round(time.monotonic() - began, 3))
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    return figures[1:]
