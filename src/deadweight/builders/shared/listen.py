"""Listening to a tool while it works: what it is doing now, and, if it fails, the compiler's own lines."""

from __future__ import annotations

import re
from collections.abc import Callable

from deadweight._errors import CommandError

MAX_COMPILER_LINES = 10

_COMPILER = re.compile(r"(?:^|\s)((?:\./|[\w./-]*/)?[\w.-]+\.(?:go|s|java):\d+(?::\d+)?: (?!warning: )\S.*)$")
_COMPILER_MAVEN = re.compile(r"\[ERROR\] (.+?\.java:\[\d+,\d+\] .*)$")


class Listener:
    """Takes output line by line. ``announce`` turns a line into what the user is told, or None."""

    def __init__(self, say: Callable[[str], None], announce: Callable[[str], str | None]) -> None:
        self._say, self._announce = say, announce
        self._compiler: dict[str, None] = {}

    def __call__(self, line: str) -> None:
        found = _COMPILER_MAVEN.search(line) or _COMPILER.search(line)
        if found and len(self._compiler) < MAX_COMPILER_LINES:
            self._compiler.setdefault(found.group(1))
        news = self._announce(line)
        if news:
            self._say(news)

    @property
    def compiler(self) -> tuple[str, ...]:
        """What a compiler complained about: ``./main.go:12:3: undefined: x``."""
        return tuple(self._compiler)

    def explained(
        self, error: CommandError, what: str, *, clean: Callable[[str], str] = str.strip, hint: str | None = None
    ) -> CommandError:
        """The same failure in the tool's own words: a compiler's lines where there are any, else its last lines."""
        if self.compiler:
            return _with(error, f"{what}: the service does not compile", self.compiler, hint or "the log has all of it")
        tail = [line for line in dict.fromkeys(clean(line) for line in error.tail) if line]
        return _with(error, f"{what}: {error.reason}", tail, hint or error.hint)


def _with(error: CommandError, reason: str, tail: tuple[str, ...] | list[str], hint: str | None) -> CommandError:
    # the prefix that gives melange its user namespace is not what failed
    argv = error.argv[2:] if error.argv[:2] == ("unshare", "-Ur") else error.argv
    return CommandError(
        argv,
        exit_code_of_command=error.exit_code_of_command,
        reason=reason,
        tail=tail,
        log=error.log,
        hint=hint,
    )
