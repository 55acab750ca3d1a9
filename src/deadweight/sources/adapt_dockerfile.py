"""Rewrite a copy of a Dockerfile with plain FROM lines for another source. The user's file is never changed.

FROM, ``COPY --from`` and ``RUN --mount=…,from=`` name images; each public name is replaced by its local equivalent. A
``# syntax=`` line would make BuildKit fetch a frontend from a public registry. An empty comment takes its place
after the other directives, so that those still come first and line numbers in errors stay correct.

The parser is our own: dockerfile-parse (2.0) takes the lines of a heredoc for instructions, and dockerfile (3.4, BuildKit's own
parser) gives an instruction's lines, but not each character's position, which a copy that changes one name needs.
"""

from __future__ import annotations

import functools
import itertools
import json
import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from deadweight._errors import ConfigError, wording

_COPY_FROM = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=([^\s$]+)", re.IGNORECASE)
_RUN = re.compile(r"RUN\s+((?:--\S+\s+)*)", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^\s,$]+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")


class Run(NamedTuple):
    """A RUN. ``stage`` is its stage's number, from 0; ``base`` the image that it stands on, empty where that is not known.

    ``plain``: words for the shell stand on its line, so that more can stand before them.
    """

    stage: int
    base: str
    command: str
    line: int = 0
    plain: bool = True


class Added(NamedTuple):
    """What a RUN's line gets: ``flags`` before its own, ``before`` in front of its command."""

    flags: Sequence[str] = ()
    before: str = ""


def places(text: str, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Public references that a Dockerfile stands on, each with the line that first names it, from 1; ``given`` are build arguments
    that will be given. Stages, ``scratch`` and names with an argument that has no value are not among them."""
    lines: dict[str, int] = {}
    for instruction, images, _ in _read(text, given or {}):
        for _, reference in images:
            lines.setdefault(reference, instruction.line)
    return lines


def stage_bases(text: str, given: Mapping[str, str]) -> list[str]:
    """The public reference that each stage stands on, through the stages that it names; empty where that is not known."""
    return [run.base for instruction, _, run in _read(text, given) if FROM.match(instruction.text)]


def derived(
    text: str,
    resolve: Callable[[str], str],
    given: Mapping[str, str] | None = None,
    add: Callable[[Run], Added] = lambda _run: Added(),
) -> str:
    """The same Dockerfile with every image's name replaced by ``resolve(reference)``, and what ``add`` says in its RUN lines.

    Line by line: numbers stay true.
    """
    edits: list[tuple[int, int, str]] = []  # where, how many letters go, and what comes
    for instruction, images, run in _read(text, given or {}):
        for (start, end), reference in images:
            # a name that goes on over lines is taken out letter by letter: what joins its lines stays
            *others, last = map(instruction.place, range(start, end))
            edits += [*((at, 1, "") for at in others), (last, 1, resolve(reference))]
        flags = _RUN.match(instruction.text)
        if flags:
            added = add(run)
            edits.append((instruction.place(flags.end()), 0, added.before))
            edits.append((instruction.place(flags.start(1)), 0, "".join(f"{flag} " for flag in added.flags)))
    # from the end, so that the places before stay true; of two at one place the later one comes to stand first
    for at, length, words in sorted(edits, key=lambda edit: edit[0], reverse=True):
        text = text[:at] + words + text[at + length :]
    first = directives(text)
    lines = text.split("\n")
    stay = [lines[number] for number, (name, _) in first.items() if name != "syntax"]
    return "\n".join([*stay, *["#"] * (len(first) - len(stay)), *lines[len(first) :]])


_Image = tuple[tuple[int, int], str]
"""Where an instruction names an image, and the public reference that is meant."""


def _read(text: str, given: Mapping[str, str]) -> Iterator[tuple[Instruction, list[_Image], Run]]:
    """Each instruction with the images that it names, and what a RUN in its place stands on."""
    bases, values, stage, base, plain = dict[str, str](), dict[str, str](), -1, "", True
    for step in instructions(text):
        first, named, stages = FROM.match(step.text), list(_named_beside_from(step.text)), {"", *bases}
        if step.word == "ARG" and stage < 0:
            _learn(step.text, values, given)
        elif first:
            name = _expanded(first[2], values) or ""
            stage, plain, named = stage + 1, True, [(first.span(2), name)]
            base = bases.get(name.lower(), "" if name == "scratch" else name)
            bases |= {first[3].lower(): base} if first[3] else {}
        elif step.word == "SHELL":
            plain = re.search(r"\b(?:ba|da|a)?sh\b", step.text.lower().removeprefix("shell")) is not None
        images = [image for image in named if image[1].lower() not in stages and image[1] != "scratch"]
        for_shell = plain and not _RUN.sub("", step.text, count=1).startswith("[") and not heredocs(step.text)
        yield step, images, Run(stage, base, f"{step.text}\n{step.body}", step.line, for_shell)


def _named_beside_from(instruction: str) -> Iterator[_Image]:
    """Those of mounts stand among RUN's flags, and not in its command. A number is a stage's."""
    copied, flags = _COPY_FROM.match(instruction), _RUN.match(instruction)
    matches = [*([copied] if copied else []), *(_MOUNT_FROM.finditer(instruction, 0, flags.end()) if flags else ())]
    return ((match.span(1), match[1]) for match in matches if not match[1].isdigit())


def _learn(instruction: str, values: dict[str, str], given: Mapping[str, str]) -> None:
    for name, default in arguments(instruction).items():
        if name in given:
            values[name] = given[name]
        elif default is not None:
            expanded = _expanded(default, values)
            if expanded is not None or not default.strip("\"'"):
                values[name] = expanded or ""


def _expanded(word: str, values: Mapping[str, str]) -> str | None:
    """With its variables replaced; None where one has no value."""
    unknown = False

    def value(match: re.Match[str]) -> str:
        nonlocal unknown
        name = match.group(1) or match.group(4)
        mark, other = match.group(2) or "", match.group(3) or ""
        known = values.get(name, "")
        if mark.endswith("+"):
            return other if known else ""
        if not known and mark.endswith("-"):
            return other
        unknown = unknown or name not in values  # an empty one is known: ARG ARCH= before ${ARCH}node
        return known

    expanded = _VARIABLE.sub(value, word.strip("\"'"))
    return None if unknown or not expanded else expanded


# A Dockerfile for planning: ARGs before FROM, and stages.
# Source of the rules: Docker's Dockerfile reference (ARG before FROM, FROM … AS).
_INSTRUCTIONS = frozenset(
    (
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
        "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    )
)  # fmt: skip


class Stage(NamedTuple):
    """One FROM. ``base`` is as written (``${BASE}``, ``ubuntu:23.10``, another stage's name)."""

    base: str
    name: str | None


class Dockerfile(NamedTuple):
    """``args`` are the ARGs before the first FROM, with their default or None."""

    file: Path
    text: str
    args: Mapping[str, str | None]
    stages: tuple[Stage, ...]

    def chain(self, target: str | None) -> tuple[int, ...]:
        """The numbers of the stages that the image of ``target`` (default: the last stage) is made of, from its own down.

        Raises ConfigError naming the stages where there is no such one.
        """
        numbers = [self._number(target)]
        while (below := self._named(self.stages[numbers[-1]].base, before=numbers[-1])) is not None:
            numbers.append(below)
        return tuple(numbers)

    def lines(self) -> dict[str, int]:
        """The line of each instruction, by its text with single blanks; those that stand there twice are left out."""
        lines = [(" ".join(instruction.text.split()), instruction.line) for instruction in instructions(self.text)]
        times = Counter(text for text, _ in lines)
        return {text: line for text, line in lines if times[text] == 1}

    def _named(self, name: str, *, before: int) -> int | None:
        """The last stage of that name above another one."""
        alike = (number for number in range(before) if (self.stages[number].name or "").lower() == name.lower())
        return max(alike, default=None)

    def _number(self, target: str | None) -> int:
        if target is None:
            return len(self.stages) - 1
        named = self._named(target, before=len(self.stages))
        if named is not None:
            return named
        if target.isdigit() and int(target) < len(self.stages):
            return int(target)
        choices = ", ".join(stage.name for stage in self.stages if stage.name) or "none has a name"
        raise ConfigError(wording("dockerfile.no_such_stage", name=target, stages=choices), file=self.file)


def read_dockerfile(file: Path) -> Dockerfile:
    """Raises ConfigError, with its line, for what is no Dockerfile: no FROM, an unknown instruction before it, not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(wording("dockerfile.not_utf8"), file=file) from None
    args: dict[str, str | None] = {}
    stages: list[Stage] = []
    for instruction in instructions(text):
        first = FROM.match(instruction.text)
        if problem := _problem(instruction, before_from=not stages):
            raise ConfigError(problem, file=file, line=instruction.line)
        if first:
            stages.append(Stage(first[2].strip("\"'"), first[3]))
        elif not stages:
            args.update(arguments(instruction.text))
    if not stages:
        raise ConfigError(wording("dockerfile.no_from"), file=file, line=1)
    return Dockerfile(file, text, args, tuple(stages))


def _problem(instruction: Instruction, *, before_from: bool) -> str:
    """What is wrong with an instruction; empty where nothing is."""
    word, text = instruction.word, instruction.text
    if word not in _INSTRUCTIONS:
        return wording("dockerfile.unknown_instruction", name=word[:30])
    if before_from and word not in ("ARG", "FROM"):
        return wording("dockerfile.before_from", name=word)
    if instruction.unended is not None:
        return wording("dockerfile.open_heredoc", name=instruction.unended)
    if word == "FROM" and not FROM.match(text):
        return wording("dockerfile.from_with_comment" if " #" in text else "dockerfile.incomplete_from")
    return ""


# A Dockerfile said in words that an older BuildKit knows, in the copy that is built: the user's file is never touched.
#
# Engines before 23 know neither heredocs nor ``COPY --link``, those before 25 no ``HEALTHCHECK --start-interval``
# (docs.docker.com, "Dockerfile release notes" 1.4 and "Engine 25.0"). A ``# syntax=`` line would bring a newer frontend, but from
# a public registry. A ``RUN`` with a heredoc becomes its shell with the same script as an argument, which is what BuildKit makes
# of it; a ``COPY`` of one becomes a ``RUN`` that writes the file. Numbers of lines stay true.
HEREDOCS, LINK, START_INTERVAL = "heredocs", "COPY --link", "HEALTHCHECK --start-interval"
SINCE = {HEREDOCS: (23, 0), LINK: (23, 0), START_INTERVAL: (25, 0)}
"""The engine that knows it, by what is lacking."""

_SHELL = ("/bin/sh", "-c")
_FLAGS = r"\w+\s+((?:--\S+\s+)*)"
_ALONE = r"\d*<<-?\s*([\"']?)[\w.-]+\1\s*"
_SCRIPT = 'f=$(mktemp) && printf %s "$0" > "$f" && chmod +x "$f" && { "$f"; s=$?; rm -f "$f"; exit $s; }'
_DROPPED = (
    (LINK, ("COPY", "ADD"), r"[ \t]--link(?:=\w+)?(?=\s)"),
    (START_INTERVAL, ("HEALTHCHECK",), r"[ \t]--start-interval=\S+(?=\s)"),
)
"""Flags that can be left out, and the instructions that have them."""


def unknown_features(version: tuple[int, ...]) -> frozenset[str]:
    """What an engine of this version does not know."""
    return frozenset(name for name, since in SINCE.items() if version[:2] < since)


def downgraded(text: str, unknown: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """The Dockerfile without what is unknown, as far as that can be said otherwise, and what was said otherwise."""
    lines, changed = text.split("\n"), dict[str, None]()
    shell: Sequence[str] = _SHELL
    user = ""  # root has no name here
    for step in instructions(text) if unknown else ():
        first = step.line - 1
        end = first + 1 + text.count("\n", step.place(0), step.place(len(step.text) - 1))
        if FROM.match(step.text):
            shell, user = _SHELL, ""
        elif step.word == "SHELL":
            with suppress(ValueError, TypeError):  # BuildKit says what is wrong with it
                shell = [str(word) for word in json.loads(step.text.partition(" ")[2])]
        elif step.word == "USER":
            user = step.text.split()[-1]
            user = "" if user in ("0", "root", "0:0", "root:root") else user
        for feature, words, flag in _DROPPED:
            whole = "\n".join([*lines[first:end], ""])
            if feature in unknown and step.word in words and (shorter := re.sub(flag, "", whole, count=1)) != whole:
                lines[first:end], changed[feature] = shorter.split("\n")[:-1], None
        if HEREDOCS in unknown and step.word in ("RUN", "COPY", "ADD") and step.documents and step.unended is None:
            end += sum(len(document.lines) + 1 for document in step.documents)
            made = _run(step, shell) if step.word == "RUN" else _copy(step, user)
            if made and len(made) <= end - first:
                lines[first:end] = [*made, *["#"] * (end - first - len(made))]
                changed[HEREDOCS] = None
    return "\n".join(lines), tuple(changed)


def _run(step: Instruction, shell: Sequence[str]) -> list[str]:
    flags, command = _parts(step)
    if re.fullmatch(_ALONE, command):
        script = "".join(f"{line}\n" for line in step.documents[0].content)
        words = [*_SHELL, _SCRIPT, script] if script.startswith("#!") else [*shell, script]
    else:
        documents = [line for document in step.documents for line in (*document.lines, document.name)]
        words = [*shell, "".join(f"{line}\n" for line in (command, *documents))]
    return [f"RUN {flags}{json.dumps(words, ensure_ascii=False)}"]


def _copy(step: Instruction, user: str) -> list[str]:
    """A RUN for files that are written in the Dockerfile alone; nothing where files of the context are copied beside them."""
    flags, rest = _parts(step)
    *sources, target = rest.split()
    if len(sources) != len(step.documents) or '"' in target or "'" in target:
        return []
    folder = target.endswith("/") or len(sources) > 1
    home = _word(target if folder else posixpath.dirname(target) or ".")
    script = ["set -e", f"[ -d {home} ] || mkdir -p {home}"]
    for source, document in zip(sources, step.documents, strict=True):
        place = _word(posixpath.join(target, document.name) if folder else target)
        if "'" in source or '"' in source:
            script += [f"cat <<'{document.name}' > {place}", *document.content, document.name]
        else:  # commands in it are the shell's alone
            shown = (re.sub(r"`|\$\(", r"\\\g<0>", line) for line in document.content)
            script += [f"cat <<{document.name} > {place}", *shown, document.name]
        for program in ("chown", "chmod"):
            script += [f"{program} {value} {place}" for value in re.findall(rf"--{program}=([\w:.+=-]+)", flags)[:1]]
    words = [*_SHELL, "".join(f"{line}\n" for line in script)]
    made = f"RUN {json.dumps(words, ensure_ascii=False)}"
    return ["USER 0", made, f"USER {user}"] if user else [made]


def _parts(step: Instruction) -> tuple[str, str]:
    """An instruction's flags, and the rest."""
    match = re.match(_FLAGS, step.text)
    return (match[1], step.text[match.end() :].strip()) if match else ("", "")


def _word(path: str) -> str:
    """A path for the shell; variables stay the shell's to fill in, as they were the builder's."""
    return f'"{path}"' if "$" in path else shlex.quote(path)


# Parse a Dockerfile as BuildKit does: directives, comments, continued lines, heredocs, and each character's position.
#
# Source of the rules: BuildKit's ``frontend/dockerfile/parser`` (``Parse``, ``trimContinuationCharacter``, ``heredocsFromLine``).
# All our code that reads Dockerfiles uses this parser: the planner and the rewriter of the copy must see the same.
FROM = re.compile(r"FROM\s+((?:--\S+\s+)*)(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
"""An instruction's flags, its image, and its stage's name."""

_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(.+?)\s*$", re.IGNORECASE)
_HEREDOC = r"\d*<<(-?)([^<]+)"
_MAY_HAVE_HEREDOCS = re.compile(r"(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s", re.IGNORECASE)
_WORDS = re.compile(r"(?:\s|\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[^\s'\"\\])*\\?", re.DOTALL)
_SHELL_WORD = re.compile(r"(?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|[^\s'\"\\])+", re.DOTALL)


class Heredoc(NamedTuple):
    """A heredoc of an instruction: the name that ends it, its lines, and whether tabs before them do not count (``<<-``)."""

    name: str
    lines: tuple[str, ...]
    tabs: bool

    @property
    def content(self) -> tuple[str, ...]:
        return tuple(line.lstrip("\t") for line in self.lines) if self.tabs else self.lines


@dataclass(frozen=True)
class Instruction:
    """One logical line. ``line`` is that of its first letter, from 1; ``text`` has neither continuations nor comments in it.

    ``unended`` names the heredoc that the file has no end of.
    """

    line: int
    text: str
    unended: str | None = None
    documents: tuple[Heredoc, ...] = field(default=(), repr=False)
    pieces: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Where the parts of ``text`` begin: in it, and in the file."""

    @property
    def body(self) -> str:
        """The lines of its heredocs."""
        return "\n".join(line for document in self.documents for line in document.lines)

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
    matches = (_DIRECTIVE.match(line.strip()) for line in text.split("\n"))
    first = itertools.takewhile(lambda match: match is not None, matches)
    return {number: (match[1].lower(), match[2]) for number, match in enumerate(first) if match}


@functools.lru_cache(maxsize=16)
def instructions(text: str) -> tuple[Instruction, ...]:
    """What a Dockerfile says, one after another; bodies of heredocs stand apart (``body``)."""
    return tuple(_taken_apart(text))


def _taken_apart(text: str) -> Iterator[Instruction]:
    escape = re.escape(next((value for name, value in directives(text).values() if name == "escape"), "\\"))
    continued = re.compile(rf"(?:(?<=[^{escape}])|^){escape}[ \t]*$")
    lines = _lines(text)
    for number, start, line in lines:
        if _says_nothing(line):
            continue
        indent = len(line) - len(line.lstrip())
        pieces, whole = list[tuple[int, int]](), ""
        part: str | None = line[indent:]
        start += indent
        while part is not None:
            pieces.append((len(whole), start))
            mark = continued.search(part)
            whole += part[: mark.start()] if mark else part  # without the mark that joins it to the next one
            after = (line for line in lines if not _says_nothing(line[2]))  # comments and empty lines are passed over
            _, start, part = next(after, _END) if mark else _END
        if whole.strip():
            yield _with_documents(Instruction(number, whole, pieces=tuple(pieces)), lines)


def arguments(instruction: str) -> dict[str, str | None]:
    """What an ARG declares: names, with their default or None."""
    declared = " ".join(instruction.split(None, 1)[1:])
    try:
        words = shlex.split(declared)
    except ValueError:  # an open quote: BuildKit says so
        words = declared.split()
    parts = [word.partition("=") for word in words]
    return {name: value if equals else None for name, equals, value in parts}


_Line = tuple[int, int, str]
"""A line's number, its place in the file, and its text."""
_END: tuple[int, int, None] = (0, 0, None)


def _lines(text: str) -> Iterator[_Line]:
    """Only a line feed ends a line."""
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        yield number, start, line.rstrip("\r")
        start += len(line) + 1


def _says_nothing(line: str) -> bool:
    bare = line.strip()
    return not bare or bare.startswith("#")


def _with_documents(instruction: Instruction, lines: Iterator[_Line]) -> Instruction:
    """Take the lines of its heredocs; ``unended`` where one does not end."""
    documents: list[Heredoc] = []
    unended: str | None = None
    for tabs, name in heredocs(instruction.text):
        body, unended = list[str](), name
        for _, _, line in lines:
            if (line.lstrip("\t") if tabs else line) == name:
                unended = None
                break
            body.append(line)
        documents.append(Heredoc(name, tuple(body), tabs))
        if unended:
            break
    return replace(instruction, unended=unended, documents=tuple(documents))


def heredocs(instruction: str) -> list[tuple[bool, str]]:
    """The heredocs that an instruction begins: whether tabs before the end do not count (``<<-``), and the name that ends it.

    Only a shell word of its own begins one: neither ``<<<word`` nor ``$((1<<N))``, and nothing within quotes.
    """
    if "<<" not in instruction or not _MAY_HAVE_HEREDOCS.match(instruction) or not _WORDS.fullmatch(instruction):
        return []
    matches = (re.fullmatch(_HEREDOC, word) for word in _SHELL_WORD.findall(instruction))
    named = [(bool(match[1]), shlex.split(match[2])) for match in matches if match]
    return [(tabs, names[0]) for tabs, names in named if len(names) == 1]
