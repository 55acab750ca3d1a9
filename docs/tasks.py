"""Generate the Markdown reference of all tasks from their help.

python docs/tasks.py > docs/reference/tasks.md
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from invoke.tasks import Task

HEAD = """# Tasks

Generated from the tasks' help (`invoke --help TASK`) by `python docs/tasks.py`. `invoke --dry TASK` shows what a task would do, and
changes nothing. For the meaning of results, see [exit codes](exit-codes.md).

Flags with `VALUE…` can be repeated, or take comma-separated values. Words after a task [are variants](../how-to/makefile.md).
Progress goes to stderr; `DEADWEIGHT_PULSE=0` disables it.

"""

SHARED = 4
"""A flag that so many tasks have with the same help is described once."""


def reference() -> str:
    """The whole page."""
    from deadweight.tasks import namespace

    tasks = {name: _flags(namespace.tasks[name]) for name in sorted(namespace.tasks)}
    counted = Counter(row for flags in tasks.values() for row in flags.items())
    shared = {flag: row for (flag, row), count in sorted(counted.items()) if count >= SHARED}
    parts = [f"{HEAD}## Flags shared by several tasks\n\n{_list(shared)}"]
    for name, flags in tasks.items():
        parts.append("\n".join(_section(namespace.tasks[name], name, flags, shared)))
    return "\n".join(parts)


def _section(task: Task[Any], name: str, flags: Mapping[str, str], shared: Mapping[str, str]) -> Iterator[str]:
    yield f"## {name}\n"
    text, examples = _docstring(task)
    yield f"{text}\n"
    if examples:
        yield f"    {examples[0]}\n"
    own = {flag: row for flag, row in flags.items() if shared.get(flag) != row}
    if own:
        yield _list(own)
    others = [f"`{flag.partition('=')[0]}`" for flag in flags if flag not in own]
    if others:
        yield f"{'Also' if own else 'Flags'}: {', '.join(others)}.\n"


def _flags(task: Task[Any]) -> dict[str, str]:
    """Each flag of a task, and what it does."""
    flags = {}
    for argument in sorted(task.get_arguments(), key=lambda argument: argument.name or ""):
        value = {bool: "", list: "=VALUE…"}.get(argument.kind, "=VALUE")
        flags[f"--{(argument.name or '').replace('_', '-')}{value}"] = argument.help or ""
    return flags


def _list(flags: Mapping[str, str]) -> str:
    return "".join(f"- `{flag}`: {text}\n" for flag, text in flags.items())


def _docstring(task: Task[Any]) -> tuple[str, list[str]]:
    """The text, and the examples that stand at its end."""
    lines = (inspect.getdoc(task.body) or "").splitlines()
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    return "\n".join(line for line in lines if not line.startswith("Example: ")).strip(), examples


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
