"""A program that ends because it wants a flag: the parser of its flags says which, and its name says what it is for."""

from __future__ import annotations

import re
from dataclasses import replace

from deadweight_init.databases import kind_of, libraries_of, need_of
from deadweight_init.draft import Draft, run_of
from deadweight_init.lacking import value_for
from deadweight_init.languages.common import sequence
from deadweight_init.records import SEEN, Beside, Known
from deadweight_init.tree import Tree
from deadweight_init.values import MADE_UP

_NOT_THERE = r"(?:is required|is missing|(?:must be |is not |not )(?:set|specified|provided|given))"
_SAYS = tuple(
    re.compile(pattern)
    for pattern in (
        (
            r"(?i)required flags?(?:\(s\))?:? (?P<all>(?:[\"'`]?-{0,2}[\w.-]+[\"'`]?(?:, | and )?)+)"
            r" (?:is |are |was |were )?not (?:set|provided|specified)"
        ),
        r"(?i)the following required arguments were not provided:(?P<all>(?:\s*\|?\s*--[\w-]+ <[^>]*>)+)",
        r"(?i)(?:missing|no) required (?:flag|option|argument)s?:? (?P<all>[\"'`]?--?[\w.-]+)",
        rf"(?i)(?:flag|option|argument) (?P<all>[\"'`]?--?[\w.-]+[\"'`]?) {_NOT_THERE}",
        rf"(?i)(?P<all>--[\w.-]+) (?:flag )?{_NOT_THERE}",
        rf"(?i)(?P<all>[\"'`]-{{0,2}}[\w.-]+[\"'`]) (?:flag|option|argument)(?:/\w+)? {_NOT_THERE}",
    )
)
"""kingpin, cobra, urfave/cli, go-flags and clap, and what programs say by themselves."""

_FLAG = re.compile(r"-{0,2}([A-Za-z](?:[\w.-]*\w)?)(?: <[^>]*>)?")
_FILE = re.compile(r"(?i)config|file|cert|pem")
"""Flags that want a file of which nothing is known."""
_WORDS = frozenset(("and", "or", "flag", "flags", "option"))


def required(died: str) -> list[str]:
    """The names of the flags that a program wants, without their dashes."""
    found = (each["all"] for pattern in _SAYS for each in pattern.finditer(died))
    return list(dict.fromkeys(each[1] for said in found for each in _FLAG.finditer(said) if each[1] not in _WORDS))


def with_required_flags(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Go or Rust program with the flags that it wants, and the database to which one leads. None for another reason,
    and where it has them already."""
    project, before = draft.service.project, draft.run.get("args")
    names = [each for each in required(died) if before is None or f"--{each}=" not in before.value]
    if project is None or project.language not in ("go", "rust") or not names or _FILE.search(" ".join(names)):
        return None
    libraries = libraries_of(tree, draft.service)
    there = {kind: each.value for each in draft.service.around.needs if (kind := kind_of(each.value.image))}
    needs: dict[str, Beside] = {}
    given = []
    for name in names:
        variable = re.sub(r"\W", "_", name).upper()
        kind, value = value_for(variable, libraries, there, project.language)
        if kind and kind not in there:
            needs[kind] = need_of(kind)
        given.append(f"--{name}={value or _usual(name, draft.port.value)}")
    service = draft.service
    origin = f"{SEEN}: it does not come up without {', '.join(f'--{name}' for name in names)}"
    more = tuple(Known(each, origin) for each in needs.values())
    images = tuple(
        replace(each, args=(*(each.args or each.words.command), *given), args_origin=origin)
        if each.words.command or each.args
        else each
        for each in service.dockerfiles
    )
    around = replace(service.around, needs=(*service.around.needs, *more))
    changed = replace(service, around=around, dockerfiles=images)
    words = f"{before.value[:-1]}, {sequence(given)[1:]}" if before else sequence(given)
    run = {**draft.run, **run_of(changed, draft.port), "args": Known(words, origin)}
    return replace(draft, service=changed, run=run)


_USUAL = (
    (r"port$", "{port}"),
    (r"(?:listen|bind)|^addr(?:ess)?$", "0.0.0.0:{port}"),
    (r"(?:url|uri|endpoint|target|upstream|backend|origin|issuer)s?$", "http://localhost:9"),
    (r"(?:host|domain|hostname|server|address|addr)s?$", "localhost"),
    (r"(?:dir|directory|folder|root|path)$", "/tmp"),  # noqa: S108 - in the container
    (r"(?:count|size|limit|timeout|seconds|number|replicas|workers|interval)$", "1"),
    (r"e?mail$", "someone@example.org"),
)


def _usual(name: str, port: int) -> str:
    """A value that a flag of this name takes; what is none of these may be a secret."""
    plain = name.lower()
    return next((value.format(port=port) for pattern, value in _USUAL if re.search(pattern, plain)), MADE_UP)
