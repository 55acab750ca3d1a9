"""Listening to a tool while it works: what it is doing now, and, if it fails, the compiler's own lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deadweight import _log_excerpt, _run
from deadweight._errors import CommandError
from deadweight.builders.shared import common
from deadweight.builders.shared.diagnosis import Cause, found

MAX_COMPILER_LINES = 10
HEARD_LINES = 400
SHOWN_LINES = 12

_COMPILER = re.compile(r"(?:^|\s)((?:\./|[\w./-]*/)?[\w.-]+\.(?:go|s|java):\d+(?::\d+)?: (?!warning: )\S.*)$")
_COMPILER_MAVEN = re.compile(r"\[ERROR\] (.+?\.java:\[\d+,\d+\] .*)$")


class Listener:
    """Takes output line by line. ``announce`` turns a line into what the user is told, or None."""

    def __init__(self, say: Callable[[str], None], announce: Callable[[str], str | None]) -> None:
        self._say, self._announce = say, announce
        self._compiler: dict[str, None] = {}
        self._heard: deque[str] = deque(maxlen=HEARD_LINES)

    def __call__(self, line: str) -> None:
        self._heard.append(line)
        match = _COMPILER_MAVEN.search(line) or _COMPILER.search(line)
        if match and len(self._compiler) < MAX_COMPILER_LINES:
            self._compiler.setdefault(match[1])
        news = self._announce(line)
        if news:
            self._say(news)

    @property
    def compiler(self) -> tuple[str, ...]:
        """What a compiler complained about: ``./main.go:12:3: undefined: x``."""
        return tuple(self._compiler)

    def explained(
        self, error: CommandError, what: str, *, clean: Callable[[str], str] = str.strip, causes: Sequence[Cause] = ()
    ) -> CommandError:
        """The same failure as itself: its cause where one is known, a compiler's lines where there are any, else the last lines."""
        words = [line for line in dict.fromkeys(clean(line) for line in (*self._heard, *error.tail)) if line]
        cause = found(causes, words)
        if cause and self.compiler and not cause.outweighs(self.compiler):
            cause = None
        hint = error.hint or (cause.step if cause else None)
        error = _without_prefix(error)
        if self.compiler and cause is None:
            return error.told(
                f"{what}: the service does not compile", self.compiler, hint or "see the log for the whole output"
            )
        shown = _log_excerpt.cut(words, SHOWN_LINES)
        if cause and cause.line[: _log_excerpt.MAX_LINE] not in shown:
            shown = [cause.line[: _log_excerpt.MAX_LINE], *shown]
        reason = cause.told if cause and cause.told else error.reason
        return error.told(f"{what}: {reason}", shown, hint or "see the log for the whole output")


def _without_prefix(error: CommandError) -> CommandError:
    """The prefix that gives melange its user namespace is not what failed."""
    if error.argv[:2] == ("unshare", "-Ur"):
        return CommandError(
            error.argv[2:],
            exit_code_of_command=error.exit_code_of_command,
            reason=error.reason,
            tail=error.tail,
            log=error.log,
            hint=error.hint,
        )
    return error


# Running a builder's tool on this machine: its output goes to the log and to a listener, within the time that a build has.


def run_tool(
    argv: Sequence[str | Path],
    listener: Listener,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    told: Sequence[str | Path] | None = None,
) -> None:
    """Run a tool to its end; what is secret in ``environment`` stays out of the log. Raises CommandError.

    ``told`` is the call that the log and an error show, where ``argv`` is only our way of making it.
    """
    _run.run(
        argv,
        told=told,
        cwd=cwd,
        env=environment,
        timeout=common.BUILD_TIMEOUT_SECONDS,
        log=log,
        on_line=listener,
        redact=common.secret_values(environment),
    )
