"""Run the tasks as ``deadweight`` or ``python -m deadweight``, for a repository that has no ``tasks.py`` yet."""

from __future__ import annotations

import sys
from pathlib import Path

from invoke.program import Program

from deadweight.tasks import namespace


def main(argv: list[str] | None = None) -> None:
    """Run the tasks that the command line names (default: this process's own)."""
    from importlib.metadata import version

    given = sys.argv if argv is None else argv
    if len(given) == 1 and not Path("deadweight.yaml").exists() and not Path("tasks.py").exists():
        argv = _introduction(given)
    Program(namespace=namespace, name="Deadweight", binary="deadweight", version=version("deadweight")).run(argv)


def _introduction(given: list[str]) -> list[str]:
    """What the folder holds, for whoever types the bare command in it; the words of ``init`` if that is wanted."""
    from deadweight._packages import init
    from deadweight.tasks._progress import read_answer, say

    lines, able = init.look(Path.cwd())
    for line in lines:
        say(line)
    if able and (answer := read_answer("Do that now [y/N]? ")) is not None:
        return [*given, "init"] if answer.strip().lower() in ("y", "yes") else sys.exit(0)
    if able:
        say("next: deadweight init")
    sys.exit(0)


if __name__ == "__main__":
    main()
