"""``invoke --list`` against the same with a ``tasks.py`` that holds one task: what our collection adds to invoke's own start."""

from __future__ import annotations

import sys

from bench._bench import ROOT, WORK, Result, alternate, timed

EMPTY = 'from invoke import task\n\n\n@task\ndef nothing(c):\n    """Do nothing."""\n'


def run() -> list[Result]:
    empty = WORK / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    (empty / "tasks.py").write_text(EMPTY)
    words = [sys.executable, "-m", "invoke", "--list"]
    for folder in (ROOT, empty):
        timed(words, folder)
    return [
        alternate(
            "list",
            "invoke --list",
            lambda: timed(words, ROOT),
            lambda: timed(words, empty),
            target=1.3,
            rival_name="an empty tasks.py",
            rounds=9,
        )
    ]
