"""A Go or Rust program that listens on loopback unless a flag of its own says otherwise: ``--host 127.0.0.1`` by default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.languages.common import sequence
from deadweight_init.languages.python_code import EVERYWHERE
from deadweight_init.languages.sources import TESTS
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.records import SEEN, Known
from deadweight_init.tree import Tree, aside, line_of

_LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[::1\])"
_VALUE = rf"\"{_LOOPBACK}(?P<rest>:\d+)?\""
_GO = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        rf"\bString(?:Var)?P?\(\s*(?:&[\w.]+,\s*)?\"(?P<name>[\w.-]+)\",\s*(?:\"\w?\",\s*)?{_VALUE}",
        rf"\.Flag\(\s*\"(?P<name>[\w.-]+)\",[^)]*\)(?:\s*\.\w+\([^()]*\))*?\s*\.Default\({_VALUE}\)",
        rf"Name:\s*\"(?P<name>[\w.-]+)\",(?:(?!Name:)[^}}]){{0,400}}?Value:\s*{_VALUE}",
        rf"long:\"(?P<name>[\w.-]+)\"[^`\n]*?default:{_VALUE}",
        rf"default:{_VALUE}[^`\n]*?long:\"(?P<name>[\w.-]+)\"",
    )
)
"""How code declares a flag with such a default: flag and pflag, kingpin, urfave/cli, go-flags."""

_RUST = re.compile(
    rf"#\[(?:arg|clap|structopt)\((?P<said>(?:[^()\]]|\([^()]*\))*?default_value(?:_t)?\s*=\s*(?:\w+::\w+\(|)?{_VALUE}"
    r"(?:[^()\]]|\([^()]*\))*)\)?\)\]\s*(?:///[^\n]*\s*)*(?:pub(?:\([^)]*\))?\s+)?(?P<field>\w+)\s*:",
    re.DOTALL,
)
"""A field of clap's or structopt's."""


def with_open_flag(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft whose program is given the flag by which it listens everywhere. None for another reason, where its code has no
    such flag, and for the same again."""
    project = draft.service.project
    if project is None or project.language not in ("go", "rust") or ONLY_LOOPBACK not in died:
        return None
    flag = next(_flags(tree, project.folder, f".{'go' if project.language == 'go' else 'rs'}"), None)
    before = draft.run.get("args")
    if flag is None or (before and EVERYWHERE in before.value):
        return None
    origin = f"{SEEN}: else it listens on loopback alone ({flag.origin})"
    images = tuple(
        replace(each, args=(*(each.args or each.words.command), flag.value), args_origin=origin)
        if each.words.command or each.args
        else each
        for each in draft.service.dockerfiles
    )
    args = before.value[:-1] + f", {sequence([flag.value])[1:]}" if before else sequence([flag.value])
    run = {**draft.run, "args": Known(args, origin)}
    return replace(draft, service=replace(draft.service, dockerfiles=images), run=run)


_FIXED = re.compile(rf"[\"`]{_LOOPBACK}(?::[^\"`\n]*)?[\"`]|127, ?0, ?0, ?1\b|Ipv4Addr::LOCALHOST")
_LISTENS = re.compile(r"(?i)listen|bind|serve|socket|addr|host|run\(|start\(")
_CODE = {"go": (".go",), "rust": (".rs",), "java": (".java", ".kt")}


def with_place(draft: Draft, died: str, tree: Tree) -> str:
    """What a service died of, with the place in its code where the address of loopback is fixed, if that is what it died of."""
    project = draft.service.project
    if project is None or ONLY_LOOPBACK not in died:
        return died
    for path in sorted(
        tree.below(project.folder, *_CODE.get(project.language, ())), key=lambda path: (path.count("/"), path)
    ):
        text = tree.text(path)
        for found in _FIXED.finditer(text) if not (aside(path) or TESTS.search(path)) else ():
            line = text[text.rfind("\n", 0, found.start()) + 1 : text.find("\n", found.end())]
            if _LISTENS.search(line):
                return f"{died} (that address is in {path}:{line_of(text, found.start())})"
    return died


def _flags(tree: Tree, folder: str, ending: str) -> Iterator[Known[str]]:
    """Its flags with a loopback default, as arguments that say otherwise, each with where it is declared."""
    for path in sorted(tree.below(folder, ending), key=lambda path: (path.count("/"), path)):
        if aside(path) or path.endswith("_test.go"):
            continue
        text = tree.text(path)
        for found in (each for pattern in (_GO if ending == ".go" else (_RUST,)) for each in pattern.finditer(text)):
            name = found["name"] if ending == ".go" else _long(found["said"], found["field"])
            if name:
                value = f"--{name}={EVERYWHERE}{found['rest'] or ''}"
                yield Known(value, f"{path}:{line_of(text, found.start())}")


def _long(said: str, field: str) -> str:
    """The long name of a flag; empty for one that has none."""
    named = re.search(r"\blong\s*(?:=\s*\"([\w-]+)\")?(?=[\s,)]|$)", said)
    return (named[1] or field.replace("_", "-")) if named else ""
