"""Run a build tool, report its progress and, on failure, the compiler's own lines and the cause.

A failure is diagnosed by the last lines of a tool's output, matched against ``diagnosis.toml``.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from deadweight import _disk, _log_excerpt, _run
from deadweight._errors import CommandError, wording
from deadweight.builders.shared import common

Where = Literal["client", "pull", "copy", "copy_from", "run", "native", "java"]
"""What failed; ``diagnosis.toml`` explains each."""

LAST_LINES = 100
_LEVEL = re.compile(
    r"^\W*(?:\S+\s+){0,3}?\[?(?:(TRACE|DEBUG|INFO|NOTICE)|WARN(?:ING)?)\b\]?|^npm (?:(notice)|warn)\b", re.ASCII
)
"""The level of a line that is no error, behind at most a time and a name; the group is empty for a warning."""


class Code(Enum):
    """What kind of cause it is."""

    UNKNOWN = "unknown"
    CERTIFICATE = "certificate"
    CLIENT = "client"
    COMPILER = "missing_compiler"
    CREDENTIALS = "credentials"
    DISK_FULL = "disk_full"
    ENGINE = "engine"
    FILE = "missing_file"
    HASHES = "old_hashes"
    HEADER = "missing_header"
    LOCK = "lock"
    MEMORY = "out_of_memory"
    NETWORK = "network"
    NOT_COMPILED = "not_compiled"
    PACKAGE = "missing_package"
    PEERS = "conflict"
    PROGRAM = "missing_program"
    SYNTAX = "syntax"
    TEST = "failed_test"
    VARIABLE = "missing_variable"
    VERSION = "wrong_version"


@dataclass(frozen=True)
class Cause:
    """An entry of ``diagnosis.toml``, which explains the fields. In a diagnosis what the tool named is filled in, and ``line`` is
    the one that gave it away."""

    id: str
    where: Sequence[Where]
    pattern: str
    hint: str
    message: str = ""
    stand_in: str = ""
    reach: bool = False
    code: Code = Code.UNKNOWN
    line: str = ""

    def outweighs(self, compiler: Sequence[str]) -> bool:
        """Whether this is the cause although a compiler complained: of something that it could not fetch or write."""
        decisive = self.code in _DECISIVE or "://" in self.line or bool(_disk.FULL.search(self.line))
        return bool(self.message) and (not compiler or decisive)


_DECISIVE = frozenset((Code.SYNTAX, Code.TEST, Code.LOCK, Code.HEADER, Code.COMPILER, Code.PROGRAM, Code.VERSION))
"""What compilers complain of too, said better."""


def diagnose(where: Sequence[Where], lines: Sequence[str], *, stand_in: bool = False) -> Cause | None:
    """The first cause that one of the last lines shows.

    What a program wrote long before it failed, or for information, is no cause; what it warns of is one only if no other line shows
    any. ``stand_in``: the base is a local stand-in.
    """
    last = [(_LEVEL.search(line), line) for line in lines[-LAST_LINES:]]
    errors = [line for level, line in last if level is None]
    warnings = [line for level, line in last if level is not None and not any(level.groups())]
    table = [cause for name in where for cause in causes() if name in cause.where]
    cause = _first(table, errors, stand_in=stand_in) or _first(table, warnings, stand_in=stand_in)
    if cause is None or cause.code is not Code.PACKAGE:
        return cause
    network = [entry for entry in table if entry.code is Code.NETWORK]  # an index that is not reached has no packages
    return _first(network, [*errors, *warnings], stand_in=stand_in) or cause


def _first(table: Sequence[Cause], lines: Sequence[str], *, stand_in: bool) -> Cause | None:
    for cause in table:
        for line in lines:
            if match := re.search(cause.pattern, line):
                words = [group or "" for group in match.groups()]
                hint = cause.stand_in if stand_in and cause.stand_in else cause.hint
                return replace(cause, message=_fill_in(cause.message, words), hint=_fill_in(hint, words), line=line)
    return None


def _fill_in(text: str, words: Sequence[str]) -> str:
    return re.sub(r"\{(\d)\}", lambda number: words[int(number[1])], text)


@functools.cache
def causes() -> tuple[Cause, ...]:
    """All causes, in the order in which they are looked for."""
    document = tomllib.loads((files("deadweight.builders.shared") / "diagnosis.toml").read_text(encoding="utf-8"))
    parts = named_patterns(document["patterns"])

    def made(pattern: str | list[str], code: str = "unknown", **entry: Any) -> Cause:
        return Cause(**entry, pattern=filled_pattern(pattern, parts), code=Code(code))

    return tuple(made(**entry) for entry in document["cause"])


def named_patterns(patterns: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The variables of a table; each may refer to those above it."""
    parts: dict[str, str] = {}
    for name, pattern in patterns.items():
        parts[name] = filled_pattern(pattern, parts)
    return parts


def filled_pattern(pattern: str | list[str], parts: Mapping[str, str]) -> str:
    """One expression of all alternatives, with the named parts filled in."""
    text = pattern if isinstance(pattern, str) else "|".join(pattern)
    return re.sub(r"<([a-z_]+)>", lambda name: parts[name[1]], text)


# Running a builder's tool on this machine: its output goes to the log and to a listener, within the time that a build has.
Say = Callable[[str], None]
Announce = Callable[[str], str | None]
Words = Sequence[str | Path]

MAX_COMPILER_LINES = 10
HEARD_LINES = 400
SHOWN_LINES = 12

_COMPILER = re.compile(r"(?:^|\s)((?:\./|[\w./@!+~-]*/)?[\w.-]+\.(?:go|s|java):\d+(?::\d+)?: (?!warning: )\S.*)$")
_COMPILER_MAVEN = re.compile(r"\[ERROR\] (.+?\.java:\[\d+,\d+\] .*)$")


class Listener:
    """Takes output line by line. ``announce`` turns a line into what the user is told, or None; ``clean`` takes off what a tool
    writes before each line."""

    def __init__(self, say: Say, announce: Announce, clean: Callable[[str], str] = str.strip) -> None:
        self._say, self._announce, self._clean = say, announce, clean
        self.compiler: list[str] = []
        """What a compiler complained about: ``./main.go:12:3: undefined: x``."""
        self._heard: deque[str] = deque(maxlen=HEARD_LINES)

    def __call__(self, line: str) -> None:
        self._heard.append(line)
        match = _COMPILER_MAVEN.search(line) or _COMPILER.search(line)
        if match and len(self.compiler) < MAX_COMPILER_LINES and match[1] not in self.compiler:
            self.compiler.append(match[1])
        if news := self._announce(line):
            self._say(news)

    def failure(self, error: CommandError, what: str) -> CommandError:
        """The same failure as itself: its cause where one is known, a compiler's lines where there are any, else the last lines."""
        words = [line for line in dict.fromkeys(map(self._clean, (*self._heard, *error.tail))) if line]
        cause = diagnose(("native",), words)
        if self.compiler and not (cause and cause.outweighs(self.compiler)):
            return error.reworded(wording("builders.not_compiled", what=what), self.compiler, error.hint)
        return with_its_cause(error, what, with_cause(words, cause), cause)


def with_its_cause(
    error: CommandError, what: str, lines: Sequence[str], cause: Cause | None, *, compiled: bool = True
) -> CommandError:
    """The failure of a tool, with the reason and the hint of its cause as far as that is known."""
    message = wording("builders.tool_failed", what=what, reason=(cause.message if cause else "") or error.reason)
    message = message if compiled else wording("builders.not_compiled", what=what)
    return error.reworded(message, lines, error.hint or (cause.hint if cause else None), cause.code if cause else None)


def with_cause(words: Sequence[str], cause: Cause | None) -> list[str]:
    """The lines of a failure that are shown; the one that gave its cause away is among them."""
    shown = _log_excerpt.cut(words, SHOWN_LINES)
    telling = cause.line[: _log_excerpt.MAX_LINE].strip() if cause else ""
    return [telling, *shown] if telling and telling not in (line.strip() for line in shown) else shown


def run_tool(
    argv: Words,
    what: str,
    listener: Listener,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    shown_argv: Words = (),
) -> None:
    """Run a tool to its end; what is secret in ``environment`` stays out of the log. Raises CommandError for ``what`` is built.

    ``shown_argv`` is the call that the log and an error show, where ``argv`` is only our way of making it.
    """
    try:
        _run.run(
            argv,
            told=shown_argv or argv,
            cwd=cwd,
            env=environment,
            timeout=common.BUILD_TIMEOUT_SECONDS,
            log=log,
            on_line=listener,
            redact=common.secret_values(environment),
        )
    except CommandError as error:
        raise listener.failure(error, what) from None


# What Maven, Gradle and Jib say when they fail: their own lines without the chatter around them, and the likely cause.
MAX_LINES = 60
JAVA_SHOWN_LINES = 8

_MAVENS_ERROR = re.compile(r"^\[(?:ERROR|FATAL)\] ?(.*)$")
_ANY_LEVEL = re.compile(r"^\[(?:INFO|WARNING|ERROR|FATAL)\] ?")
_CHATTER = re.compile(
    r"^(?:To see the full stack trace|Re-run Maven|For more information about|\[Help \d+\]|After correcting the problems"
    r"|mvn <args>|See .* for the individual test|Please refer to |-> \[Help|COMPILATION ERROR|The build could not read"
    r"|\[ERROR\] Some problems were|The project \S+ \(.*\) has \d+ error|Failures:|Errors:|Tests run:|.*\.java:\[\d"
    r"|urls\[\d+\] = |(?:realm|strategy) =|Number of foreign imports|import: Entry\[|-{9,}$)"
)
_GOAL = re.compile(r"^Failed to execute goal (?:on project |\S+ (?:\([^)]*\) )?on project )\S+: ")
_ADVICE = re.compile(r", perhaps you should add a `mainClass`.*$|\. If your intention was to specify a platform.*$")
_PLACE = re.compile(r"^\s*(.*?) @ (?:(.+), )?line (\d+), column (\d+)$")
_ABOUT = re.compile(r"^\s*The project \S+ \((.+)\) has \d+ error")
_SKIPPED = "Skipping containerization because"
_NESTED = re.compile(
    r"^(?:Could not resolve dependencies for project \S+: )?(?:Failed to collect dependencies at \S+(?: -> \S+)*: )?"
    r"(?:Failed to read artifact descriptor for \S+: )?(?=\S)"
)
_TEST = re.compile(r"^\[ERROR\] {2,}([\w$]\S*\.\S+?(?:\([^)]*\)\S*)?(?::\d| »).*)$")
_MAVENS_PLACE = re.compile(r"(\.java):\[(\d+),(\d+)\] ")
_REPEATED = re.compile(r"resolution (?:is not|will not be) reattempted until")
_GRADLES_REASONS = ("* Where:", "* What went wrong:")
_GRADLES_TEST = re.compile(r"^([\w$].* > .+) FAILED$")


class JavaListener(Listener):
    """Remembers Maven's error lines and Gradle's reasons beside a compiler's lines, and names of tests that failed."""

    def __init__(self, say: Say, announce: Announce, source: Path, *, gradle: bool = False) -> None:
        super().__init__(say, announce)
        self._gradle = gradle
        self._source, self._errors, self._tests = f"{source}/", dict[str, None](), dict[str, None]()
        self._file = ""  # the pom that Maven's errors are about
        self._in_reason = False  # of Gradle's
        self._test = ""  # the one that Gradle is about to give a reason for
        self.skipped = ""
        self.repeats = False
        """Whether Maven told of a failure that it had met before, and kept."""

    def __call__(self, line: str) -> None:
        line = line.replace(self._source, "")
        super().__call__(line)
        if _SKIPPED in line:
            self.skipped = clean(line)
        self.repeats = self.repeats or bool(not self._gradle and _REPEATED.search(line))
        test = _TEST.match(line)
        if test and len(self._tests) < JAVA_SHOWN_LINES:
            self._tests.setdefault(test[1])
        level = _MAVENS_ERROR.match(line)
        if level and len(self._errors) < MAX_LINES:
            self._remember(level[1].partition(" -> [Help")[0].rstrip())
        if self._gradle:
            self._hear_gradle(line)

    def _hear_gradle(self, line: str) -> None:
        """A failure's sections begin with a star; a failed test's reason is the line below it."""
        if self._test and line.startswith("    "):
            self._tests.pop(self._test, None)
            self._tests.setdefault(f"{self._test}: {line.strip()}")
        test = _GRADLES_TEST.match(line)
        self._test = test[1] if test and len(self._tests) < JAVA_SHOWN_LINES else ""
        if self._test:
            self._tests.setdefault(self._test)
        if line.startswith("* "):
            self._in_reason = line.startswith(_GRADLES_REASONS)
        elif self._in_reason and line.strip() and len(self._errors) < MAX_LINES:
            self._errors.setdefault(line.strip().removeprefix("> "))

    def _remember(self, text: str) -> None:
        about = _ABOUT.match(text)
        if about:
            self._file = about[1]
        elif text and not _CHATTER.match(text):
            text = _ADVICE.sub("", _NESTED.sub("", _GOAL.sub("", text))).removesuffix(" @")
            self._errors.setdefault(_PLACE.sub(self._with_location, text).strip())

    def _with_location(self, match: re.Match[str]) -> str:
        """Maven tells a problem twice, without its file and below the file's name: the first is then a part of the second."""
        text, given, line, column = match.groups()
        file = (given or "").rpartition(", ")[2] or self._file  # PROJECT, FILE; or either
        return f"{file}:{line}:{column}: {text}" if file else text

    def failure(self, error: CommandError, what: str) -> CommandError:
        """The failure in the tool's own words: the compiler's lines, else the failed tests, else Maven's errors."""
        if self._tests and not self.compiler:
            message = wording("builders.tests_fail", what=what)
            return error.reworded(message, list(self._tests)[:JAVA_SHOWN_LINES], error.hint)
        # without lines that another one holds as a part: Maven and Jib say the same thing up to three times
        errors = [line for line in self._errors if not any(line != other and line in other for other in self._errors)]
        compiler = [_MAVENS_PLACE.sub(r"\1:\2:\3: ", line) for line in self.compiler]
        lines = compiler or errors or [clean(line) for line in error.tail if clean(line)]
        cause = diagnose(("java",), lines)
        return with_its_cause(error, what, lines[:JAVA_SHOWN_LINES], cause, compiled=not compiler)


def without_chatter(line: str) -> str:
    """A line without Maven's level, where it says something of a failure; nothing where it only tells of ways to say more."""
    level = _MAVENS_ERROR.match(line)
    text = level[1].partition(" -> [Help")[0].strip() if level else line
    return "" if level and _CHATTER.match(text) else text


def clean(line: str) -> str:
    """A line without Maven's level."""
    return _ANY_LEVEL.sub("", line).strip()
