"""A command that prepares before it serves: ``alembic upgrade head && uvicorn …``, or a script of such lines.

Not every base has a shell, so the interpreter itself does one step after the other and becomes the last one.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from deadweight_init.stages import filled
from deadweight_init.tree import Tree, joined

_SHELLS = ("sh", "bash", "ash", "dash")
_SAYS_NOTHING = re.compile(
    r"set [-+]\w+( \w+)?|cd (?:\.|/app|/code|/src|/usr/src/app)|(?:echo|chown|chmod)\b.*|\"?\$@\"?|:"
)
_ASSIGNED = re.compile(r"(?:export +)?(\w+)=(?:\"([^\"]*)\"|'([^']*)'|(\S*))")
_BEGINS, _ENDS = re.compile(r"(?:if|while|until|for|case)\b"), re.compile(r"(?:^|[;\s])(?:fi|done|esac)(?=$|[\s;&|)])")
_FOLDERS = re.compile(r"mkdir (?:-\w+ +)*((?:[\w./-]+ *)+)")
_TOOLS = r"(?:nc|pg_isready|mysqladmin|curl|wget|redis-cli)"
_WAITS = (
    re.compile(rf"^[ \t]*(?:while|until)\b[^\n]*?\b{_TOOLS}\b.*?\bdone\b[^\n]*$", re.MULTILINE | re.DOTALL),
    re.compile(r"^[ \t]*if\b[^\n]*\n(?:[ \t]*(?:then|echo\b[^\n]*)?[ \t]*\n)*[ \t]*fi[ \t]*$", re.MULTILINE),
)
"""What only waits for a database: the suite's needs are up before the service is started."""

_TRIED_AGAIN = (
    re.compile(
        r"^[ \t]*while (?:true|:)[^\n]*\n[ \t]*(?:do\n[ \t]*)?(?P<step>[^\n]+)\n[ \t]*if \[+ *\"?\$\?\"? (?:==?|-eq) \"?0\"? *\]+"
        r"[^\n]*\n(?:[ \t]*then\n)?[ \t]*break\n.*?^[ \t]*done\b[^\n]*$",
        re.MULTILINE | re.DOTALL,
    ),
    re.compile(r"^[ \t]*until (?P<step>[^\n;|<>]+)(?:;|\n)[ \t]*do\b.*?\bdone\b[^\n]*$", re.MULTILINE | re.DOTALL),
)
"""What is done again until it works, for a database that is not up yet: here once."""

_NEEDS_A_SHELL = re.compile(r"[;|<>`()]|&(?!&)|\$")
_CODE = (
    "import os, subprocess, sys; "
    "[subprocess.run([sys.executable, *step], check={check}) for step in {first}]; "
    "os.execv(sys.executable, [sys.executable, *{last}])"
)

Words = tuple[str, ...]


def steps(
    words: Words, tree: Tree, folder: str, env: Mapping[str, str], as_python: Callable[[Words], Words]
) -> tuple[Words, ...]:
    """What a command does, one step after the other, each as arguments of the interpreter; nothing for what only a shell can do.

    ``env`` are variables of the image, ``as_python`` turns a simple command into such arguments.
    """
    found = []
    for line in _lines(_text(words, tree, folder), env):
        step = _step(line, as_python)
        if not step:
            return ()
        found.append(step)
    return tuple(found)


def understood(
    words: Words, tree: Tree, folder: str, env: Mapping[str, str], as_python: Callable[[Words], Words]
) -> tuple[tuple[Words, ...], Words, bool]:
    """Of a script that only a shell can run as a whole what it does in any case: the steps before it serves, what it serves with
    (empty where that is no program of Python's), and whether it goes on where a step fails."""
    text = _text(words, tree, folder)
    if "\n" not in text.strip():
        return (), (), False
    lines = list(_lines("\n".join(_unconditional(text)), env))
    found = [(number, step) for number, line in enumerate(lines) if (step := _step(line, as_python))]
    last = found.pop()[1] if found and found[-1][0] == len(lines) - 1 and _serves(found[-1][1]) else ()
    before = tuple(step for _, step in found if not _serves(step) or step[0].endswith(".py"))
    return before, last, re.search(r"^\s*set -\w*e|^#!.*\s-\w*e", text, re.MULTILINE) is None


def in_turn(before: Sequence[Sequence[str]], last: Words, *, check: bool = True) -> Words:
    """Arguments of the interpreter that take these steps in turn; process 1 is the last one's in the end. ``check``: a step that
    fails ends it."""
    if not before:
        return last
    return ("-c", _CODE.format(first=[list(each) for each in before], last=list(last), check=check))


def _serves(step: Words) -> bool:
    """Whether a step may be what serves; tools of databases and workers are not."""
    if step[0] == "-m":
        return step[1] not in ("alembic", "celery") and (step[1] != "flask" or "run" in step[2:])
    return step[0] != "-c" and (posixpath.basename(step[0]) != "manage.py" or step[1:2] == ("runserver",))


def _step(line: str, as_python: Callable[[Words], Words]) -> Words:
    """A line as arguments of the interpreter; empty for what is none."""
    if made := _FOLDERS.fullmatch(line):
        return ("-c", f"import os; [os.makedirs(each, exist_ok=True) for each in {made[1].split()}]")
    try:
        return () if _NEEDS_A_SHELL.search(line) else as_python(tuple(shlex.split(line)))
    except ValueError:
        return ()


def _unconditional(text: str) -> Iterator[str]:
    """The lines that are in no loop and under no condition."""
    depth = 0
    for line in text.splitlines():
        plain = line.strip()
        begins = bool(_BEGINS.match(plain))
        depth += begins
        if not depth:
            yield plain
        if begins or depth:
            depth = max(0, depth - len(_ENDS.findall(plain)))


def _text(words: Words, tree: Tree, folder: str) -> str:
    """A shell's argument, or the script of the repository that is started, as simple commands; empty for anything else."""
    while words[:1] and posixpath.basename(words[0]) in ("tini", "dumb-init", "--"):
        words = words[1:]
    if not words:
        return ""
    if posixpath.basename(words[0]) in _SHELLS and len(words) == 3 and words[1] == "-c":
        text = words[2]
    else:
        script = words[1] if posixpath.basename(words[0]) in _SHELLS and len(words) > 1 else words[0]
        text = next((tree.text(path) for path in _places(script, tree, folder) if tree.has(path)), "")
        served = words[words.index(script) + 1 :]  # what a script ends with: exec "$@"
        if served and re.search(r"^exec \"?\$@\"?\s*$", text, re.MULTILINE):
            text += "\n" + shlex.join(served)
    text = re.sub(r"\\\n\s*", " ", text)
    for pattern in _WAITS:
        text = pattern.sub("", text)
    for pattern in _TRIED_AGAIN:
        text = pattern.sub(lambda found: found["step"], text)
    return text


def _lines(text: str, env: Mapping[str, str]) -> Iterator[str]:
    """The simple commands of a script, with the variables that are known put in."""
    values = dict(env)
    for line in (each for each in text.splitlines() if not each.lstrip().startswith("#")):
        for part in re.split(r"&&", line):
            plain = filled(part.strip().removeprefix("exec ").strip(), values)
            if said := _ASSIGNED.fullmatch(plain):
                values[said[1]] = said[2] or said[3] or said[4] or ""
            elif plain and not _SAYS_NOTHING.fullmatch(plain):
                yield plain


def _places(script: str, tree: Tree, folder: str) -> list[str]:
    """Where a script of the image may lie in the repository: below each folder that it is said to be in, else the only one of its
    name."""
    parts = posixpath.normpath(script.lstrip("/")).split("/")
    likely = ["/".join(parts[at:]) for at in range(len(parts))]
    named = list(tree.below(folder, f"/{parts[-1]}"))
    likely += [f"scripts/{parts[-1]}", f"docker/{parts[-1]}"]
    return [*(joined(folder, each) for each in likely), *(named if len(named) == 1 else [])]
