"""Which program an image's entry point ends in: through PATH, the working folder, shells, wrappers and scripts.

A container's command is written in many ways: ``["/s"]``, ``["./s"]``, ``["s"]``, ``s --flag`` (run by a shell), behind an init
(``tini -- s``), or in a script that ends in ``exec s "$@"``. Nothing is run here: what cannot be told from the text is not guessed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deadweight_images.archive.model import ImageConfig
from deadweight_images.contents.filesystem import File, Filesystem

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where an engine looks for a program if the image says nothing (moby, ``DefaultPathEnvUnix``)."""

SHELLS = frozenset(("sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"))
WRAPPERS = {
    **dict.fromkeys(
        ("tini", "tini-static", "dumb-init", "catatonit", "docker-init", "env", "nice", "exec", "command"), 0
    ),
    **dict.fromkeys(("su-exec", "gosu", "uv", "poetry", "pipenv", "pdm", "setpriv", "ld.so"), 1),
}
"""Programs that only start another one, and how many words of their own (a user, ``run``) stand before it."""

_HOPS = 8
_SCRIPT_BYTES = 256 * 1024
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?[-=]([^}]*))?\}|(\w+))")
_BLOCK_ENDS = frozenset(("fi", "done", "esac", "}", ")", ";;", "else", "then", "do", "true", "wait"))


@dataclass(frozen=True)
class Started:
    """The program that runs in the end. ``called`` is the name that it was called by (``sh``, where a link leads to busybox)."""

    file: File
    called: str


@dataclass(frozen=True)
class _Call:
    """Words to run in a folder, with an environment."""

    words: tuple[str, ...]
    folder: str
    env: dict[str, str] = field(default_factory=dict)


def started(config: ImageConfig, files: Filesystem) -> Started | None:
    """The program that the image's entry point and command lead to; None where they name none, or none that is there."""
    env = dict(item.partition("=")[::2] for item in config.env)
    return _started(_Call((*config.entrypoint, *config.command), config.working_dir or "/", env), files, _HOPS)


def on_path(name: str, files: Filesystem, env: dict[str, str], folder: str = "/") -> File | None:
    """A program by the name that a process of the image would call it by."""
    if "/" in name:
        return files.file(name if name.startswith("/") else f"{folder}/{name}")
    for place in env.get("PATH", DEFAULT_PATH).split(":"):
        found = files.file(f"{place}/{name}")
        if found is not None and found.mode & 0o111:
            return found
    return None


def _started(call: _Call, files: Filesystem, hops: int) -> Started | None:
    if not call.words or hops <= 0:
        return None
    file = on_path(call.words[0], files, call.env, call.folder)
    if file is None:
        return None
    called = call.words[0].rpartition("/")[2]
    following = _after(called, call, file, files)
    if following is None:
        return Started(file, called)
    return _started(following, files, hops - 1) or Started(file, called)


def _after(called: str, call: _Call, file: File, files: Filesystem) -> _Call | None:
    """What a shell, a wrapper or a script starts in turn; None for a program that does the work itself."""
    rest = call.words[1:]
    if called in SHELLS:
        return _of_shell(call, files)
    if called in WRAPPERS:
        return replace(call, words=_without_options(rest, WRAPPERS[called]))
    head = files.start(file, 256)
    if head[:2] != b"#!":
        return None
    interpreter = head[2:].partition(b"\n")[0].decode("utf-8", "replace").split()
    if not interpreter:
        return None
    name = interpreter[0].rpartition("/")[2]
    name = interpreter[-1] if name == "env" else name
    if name in SHELLS:
        return _of_script(files.start(file, _SCRIPT_BYTES).decode("utf-8", "replace"), rest, call, files)
    return replace(call, words=tuple(interpreter))


def _of_shell(call: _Call, files: Filesystem) -> _Call | None:
    """``sh -c 'text'`` and ``sh script``."""
    rest = call.words[1:]
    for place, word in enumerate(rest):
        if word.startswith("-") and not word.startswith("--") and "c" in word:
            text = rest[place + 1 : place + 2]
            return _last_command(text[0], rest[place + 3 :], call) if text else None
        if not word.startswith("-"):
            script = on_path(word if "/" in word else f"./{word}", files, {}, call.folder)
            if script is None:
                return None
            return _of_script(
                files.start(script, _SCRIPT_BYTES).decode("utf-8", "replace"), rest[place + 1 :], call, files
            )
    return None


def _of_script(text: str, rest: Sequence[str], call: _Call, files: Filesystem) -> _Call | None:
    """A script runs the command that it was given, where that is one; else the one that it ends in."""
    if rest and on_path(rest[0], files, call.env, call.folder) is not None:
        return replace(call, words=tuple(rest))
    return _last_command(text, rest, call)


def _last_command(text: str, rest: Sequence[str], call: _Call) -> _Call | None:
    """The last simple command of a shell's text, in the folder that the text has changed to."""
    found: _Call | None = None
    folder = call.folder
    for words in _commands(text):
        if words[0] == "cd" and len(words) > 1:
            folder = words[1] if words[1].startswith("/") else f"{folder}/{words[1]}"
            continue
        given = [part for word in words for part in (rest if word in ("$@", "$*") else (_filled(word, call.env),))]
        given = given[1:] if given and given[0] in ("exec", "command") else given
        if given and given[0]:
            found = _Call(tuple(given), folder, call.env)
    return found


def _commands(text: str) -> list[list[str]]:
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
        lexer.whitespace_split = True
        try:
            tokens = list(lexer)
        except ValueError:  # a quote that goes on in the next line
            continue
        current: list[str] = []
        for token in [*tokens, ";"]:
            if token and set(token) <= set(";&|()"):
                command = _stripped(current)
                found += [command] if command else []
                current = []
            else:
                current.append(token)
    return found


def _stripped(words: list[str]) -> list[str]:
    """Without assignments before it; nothing where the words end or begin a block, and what they hold is no program."""
    while words and (_ASSIGNMENT.match(words[0]) or words[0] in ("then", "else", "do", "{", "!")):
        words = words[1:]
    return [] if not words or words[0] in _BLOCK_ENDS or words[0].endswith("()") else words


def _filled(word: str, env: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda match: env.get(match[1] or match[3], match[2] or ""), word)


def _without_options(words: Sequence[str], own: int) -> tuple[str, ...]:
    """What a wrapper starts: after its options, assignments and its ``own`` words."""
    left = list(words)
    while left and left[0] != "--" and (left[0].startswith("-") or _ASSIGNMENT.match(left[0])):
        left.pop(0)
    left = left[1:] if left and left[0] == "--" else left[own:]
    return tuple(left[1:] if left and left[0] == "--" else left)
