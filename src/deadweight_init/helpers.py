"""What a suite is worked with: ``tasks.py``, ``noxfile.py`` and git's ignore rules. What is there of the user's stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from deadweight_init.files import Written
from deadweight_init.suitefile import IGNORED, NOX, TASKS

_TASK = re.compile(r"^@(?:invoke\.)?task\b[^\n]*\n(?:@[^\n]*\n|[ \t)][^\n]*\n)*def (\w+)", re.MULTILINE)


def write_helpers(root: Path, written: Written) -> list[str]:
    """Write those that are missing. Gives what is to be told of those that are there."""
    told = []
    for name, text in (("tasks.py", TASKS), ("noxfile.py", NOX)):
        path = root / name
        if not path.exists():
            written.write({name: text})
        elif "deadweight" not in (there := path.read_text(encoding="utf-8", errors="replace")):
            lines = " and ".join(f"`{line}`" for line in _to_add(name, there))
            told.append(f"{name} exists and is not changed; add {lines} to it, or use `deadweight` instead of `invoke`")
    if (root / ".git").exists() or (root / ".gitignore").exists():
        written.append(".gitignore", IGNORED, "Deadweight's state: images, logs, evidence, report")
    return told


def _to_add(name: str, there: str) -> Iterator[str]:
    """The lines that bring Deadweight's tasks or sessions in. Beside a namespace invoke passes over the module's own tasks."""
    if name == "noxfile.py":
        yield "from deadweight.nox_sessions import *"
    elif own := re.search(r"^(ns|namespace)\s*=", there, re.MULTILINE):
        yield "import deadweight.tasks"
        yield f'{own[1]}.add_collection(deadweight.tasks.namespace, "deadweight")'
    else:
        yield "from deadweight.tasks import namespace as ns"
        yield from (f"ns.add_task({task})" for task in _TASK.findall(there))


def program(root: Path) -> str:
    """What runs the tasks: ``deadweight`` where the repository's tasks.py is another's."""
    there = (root / "tasks.py").read_text(encoding="utf-8", errors="replace")
    return "invoke" if "deadweight" in there else "deadweight"
