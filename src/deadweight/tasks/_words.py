"""Read the command line as people type it: ``build apko`` for ``build --variant apko``, unique beginnings, ``@last``, a picker."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.parser import ParseMachine
from invoke.program import Program

from deadweight._errors import DeadweightError, MissingError, UsageError, wording
from deadweight.tasks import lazy

Value = str | None
"""What a flag gives that takes a value: None where it is not given."""
Names = Sequence[str] | None
"""The same of a flag that may be repeated."""
SHORT = {"variant": "v", "force": "f", "follow": "f", "jobs": "j", "watch": "w"}
"""The letter of a flag, in every task that has it."""


class WrongWord(ParseError, Exit):
    """What invoke cannot place: as an ``Exit`` it ends with 2, as a ``ParseError`` it is printed, and does not stop completion."""

    def __init__(self, message: str, context: Any, near: Sequence[str] = ()) -> None:
        hint = f"did you mean {' or '.join(near)}?" if near else getattr(message, "hint", None)
        Exception.__init__(self, f"error: {UsageError(message, hint=hint)}")
        self.context, self.message, self._code = context, None, UsageError.exit_code


def read_words() -> None:
    """Have invoke read the words behind a task as variants, and name the nearest right word for a wrong one.

    Invoke hands the words to its parser after it has imported our tasks, so three methods are all that is replaced: the one that
    is given each word, the one that finds that a flag got no value, and the one that looks up the task of ``--help``.
    """
    ParseMachine.handle, ParseMachine.complete_flag = _handle, _complete_flag  # type: ignore[assignment, method-assign]
    Program.parse_cleanup = _parse_cleanup  # type: ignore[assignment, method-assign]


def _handle(machine: ParseMachine, word: str, plain: Callable[..., None] = ParseMachine.handle) -> None:
    context, tasks = machine.context, machine.contexts
    flags = (context.flags, context.inverse_flags, machine.initial.flags)
    due = machine.ignore_unknown or machine.waiting_for_flag_value or context.missing_positional_args
    if not due and word not in tasks and not any(word in known for known in flags):
        flag = context.args.get("variant")
        if word.startswith("-") or flag is None or (flag.kind is not list and flag.raw_value is not None):
            raise _unknown(word, context, chain(*flags) if word.startswith("-") else tasks)
        plain(machine, "--variant")
    plain(machine, word)


def _complete_flag(machine: ParseMachine, plain: Callable[..., None] = ParseMachine.complete_flag) -> None:
    flag = machine.flag
    given = flag is None or (machine.flag_got_value if flag.kind is list else flag.raw_value is not None)
    if flag is not None and flag.takes_value and not flag.optional and not given:
        raise WrongWord(wording("tasks.no_value", flag=f"--{flag.name}"), machine.context)
    plain(machine)


def _parse_cleanup(program: Program, plain: Callable[..., None] = Program.parse_cleanup) -> None:
    asked = program.args.help.value
    if isinstance(asked, str) and asked not in program.parser.contexts:
        raise _unknown(asked, program.core[0], program.parser.contexts)
    plain(program)


def _unknown(word: str, context: Any, known: Iterable[str]) -> WrongWord:
    from difflib import get_close_matches

    near, task = get_close_matches(word, list(known), 1), context.name or "invoke"
    if word.startswith("-"):
        return WrongWord(wording("tasks.no_flag", word=word, task=task), context, near)
    return WrongWord(wording("tasks.no_word" if context.name else "tasks.no_task", word=word, task=task), context, near)


# Which variants are meant: names, unique beginnings, and what the state folder remembers.
def names(values: Names) -> tuple[str, ...]:
    """A repeated flag; commas work too (``--variant ko,apko``). An empty name stays one: ``--variant "$UNSET"`` is not all."""
    return tuple(name.strip() for value in values or () for name in value.split(","))


def meant(workspace: lazy.Workspace, variant: Names, *, note: bool = True) -> tuple[lazy.Variant, ...]:
    """The variants that are meant; all where nothing is said. With ``note`` those named are ``@last`` from now on."""
    words = [name for word in names(variant) for name in (_recalled(workspace, word) if word in RECALLED else (word,))]
    chosen = lazy.select(workspace.suite, words)
    if words and note:
        with contextlib.suppress(
            DeadweightError
        ):  # a folder that cannot be written to: whoever writes there next tells of it
            lazy.store.write_atomically(workspace.state.folder / "last", "\n".join(one.name for one in chosen))
    return chosen


def meant_one(workspace: lazy.Workspace, variant: Value) -> lazy.Variant:
    """The one variant that is meant. Where none is named and there are several, whoever sits at the terminal picks one."""
    suite = workspace.suite
    if (
        variant is None
        and len(suite.variants) > 1
        and all(file.isatty() for file in (sys.stdin, sys.stdout, sys.stderr))
    ):
        variant = _picked(workspace.state.folder, suite.names())
    several = meant(workspace, None if variant is None else (variant,), note=variant is not None)
    return several[0] if len(several) == 1 else lazy.select_one(suite, variant)


@functools.cache  # with --watch the task begins anew, and means the same one
def _picked(folder: Path, known: Sequence[str]) -> Value:
    if os.environ.get("TERM") == "dumb":
        return None
    import questionary

    last = next((name for name in _last(folder) if name in known), None)
    return str(
        questionary.select("Variant?", known, default=last, use_search_filter=True, use_jk_keys=False).unsafe_ask()
    )


def _recalled(workspace: lazy.Workspace, word: str) -> Sequence[str]:
    if there := RECALLED[word](workspace):
        return there
    raise MissingError(wording("tasks.none_recalled", word=word))  # no name at all would mean every variant


def _last(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return (folder / "last").read_text(encoding="utf-8").split()
    return []


def _shipped(workspace: lazy.Workspace) -> list[str]:
    return list(lazy.View(lazy.history.load_report(workspace.state.report)).winners)


def _failed(workspace: lazy.Workspace) -> list[str]:
    def bad(variant: lazy.Variant) -> bool:
        checks = (check.name for check in lazy.table.checks_of(variant))
        kept = (lazy.store.load(lazy.Evidence, workspace.state.evidence(variant.name, name)) for name in checks)
        return workspace.failed(variant.name) is not None or any(one is not None and not one.ok for one in kept)

    return [variant.name for variant in workspace.suite.variants if bad(variant)]


RECALLED: dict[str, Callable[[lazy.Workspace], Sequence[str]]] = {
    "@ship": _shipped,
    "@last": lambda workspace: _last(workspace.state.folder),
    "@failed": _failed,
}
"""Words for variants that the state folder remembers."""
