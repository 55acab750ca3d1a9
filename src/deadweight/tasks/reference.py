"""The reference of all tasks as Markdown, made from their own help.

python -m deadweight.tasks.reference > docs/reference/tasks.md
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from invoke.tasks import Task

HEAD = """# Tasks

This page is made from the tasks' own help (`invoke --help TASK`) by `python -m deadweight.tasks.reference`.

Where a task has `--json`, it prints one JSON document on stdout and everything else on stderr. `invoke --dry TASK` changes nothing.
A flag marked *repeatable* may be given several times, or once with commas. What a task's exit code means:
[exit codes](exit-codes.md).

A task that works without a word says on stderr, within two seconds, what goes on. On a terminal one line is rewritten every second.
Where lines stay (a pipe, a CI log), a step's first line comes as soon, and another after each ten seconds of silence, so that no
log is buried in signs of life. `DEADWEIGHT_PULSE=0` in the environment switches that off.
"""


def reference() -> str:
    """The whole page."""
    from deadweight.tasks import namespace

    parts = [HEAD]
    for name in sorted(namespace.tasks):
        parts.append("\n".join(_section(name, namespace.tasks[name])))
    return "\n".join(parts)


def _section(name: str, task: Task[Any]) -> Iterator[str]:
    yield f"## {name}\n"
    text, examples = _docstring(task)
    yield f"{text}\n"
    if examples:
        yield from (f"    {example}" for example in examples)
        yield ""
    arguments = sorted(task.get_arguments(), key=lambda argument: argument.name or "")
    if arguments:
        yield "| flag | what it does |\n|---|---|"
        for argument in arguments:
            flag = (argument.name or "").replace("_", "-")
            value = "" if argument.kind is bool else " VALUE"
            repeatable = " *(repeatable)*" if argument.kind is list else ""
            said = (argument.help or "").replace("|", r"\|")
            yield f"| `--{flag}{value}` | {said}{repeatable} |"
        yield ""


def _docstring(task: Task[Any]) -> tuple[str, list[str]]:
    """The text, and the examples that stand at its end."""
    lines = (inspect.getdoc(task.body) or "").splitlines()
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    return "\n".join(line for line in lines if not line.startswith("Example: ")).strip(), examples


if __name__ == "__main__":
    print(reference(), end="")
