"""What the own image gives a compiled program when it starts it: its arguments, and the folder that it starts in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

from deadweight_init.languages.common import home_of, is_owned
from deadweight_init.records import ImageWords, Project, unwrapped

_WAITS = re.compile(r"wait[-_]?(?:for)?(?:[-_]?it)?(?:\.sh)?|dockerize|wait4x|wait4ports")
"""Programs that wait for another container, and then start what stands after ``--``."""

_SUPERVISES = re.compile(
    r"s6-svscan|supervisord|runsvdir|runit(?:-init)?|init|circusd|multirun|start-stop-daemon|make|air|reflex|dlv|watchexec"
    r"|CompileDaemon|compiledaemon|nodemon|gow|wgo|modd|realize|fresh|refresh|bee|entr|bacon|cargo-watch|systemfd"
)
"""Programs that start others, by words of their own."""

Words = tuple[str, ...]


def program(words: Words, names: Collection[str] = ()) -> Words:
    """The program and its arguments, without what waits for others, or prepares, before it starts it. ``names`` are those that the
    program may go by."""
    while words:
        name = posixpath.basename(words[0])
        if _WAITS.fullmatch(name) and "--" in words:
            words = unwrapped(words[words.index("--") + 1 :])
        elif (
            name.endswith(".sh") and words[1:] and (posixpath.isabs(words[1]) or posixpath.basename(words[1]) in names)
        ):
            words = words[1:]
        else:
            break
    return words


def arguments(words: Words, names: Collection[str] = ()) -> Words:
    """Its arguments alone: of ``go run main.go serve`` what comes after the package, of ``cargo run -- serve`` what comes after
    the dashes."""
    words = program(words, names)
    if words and _SUPERVISES.fullmatch(posixpath.basename(words[0])) and posixpath.basename(words[0]) not in names:
        return ()
    if words[:1] == ("cargo",):
        return words[words.index("--") + 1 :] if "--" in words and words[1] == "run" else ()
    if words[:2] != ("go", "run"):
        return words[1:]
    rest = words[2:]
    while rest and rest[0].startswith("-"):
        rest = rest[1:]
    if rest and not rest[0].endswith(".go"):
        return rest[1:]
    while rest and rest[0].endswith(".go"):
        rest = rest[1:]
    return rest


def home(project: Project, own: ImageWords, *, kept: bool, filled: bool) -> str:
    """The folder that it starts in. ``kept``: files lie where its own image has them; where that starts it in the root, it may
    know them by their paths from there. ``filled``: files lie beside it."""
    if kept and own.workdir == "/" and not is_owned(project):
        return "/"
    return home_of(project, "/" if "$" in own.workdir else own.workdir, filled=filled)
