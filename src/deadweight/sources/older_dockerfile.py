"""A Dockerfile said in words that an older BuildKit knows, in the copy that is built: the user's file is never touched.

Engines before 23 know neither heredocs nor ``COPY --link``, those before 25 no ``HEALTHCHECK --start-interval`` (docs.docker.com,
"Dockerfile release notes" 1.4 and "Engine 25.0"). A ``# syntax=`` line would bring a newer frontend, but from a public registry.
A ``RUN`` with a heredoc becomes its shell with the same script as an argument, which is what BuildKit makes of it; a ``COPY`` of
one becomes a ``RUN`` that writes the file. Numbers of lines stay true.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from deadweight.sources.dockerfile_lines import FROM, Instruction, heredocs, instructions

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
    for each in instructions(text):
        first = each.line - 1
        head = text[each.place(0) : each.place(len(each.text) - 1)].count("\n") + 1
        if FROM.match(each.text):
            stage = _Stage()
        elif each.word == "SHELL":
            stage.shell = _array(each.text.partition(" ")[2]) or _SHELL
        elif each.word == "USER":
            stage.user = "" if each.text.split()[-1] in ("0", "root", "0:0", "root:root") else each.text.split()[-1]
        elif each.word in ("COPY", "ADD") and LINK in unknown and _without(lines, first, head, _LINK):
            said[LINK] = None
        elif each.word == "HEALTHCHECK" and START_INTERVAL in unknown and _without(lines, first, head, _INTERVAL):
            said[START_INTERVAL] = None
        if HEREDOCS in unknown and each.word in ("RUN", "COPY", "ADD") and heredocs(each.text) and each.unended is None:
            bodies = _bodies(each, lines[first + head :])
            whole = head + sum(len(body) + 1 for body in bodies)
            made = _run(each, bodies, stage) if each.word == "RUN" else _copy(each, bodies, stage)
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
