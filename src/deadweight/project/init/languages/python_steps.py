"""A command that prepares before it serves: ``alembic upgrade head && uvicorn …``, or a script of such lines.

Not every base has a shell, so the interpreter itself does one step after the other and becomes the last one.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Sequence

from deadweight.project.init.tree import Tree, joined

_SHELLS = ("sh", "bash", "ash", "dash")
_SAYS_NOTHING = re.compile(
    r"set [-+]\w+( \w+)?|cd (?:\.|/app|/code|/src|/usr/src/app)|echo\b.*|\"?\$@\"?|export \w+=\S*|:"
)
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
    "[subprocess.run([sys.executable, *step], check=True) for step in {first}]; "
    "os.execv(sys.executable, [sys.executable, *{last}])"
)

Words = tuple[str, ...]


def steps(words: Words, tree: Tree, folder: str, port: str, as_python: Callable[[Words], Words]) -> tuple[Words, ...]:
    """What a command does, one step after the other, each as arguments of the interpreter; nothing for what only a shell can do.

    ``port`` is what the variable PORT stands for, ``as_python`` turns a simple command into such arguments.
    """
    found = []
    for line in _lines(words, tree, folder, port):
        try:
            step = () if _NEEDS_A_SHELL.search(line) else as_python(tuple(shlex.split(line)))
        except ValueError:
            step = ()
        if not step:
            return ()
        found.append(step)
    return tuple(found)


def in_turn(before: Sequence[Sequence[str]], last: Words) -> Words:
    """Arguments of the interpreter that take these steps in turn; process 1 is the last one's in the end."""
    return ("-c", _CODE.format(first=[list(each) for each in before], last=list(last))) if before else last


def _lines(words: Words, tree: Tree, folder: str, port: str) -> list[str]:
    """The simple commands of a shell's argument or of a script of the repository; empty for anything else."""
    while words[:1] and posixpath.basename(words[0]) in ("tini", "dumb-init", "--"):
        words = words[1:]
    if not words:
        return []
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
    text = re.sub(r"\$PORT\b|\$\{PORT\}", port, text) if port else text
    text = re.sub(r"\$\{(\w+):-([\w./:-]*)\}", r"\2", text)
    simple = [each.strip() for line in text.splitlines() if not line.startswith("#!") for each in re.split(r"&&", line)]
    plain = [each.removeprefix("exec ").strip() for each in simple if not each.startswith("#")]
    return [each for each in plain if each and not _SAYS_NOTHING.fullmatch(each)]


def _places(script: str, tree: Tree, folder: str) -> list[str]:
    """Where a script of the image may lie in the repository: below each folder that it is said to be in, else the only one of its
    name."""
    parts = posixpath.normpath(script.lstrip("/")).split("/")
    likely = ["/".join(parts[at:]) for at in range(len(parts))]
    named = list(tree.below(folder, f"/{parts[-1]}"))
    likely += [f"scripts/{parts[-1]}", f"docker/{parts[-1]}"]
    return [*(joined(folder, each) for each in likely), *(named if len(named) == 1 else [])]
