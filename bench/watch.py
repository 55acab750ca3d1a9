"""``--watch``: the seconds from saving a line of the demo's Go service to what is told of it, in a copy of the project."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench._bench import ROOT, WORK, Result, limit

EDITS = 7
WAITING = "waiting for a change"
VERDICT = "ko: api: pass"
LEFT = (".git", ".venv", ".nox", ".deadweight", "docs", "tests", "results", "__pycache__")


def run() -> list[Result]:
    folder = WORK / "watch"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT))
    built = seconds(folder, WAITING, "build", "ko")
    whole = seconds(folder, VERDICT, "verify", "ko/api")
    suite = folder / "deadweight.yaml"
    suite.write_text(without_large_requests(suite.read_text()))
    small = seconds(folder, VERDICT, "verify", "ko/api")
    return [
        limit("ko built", "a line of Go saved, ko: built", built, target=1.5, unit="s"),
        limit("ko verified", "the same, to the verdict of 13 requests", small, target=1.5, unit="s"),
        limit("ko verified, large", "the same with 4 MB through awk, and 10 MB refused", whole, target=None, unit="s"),
    ]


def without_large_requests(suite: str) -> str:
    """The service takes as long for these as all the rest takes."""
    items = re.split(r"(?m)^(?=      - name: )", suite)
    return "".join(item for item in items if "repeat: {input" not in item)


def seconds(folder: Path, told: str, *words: str) -> list[float]:
    """For each edit, until the command tells a line that begins so. The first build is not counted."""
    file = folder / "src" / "vulnerable-awk-playground" / "answers.go"
    before, figures = file.read_text(), []
    command = [sys.executable, "-m", "invoke", *words, "--watch"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for edit in range(EDITS + 1):
            began = time.monotonic()
            if edit:
                file.write_text(f"{before}\nvar _ = {time.time_ns()}\n")
            line = ""
            while not line.startswith(WAITING):
                line = process.stderr.readline()
                assert line, f"{command} ended with {process.wait()}"
                if line.startswith(told):
                    figures.append(round(time.monotonic() - began, 3))
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    return figures[1:]
