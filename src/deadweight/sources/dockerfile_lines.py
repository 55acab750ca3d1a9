"""Parse a Dockerfile as BuildKit does: directives, comments, continued lines, heredocs, and each character's position.

Source of the rules: BuildKit's ``frontend/dockerfile/parser`` (``Parse``, ``trimContinuationCharacter``, ``heredocsFromLine``).
All our code that reads Dockerfiles uses this parser: the planner and the rewriter of the copy must see the same.

No package does this: dockerfile-parse (2.0) takes the lines of a heredoc for instructions, and dockerfile (3.4, BuildKit's own
parser) gives an instruction's lines, but not each character's position, which a copy that changes one name needs.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

FROM = re.compile(r"FROM\s+((?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
"""An instruction's flags, its image, and its stage's name."""

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(.+?)\s*$", re.IGNORECASE)
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)")
_MAY_HAVE_HEREDOCS = re.compile(r"(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_WORDS = re.compile(r"(?:\s|\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[^\s'\"\\])*\\?", re.DOTALL)
_WORD = re.compile(r"(?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[^\s'\"\\])+", re.DOTALL)


@dataclass(frozen=True)
class Instruction:
    """One logical line. ``line`` is that of its first letter, from 1; ``text`` has neither continuations nor comments in it.

    ``unended`` names the heredoc that the file has no end of.
    """

    line: int
    text: str
    unended: str | None = None
    body: str = field(default="", repr=False)
    """The lines of its heredocs."""
    pieces: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Where the parts of ``text`` begin: in it, and in the file."""

    @property
    def word(self) -> str:
        """What it is, in capitals."""
        return self.text.split(None, 1)[0].upper()

    def place(self, at: int) -> int:
        """Where a letter of ``text`` stands in the file."""
        mine, files = next(piece for piece in reversed(self.pieces) if piece[0] <= at)
        return files + at - mine


def directives(text: str) -> dict[int, tuple[str, str]]:
    """The parser directives by line, from 0: name and value. They come first, or are comments."""
    found: dict[int, tuple[str, str]] = {}
    for number, line in enumerate(text.split("\n")):
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        found[number] = (match[1].lower(), match[2])
    return found


@functools.lru_cache(maxsize=16)
def instructions(text: str) -> tuple[Instruction, ...]:
    """What a Dockerfile says, one after another; bodies of heredocs stand apart (``body``)."""
    return tuple(_taken_apart(text))


def _taken_apart(text: str) -> Iterator[Instruction]:
    escape = re.escape(next((value for name, value in directives(text).values() if name == "escape"), "\\"))
    continued = re.compile(rf"(?:(?<=[^{escape}])|^){escape}[ \t]*$")
    lines = _lines(text)
    for first in lines:
        if _says_nothing(first.text):
            continue
        pieces, whole = list[tuple[int, int]](), ""
        for part in _parts(first, lines, continued):
            pieces.append((len(whole), part.start))
            whole += part.text
        if whole.strip():
            unended, body = _bodies(whole, lines)
            yield Instruction(first.number, whole, unended, body, tuple(pieces))


def arguments(instruction: str) -> dict[str, str | None]:
    """What an ARG declares: names, with their default or None."""
    said = " ".join(instruction.split(None, 1)[1:])
    try:
        words = shlex.split(said)
    except ValueError:  # an open quote: BuildKit says so
        words = said.split()
    parts = [word.partition("=") for word in words]
    return {name: value if equals else None for name, equals, value in parts}


@dataclass(frozen=True)
class _Line:
    """A line or a part of one; ``start`` is its place in the file."""

    number: int
    start: int
    text: str


def _lines(text: str) -> Iterator[_Line]:
    """Only a line feed ends a line."""
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        yield _Line(number, start, line.rstrip("\r"))
        start += len(line) + 1


def _says_nothing(line: str) -> bool:
    bare = line.strip()
    return not bare or bare.startswith("#")


def _parts(first: _Line, lines: Iterator[_Line], continued: re.Pattern[str]) -> Iterator[_Line]:
    """The lines of one instruction without the marks that join them; comments and empty lines between them are passed over."""
    indent = len(first.text) - len(first.text.lstrip())
    line: _Line | None = replace(first, start=first.start + indent, text=first.text[indent:])
    while line is not None:
        mark = continued.search(line.text)
        yield replace(line, text=line.text[: mark.start()]) if mark else line
        line = next((each for each in lines if not _says_nothing(each.text)), None) if mark else None


def _bodies(instruction: str, lines: Iterator[_Line]) -> tuple[str | None, str]:
    """Pass over the bodies of an instruction's heredocs. The name of one that does not end, and the bodies' lines."""
    found: list[str] = []
    for tabs, name in heredocs(instruction):
        for line in lines:
            if (line.text.lstrip("\t") if tabs else line.text) == name:
                break
            found.append(line.text)
        else:
            return name, "\n".join(found)
    return None, "\n".join(found)


def heredocs(instruction: str) -> list[tuple[bool, str]]:
    """The heredocs that an instruction begins: whether tabs before the end do not count (``<<-``), and the name that ends it.

    Only a shell word of its own begins one: neither ``<<<word`` nor ``$((1<<N))``, and nothing within quotes.
    """
    if "<<" not in instruction or not _MAY_HAVE_HEREDOCS.match(instruction) or not _WORDS.fullmatch(instruction):
        return []
    found = (_HEREDOC.fullmatch(word) for word in _WORD.findall(instruction))
    named = [(bool(match[1]), shlex.split(match[2])) for match in found if match]
    return [(tabs, names[0]) for tabs, names in named if len(names) == 1]
