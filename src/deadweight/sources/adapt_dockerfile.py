"""Rewrite a copy of a Dockerfile with plain FROM lines for another source. The user's file is never changed.

FROM, ``COPY --from`` and ``RUN --mount=…,from=`` name images; each public name is replaced by its local equivalent. A
``# syntax=`` line would make BuildKit fetch a frontend from a public registry. An empty comment takes its place
after the other directives, so that those still come first and line numbers in errors stay correct.
"""

from __future__ import annotations

import functools
import itertools
import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

_COPY_FROM = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=([^\s$]+)", re.IGNORECASE)
_RUN = re.compile(r"RUN\s+", re.IGNORECASE)
_RUN_FLAGS = re.compile(r"RUN\s+(?:--\S+\s+)+", re.IGNORECASE)
_MOUNT_FROM = re.compile(r"--mount=\S*?\bfrom=([^\s,$]+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Use:
    """One place that names an image: the span of the name in the instruction, and the public reference meant."""

    instruction: Instruction
    start: int
    end: int
    reference: str

    def replaced(self, text: str, name: str) -> str:
        """The file with another name here. Where the old one goes on over lines, what joins them now stands before the new."""
        ends = [place + 1 for place in map(self.instruction.place, range(self.start, self.end))]
        joints = "".join(text[end : after - 1] for end, after in itertools.pairwise(ends))
        return text[: ends[0] - 1] + joints + name + text[ends[-1] :]


def places(text: str, given: Mapping[str, str] | None = None) -> dict[str, int]:
    """Public references that a Dockerfile stands on, each with the line that first names it, from 1; ``given`` are build arguments
    that will be given. Stages, ``scratch`` and names with an argument that has no value are not among them."""
    found: dict[str, int] = {}
    for use in _uses(text, given or {}):
        found.setdefault(use.reference, use.instruction.line)
    return found


@dataclass(frozen=True)
class Run:
    """A RUN. ``stage`` is its stage's number, from 0; ``base`` the image that it stands on, empty where that is not known.

    ``plain``: words for the shell stand on its line, so that more can stand before them.
    """

    stage: int
    base: str
    command: str
    line: int = 0
    plain: bool = True


@dataclass(frozen=True)
class Added:
    """What a RUN's line gets: ``flags`` before its own, ``before`` in front of its command."""

    flags: Sequence[str] = ()
    before: str = ""


Addition = Callable[[Run], Added]


def derived(
    text: str,
    resolve: Callable[[str], str],
    given: Mapping[str, str] | None = None,
    add: Addition = lambda _run: Added(),
) -> str:
    """The same Dockerfile with every image's name replaced by ``resolve(reference)``, and what ``add`` says in its RUN lines.

    Line by line: numbers stay true.
    """
    edits: list[tuple[int, Use | None, str]] = [
        (use.instruction.place(use.start), use, "") for use in _uses(text, given or {})
    ]
    edits += [(place, None, words) for place, words in _words(text, given or {}, add)]
    for place, use, words in sorted(
        edits, key=lambda edit: edit[0], reverse=True
    ):  # so that the places before stay true
        text = use.replaced(text, resolve(use.reference)) if use else f"{text[:place]}{words}{text[place:]}"
    first = directives(text)
    lines = text.split("\n")
    kept = [lines[number] for number, (name, _) in first.items() if name != "syntax"]
    return "\n".join([*kept, *["#"] * (len(first) - len(kept)), *lines[len(first) :]])


def _words(text: str, given: Mapping[str, str], add: Addition) -> Iterator[tuple[int, str]]:
    """What to write into RUN lines, and where: before the first word after RUN, and before the command."""
    for run, each in runs(text, given):
        added = add(run)
        start, flags = _RUN.match(each.text), _RUN_FLAGS.match(each.text)
        if start is None:
            continue
        command = (flags or start).end()
        if added.before and flags:
            yield each.place(command), added.before
        words = "".join(f"{flag} " for flag in added.flags) + ("" if flags else added.before)
        if words:
            yield each.place(start.end()), words


def runs(text: str, given: Mapping[str, str] | None = None) -> Iterator[tuple[Run, Instruction]]:
    """Each RUN of a Dockerfile, with what it stands on."""
    bases, base, values, stage, shell = dict[str, str](), "", dict[str, str](), -1, True
    for step in instructions(text):
        first = FROM.match(step.text)
        if step.word == "ARG" and stage < 0:
            _learn(step.text, values, given or {})
        elif first:
            stage, shell = stage + 1, True
            name = _expanded(first[2], values) or ""
            base = bases.get(name.lower(), "" if name == "scratch" else name)
            if first[3]:
                bases[first[3].lower()] = base
        elif step.word == "SHELL":
            shell = re.search(r"\b(?:ba|da|a)?sh\b", step.text.lower().removeprefix("shell")) is not None
        elif step.word == "RUN":
            command = _RUN_FLAGS.sub("", step.text) if _RUN_FLAGS.match(step.text) else _RUN.sub("", step.text)
            plain = shell and not command.startswith("[") and not heredocs(step.text)
            yield Run(stage, base, f"{step.text}\n{step.body}", step.line, plain), step


def _uses(text: str, given: Mapping[str, str]) -> Iterator[Use]:
    stages, values, before_from = set[str](), dict[str, str](), True
    for step in instructions(text):
        if step.word == "ARG" and before_from:
            _learn(step.text, values, given)
        stage = FROM.match(step.text)
        if stage:
            before_from = False
            yield from _use(step, stage.span(2), _expanded(stage[2], values), stages)
            if stage[3]:
                stages.add(stage[3].lower())
        for match in _named_in(step.text):
            if not match[1].isdigit():
                yield from _use(step, match.span(1), match[1], stages)


def _named_in(instruction: str) -> Iterator[re.Match[str]]:
    """Images beside FROM. Those of mounts stand among RUN's flags, and not in its command."""
    copied, flags = _COPY_FROM.match(instruction), _RUN_FLAGS.match(instruction)
    if copied:
        yield copied
    if flags:
        yield from _MOUNT_FROM.finditer(instruction, 0, flags.end())


def _use(instruction: Instruction, span: tuple[int, int], name: str | None, stages: set[str]) -> Iterator[Use]:
    if name and name.lower() not in stages and name != "scratch":
        yield Use(instruction, *span, name)


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
        found = values.get(name, "")
        if mark.endswith("+"):
            return other if found else ""
        if not found and mark.endswith("-"):
            return other
        unknown = unknown or name not in values  # an empty one is known: ARG ARCH= before ${ARCH}node
        return found

    expanded = _VARIABLE.sub(value, word.strip("\"'"))
    return None if unknown or not expanded else expanded


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
_FLAGS = re.compile(r"\w+\s+((?:--\S+\s+)*)")
_ALONE = re.compile(r"\d*<<-?\s*([\"']?)[\w.-]+\1\s*")
_SCRIPT = 'f=$(mktemp) && printf %s "$0" > "$f" && chmod +x "$f" && { "$f"; s=$?; rm -f "$f"; exit $s; }'
_LINK = re.compile(r"[ \t]--link(?:=\w+)?(?=\s)")
_INTERVAL = re.compile(r"[ \t]--start-interval=\S+")


@dataclass
class _Stage:
    """What an instruction is carried out with: the stage's shell, and its user, empty for root."""

    shell: Sequence[str] = _SHELL
    user: str = ""


def lacking(version: tuple[int, ...]) -> frozenset[str]:
    """What an engine of this version does not know."""
    return frozenset(name for name, since in SINCE.items() if version[:2] < since)


def downgraded(text: str, unknown: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """The Dockerfile without what is unknown, as far as that can be said otherwise, and what was said otherwise."""
    if not unknown or not ("<<" in text or "--link" in text or "--start-interval" in text):
        return text, ()
    lines, stage, said = text.split("\n"), _Stage(), dict[str, None]()
    for step in instructions(text):
        first = step.line - 1
        head = text[step.place(0) : step.place(len(step.text) - 1)].count("\n") + 1
        if FROM.match(step.text):
            stage = _Stage()
        elif step.word == "SHELL":
            stage.shell = _array(step.text.partition(" ")[2]) or _SHELL
        elif step.word == "USER":
            stage.user = "" if step.text.split()[-1] in ("0", "root", "0:0", "root:root") else step.text.split()[-1]
        elif step.word in ("COPY", "ADD") and LINK in unknown and _without(lines, first, head, _LINK):
            said[LINK] = None
        elif step.word == "HEALTHCHECK" and START_INTERVAL in unknown and _without(lines, first, head, _INTERVAL):
            said[START_INTERVAL] = None
        if HEREDOCS in unknown and step.word in ("RUN", "COPY", "ADD") and heredocs(step.text) and step.unended is None:
            bodies = _bodies(step, lines[first + head :])
            whole = head + sum(len(body) + 1 for body in bodies)
            made = _run(step, bodies, stage) if step.word == "RUN" else _copy(step, bodies, stage)
            if made and len(made) <= whole:
                lines[first : first + whole] = [*made, *["#"] * (whole - len(made))]
                said[HEREDOCS] = None
    return "\n".join(lines), tuple(said)


def _without(lines: list[str], first: int, count: int, flag: re.Pattern[str]) -> bool:
    """Take a flag out of an instruction's lines. Whether it was there."""
    for number in range(first, first + count):
        shorter = flag.sub("", f"{lines[number]}\n", count=1)[:-1]
        if shorter != lines[number]:
            lines[number] = shorter
            return True
    return False


def _bodies(each: Instruction, rest: list[str]) -> list[list[str]]:
    """The lines of each heredoc."""
    found, at = [], 0
    for tabs, name in heredocs(each.text):
        end = next(n for n in range(at, len(rest)) if (rest[n].lstrip("\t") if tabs else rest[n]).rstrip("\r") == name)
        found.append([line.rstrip("\r") for line in rest[at:end]])
        at = end + 1
    return found


def _parts(each: Instruction) -> tuple[str, str]:
    """An instruction's flags, and the rest."""
    match = _FLAGS.match(each.text)
    return (match[1], each.text[match.end() :].strip()) if match else ("", "")


def _run(each: Instruction, bodies: list[list[str]], stage: _Stage) -> list[str]:
    flags, command = _parts(each)
    marks = heredocs(each.text)
    if _ALONE.fullmatch(command):
        body = [line.lstrip("\t") for line in bodies[0]] if marks[0][0] else bodies[0]
        script = "".join(f"{line}\n" for line in body)
        words = [*_SHELL, _SCRIPT, script] if script.startswith("#!") else [*stage.shell, script]
    else:
        documents = "".join(
            "".join(f"{line}\n" for line in body) + f"{name}\n" for body, (_, name) in zip(bodies, marks, strict=True)
        )
        words = [*stage.shell, f"{command}\n{documents}"]
    return [f"RUN {flags}{json.dumps(words, ensure_ascii=False)}"]


def _copy(each: Instruction, bodies: list[list[str]], stage: _Stage) -> list[str]:
    """A RUN for files that are written in the Dockerfile alone; nothing where files of the context are copied beside them."""
    flags, rest = _parts(each)
    *sources, target = rest.split()
    marks = heredocs(each.text)
    if len(sources) != len(marks) or '"' in target or "'" in target:
        return []
    folder = target.endswith("/") or len(sources) > 1
    home = _word(target if folder else posixpath.dirname(target) or ".")
    steps = [f"[ -d {home} ] || mkdir -p {home}"]
    for source, body, (tabs, name) in zip(sources, bodies, marks, strict=True):
        place = _word(posixpath.join(target, name) if folder else target)
        lines = [line.lstrip("\t") for line in body] if tabs else body
        literal = "'" in source or '"' in source
        shown = (
            lines if literal else [re.sub(r"`|\$\(", r"\\\g<0>", line) for line in lines]
        )  # these are the shell's alone
        mark = f"'{name}'" if literal else name
        steps += [f"cat <<{mark} > {place}", *shown, name]
        steps += [f"{program} {value[1]} {place}" for program in ("chown", "chmod") if (value := _flag(flags, program))]
    script = "set -e\n" + "".join(f"{step}\n" for step in steps)
    made = [f"RUN {json.dumps([*_SHELL, script], ensure_ascii=False)}"]
    return ["USER 0", *made, f"USER {stage.user}"] if stage.user else made


def _flag(flags: str, name: str) -> re.Match[str] | None:
    return re.search(rf"--{name}=([\w:.+=-]+)", flags)


def _word(path: str) -> str:
    """A path for the shell; variables stay the shell's to fill in, as they were the builder's."""
    return f'"{path}"' if "$" in path else shlex.quote(path)


def _array(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [str(each) for each in found] if isinstance(found, list) else []


# Parse a Dockerfile as BuildKit does: directives, comments, continued lines, heredocs, and each character's position.
#
# Source of the rules: BuildKit's ``frontend/dockerfile/parser`` (``Parse``, ``trimContinuationCharacter``, ``heredocsFromLine``).
# All our code that reads Dockerfiles uses this parser: the planner and the rewriter of the copy must see the same.
#
# No package does this: dockerfile-parse (2.0) takes the lines of a heredoc for instructions, and dockerfile (3.4, BuildKit's own
# parser) gives an instruction's lines, but not each character's position, which a copy that changes one name needs.
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
        for part in _line_parts(first, lines, continued):
            pieces.append((len(whole), part.start))
            whole += part.text
        if whole.strip():
            unended, body = _pass_bodies(whole, lines)
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


def _line_parts(first: _Line, lines: Iterator[_Line], continued: re.Pattern[str]) -> Iterator[_Line]:
    """The lines of one instruction without the marks that join them; comments and empty lines between them are passed over."""
    indent = len(first.text) - len(first.text.lstrip())
    line: _Line | None = replace(first, start=first.start + indent, text=first.text[indent:])
    while line is not None:
        mark = continued.search(line.text)
        yield replace(line, text=line.text[: mark.start()]) if mark else line
        line = next((each for each in lines if not _says_nothing(each.text)), None) if mark else None


def _pass_bodies(instruction: str, lines: Iterator[_Line]) -> tuple[str | None, str]:
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
