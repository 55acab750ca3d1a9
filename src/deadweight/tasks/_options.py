"""Parse and validate task arguments: invoke passes them as text; a wrong value ends with exit code 2."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence

from deadweight._errors import UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import say

MAX_JOBS = 256


def parse_jobs(value: str | int | None) -> int:
    """How many steps at once; the number of cores where it is not given."""
    if value is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= MAX_JOBS:
        raise UsageError(wording("tasks.jobs", most=MAX_JOBS, value=text))
    return int(text)


def parse_days(value: str | None) -> float | None:
    """An age such as ``36h`` or ``7d`` in days."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5})([hd])", value)
    if match is None:
        raise UsageError(wording("tasks.older_than", value=value))
    return int(match.group(1)) / (24.0 if match.group(2) == "h" else 1.0)


def parse_port(value: str | None) -> int | None:
    """A port number."""
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise UsageError(wording("tasks.port", value=value))
    return int(value)


def one_of(value: str, flag: str, choices: Collection[str]) -> str:
    """A flag that takes one of these words."""
    if value not in choices:
        raise UsageError(wording("tasks.choice", flag=flag, choices=", ".join(choices), value=value))
    return value


def one(value: str | None, flag: str) -> str:
    """A flag that must be given."""
    if not value:
        raise UsageError(wording("tasks.flag_missing", flag=flag), hint="--help shows an example")
    return value


def names(values: Sequence[str] | None) -> tuple[str, ...]:
    """A repeated flag; commas work too (``--variant ko,apko``). An empty name stays one: ``--variant "$UNSET"`` is not all."""
    return tuple(name.strip() for value in values or () for name in value.split(","))


def chosen(
    workspace: lazy.Workspace,
    variant: Sequence[str] | None,
    *,
    shard: str | None,
    times: str | None,
    since: str | None,
    changed_from: str | None,
    note: bool = True,
) -> lazy.Selection:
    """What the flags choose that narrow a task to a part of the suite, told on stderr; with ``note`` kept for the report."""
    root = workspace.suite.root
    named = times if times is not None else os.environ.get("DEADWEIGHT_TIMES") or None
    found = lazy.choose(
        workspace,
        names(variant),
        os.environ,
        shard=shard,
        since=since,
        before=None if changed_from is None else lazy.earlier(changed_from, root, flag="--changed-from"),
        times=None if named is None else lazy.earlier(named, root, flag="--times"),
        note=note,
    )
    for line in found.told:
        say(line)
    if found.narrowed and found.beside:
        say(f"also built, because a budget compares with it: {', '.join(each.name for each in found.beside)}")
    return found
