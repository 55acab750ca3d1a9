"""A program with several commands, of which one serves: started without a word, it tells how it is used and ends."""

from __future__ import annotations

import re
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.languages.started import arguments
from deadweight_init.older import GIVEN_COMMAND, WANTS_ARGUMENTS
from deadweight_init.records import Known
from deadweight_init.tree import Tree, aside

SERVING = ("serve", "server", "start", "web", "http", "api", "daemon", "listen", "run")
"""How the command that serves is called, the likeliest first."""

_NAMES = "|".join(SERVING)
_SAID = {
    ".go": rf"\bUse:\s*\"({_NAMES})[ \"]|\bName:\s*\"({_NAMES})\"|\.Command\(\"({_NAMES})\"",
    ".rs": rf"(?:Command::new|with_name)\(\"({_NAMES})\"\)",
    ".py": rf"\.add_parser\(\s*[\"']({_NAMES})[\"']|\.command\([^)\n]*\)\s*(?:async )?def ({_NAMES})\(",
}
"""How code declares a command: cobra, urfave/cli and kingpin, clap, argparse and click."""

_DERIVED = re.compile(rf"^\s+({'|'.join(each.capitalize() for each in SERVING)})\b\s*(?:[,({{]|$)", re.MULTILINE)
"""A variant of clap's enum of subcommands."""

ENDS = "it ended at once with exit code 0, and has a command that serves"


def serving_command(draft: Draft, tree: Tree) -> str:
    """The command of its code that serves; empty without one, and where something says already how it is started."""
    project = draft.service.project
    names = (project.details.get("binary", ""),) if project else ()
    told = any(arguments(each.words.program, names) or each.args for each in draft.service.dockerfiles)
    if project is None or told or "args" in draft.run:
        return ""
    found: set[str] = set()
    for ending, pattern in _SAID.items():
        for path in tree.below(project.folder, ending):
            if aside(path) or path.endswith("_test.go"):
                continue
            text = tree.text(path)
            found |= {next(filter(None, each.groups())) for each in re.finditer(pattern, text)}
            if ending == ".rs" and "Subcommand" in text:
                found |= {each[1].lower() for each in _DERIVED.finditer(text)}
    return next((each for each in SERVING if each in found), "")


def with_serving_command(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a program that wants a command: it is given the one that serves. None for one that ended for another reason,
    that has no such command, or that was given one."""
    command = serving_command(draft, tree) if WANTS_ARGUMENTS.search(died) or ENDS in died else ""
    if not command:
        return None
    images = tuple(
        replace(each, args=(*each.words.command, command), args_origin=GIVEN_COMMAND)
        if not each.words.entrypoint and each.words.command
        else each
        for each in draft.service.dockerfiles
    )
    run = {**draft.run, "args": Known(f"[{command}]", GIVEN_COMMAND)}
    return replace(draft, service=replace(draft.service, dockerfiles=images), run=run)
