"""Define the error tree. Every error that a user can cause or meet is one of these and carries its exit code.

    DeadweightError                exit 1
    ├── UsageError                 exit 2   a wrong argument
    │   └── ConfigError            exit 2   a wrong file: names file, line and key
    ├── MissingError               exit 3   something required is missing; names the command that gets it
    ├── CommandError               exit 1   an external program failed, timed out or could not be started
    ├── BuildFailed                exit 1   one or more variants were not built
    ├── CheckFailed                exit 1   a check or gate failed
    ├── ArchiveError               exit 1   an image archive is damaged, hostile or not an archive
    └── Interrupted                exit 130 Ctrl-C; another signal exits with 128 plus its number

Exit codes are part of the contract: 0 success; 1 a build, check or gate failed; 2 usage or configuration error;
3 something is missing; 130 Ctrl-C; 143 SIGTERM; 129 closed terminal; 141 the reader closed the pipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import ClassVar

from deadweight._packages import images

# What reading an image can raise is defined there: that package works without this one.
DeadweightError = images.DeadweightError
UsageError = images.UsageError
MissingError = images.MissingError
CheckFailed = images.CheckFailed
ArchiveError = images.ArchiveError

wording = images.Catalogue("deadweight")
"""The core's sentences, by code (``messages.toml``)."""


def quoting(message: str, sentence: str) -> str:
    """A sentence around a message: with the code, the fields and the hint of that."""
    if not isinstance(message, images.Message):
        return sentence
    return images.Message(sentence, message.code, message.fields, message.hint)


def joined(*parts: str, separator: str = "; ") -> str:
    """The parts as one reason, with the code and the fields of the first."""
    return quoting(parts[0], separator.join(parts))


class ConfigError(UsageError):
    """An invalid file. ``line`` counts from 1; ``key`` is dotted (``variants.ko.base``). ``more`` holds the file's other errors."""

    SHOWN: ClassVar[int] = 20

    def __init__(
        self,
        message: str,
        *,
        file: Path | str,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        place = str(file) if line is None else f"{file}:{line}"
        hint = hint or getattr(message, "hint", None)
        super().__init__(f"{place}: {key}: {message}" if key else f"{place}: {message}", hint=hint)
        self.file, self.line, self.key, self.problem = str(file), line, key, message
        self.code, self.fields = getattr(message, "code", ""), getattr(message, "fields", {})
        self.more: tuple[ConfigError, ...] = ()

    def alone(self) -> ConfigError:
        """This error without the others."""
        return ConfigError(self.problem, file=self.file, line=self.line, key=self.key, hint=self.hint)

    def beside(self, others: Sequence[ConfigError]) -> ConfigError:
        """This error with others in the same file: all are shown, up to ``SHOWN``."""
        whole = self.alone()
        whole.more = tuple(others)
        return whole

    def __str__(self) -> str:
        shown = [super().__str__(), *(str(other) for other in self.more[: self.SHOWN - 1])]
        left = len(self.more) + 1 - len(shown)
        return "\n".join([*shown, *([f"… and {left} more in {self.file}"] if left else [])])


class CommandError(DeadweightError):
    """An external program failed. Shows the last lines of its output and its log, never its environment.

    ``exit_code_of_command`` is None where the program did not end by itself (time limit, not startable). ``line`` is that of the
    Dockerfile's instruction that failed, where that is what did, and ``step`` its text. ``cause`` is a code of
    ``builders/shared/diagnosis.py``.
    """

    line: int | None = None
    step: str = ""
    cause: str = "unknown"

    def __init__(
        self,
        argv: Sequence[str],
        *,
        exit_code_of_command: int | None,
        reason: str,
        tail: Sequence[str] = (),
        log: Path | None = None,
        hint: str | None = None,
    ) -> None:
        shown = "\n".join(f"  | {line}" for line in tail)
        where = f"\n  log: {log}" if log else ""
        hint = hint or getattr(reason, "hint", None)
        super().__init__(f"{Path(argv[0]).name} {reason}{where}" + (f"\n{shown}" if shown else ""), hint=hint)
        self.argv, self.exit_code_of_command, self.tail, self.log = tuple(argv), exit_code_of_command, tuple(tail), log
        self.reason = reason
        self.code, self.fields = getattr(reason, "code", ""), getattr(reason, "fields", {})

    def reworded(self, reason: str, tail: Sequence[str], hint: str | None, cause: Enum | None = None) -> CommandError:
        """The same failure with a message specific to the program."""
        argv, code = self.argv, self.exit_code_of_command
        error = CommandError(argv, exit_code_of_command=code, reason=reason, tail=tail, log=self.log, hint=hint)
        error.cause = str(cause.value) if cause else self.cause
        return error

    told = reworded  # earlier plug-ins call it so


class BuildFailed(DeadweightError):
    """One or more variants were not built; the summary is in the message."""


class Interrupted(DeadweightError):
    """The user pressed Ctrl-C, or something else ended us (``_signals``)."""

    exit_code = 130
