"""Variables for want of which a service ends, and of which nobody says a value: one is made up, by what the name says that it is.

It is a last resort: a service that comes up with a value that leads nowhere shows more than one that does not come up. The
suite names each, so that a real one can take its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from deadweight_init.configured import settings_of
from deadweight_init.draft import Draft, run_of
from deadweight_init.lacking import variable_it_wants
from deadweight_init.records import SEEN, Known
from deadweight_init.tree import Tree, aside
from deadweight_init.values import MADE_UP
from deadweight_init.variables import read

MOST = 12
"""So many are made up; a service that wants more wants a file of settings."""

_ORIGIN = "the value is made up"
_VALUES = (
    (r"(?:^|_)PORT$", "1"),
    (r"(?:^|_)(?:URL|URI|ENDPOINT|ORIGIN|WEBHOOK)S?$", "http://localhost"),
    (r"(?:^|_)(?:HOST|HOSTS|HOSTNAME|DOMAIN|SERVER|SERVER_NAME|ADDR|ADDRESS)$", "localhost"),
    (r"(?:^|_)(?:E?MAIL|SENDER|EMAIL_FROM|MAIL_FROM|FROM_EMAIL)$", "nobody@example.com"),
    (r"(?:^|_)(?:DIR|DIRECTORY|FOLDER|PATH)$", "/tmp"),  # noqa: S108
    (r"(?:SECRET|KEY|TOKEN|SALT|PASS(?:WORD)?)(?:_|$)", MADE_UP),
)
"""By what a name ends in; of any other ``1``, which is a text, a number and a yes."""

_DEMANDS = re.compile(r"environ\[\s*[\"']([A-Z][A-Z0-9_]+)[\"']\s*\](?!\s*=)")
"""How Python code ends where a variable is missing: what it demands beside the one that it named is given with that."""


def with_what_it_demands(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with a value for the variable that its last words name, and those that its code demands in the same way. None
    where they name none, for one that is given, and where many were made up already."""
    service = draft.service
    named = variable_it_wants(died)
    if named is None:
        return None
    name = _variable(named)
    env = service.around.env
    known = [each for each, *_ in read(tree, service)]
    if "ield required" in died:  # a class of settings names its field, without what stands before it in the environment
        name = next((each for each in known if each == name or each.endswith(f"_{name}")), name)
    if name in env or ("KeyError" in died and name not in known):  # a key of something else
        return None
    alike = _demanded if "KeyError" in died else _placeholders if "resolve placeholder" in died else _none
    names = list(dict.fromkeys((name, *(each for each in alike(tree, _folder(draft)) if each not in env))))
    if len(names) + sum(each.origin.endswith(_ORIGIN) for each in env.values()) > MOST:
        return None
    given = {each: Known(_value(each), f"{SEEN}: it does not come up without {name}; {_ORIGIN}") for each in names}
    changed = replace(service, around=replace(service.around, env={**given, **env}))
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})


def _folder(draft: Draft) -> str:
    project = draft.service.project
    return project.folder if project else draft.service.folder


def _demanded(tree: Tree, folder: str) -> Iterator[str]:
    for path in tree.below(folder, ".py"):
        if not aside(path):
            yield from _DEMANDS.findall(tree.text(path))


_PLACEHOLDER = re.compile(r"\$\{([A-Za-z][\w.-]*)\}")
_IN_CODE = re.compile(r"@Value\(\s*\"\$\{([A-Za-z][\w.-]*)\}\"")
_OF_OTHERS = re.compile(r"(?:project|java|user|os|maven|spring\.application)\.")
"""What Maven fills in, and what the JVM and Spring know by themselves."""


def _placeholders(tree: Tree, folder: str) -> Iterator[str]:
    """The variables of Spring's settings and code for which the settings have no value and no default."""
    said = settings_of(tree, folder)
    for path in tree.below(folder, ".java", ".kt", ".properties", ".yml", ".yaml"):
        if aside(path) or "/main/" not in f"/{path}":
            continue
        pattern = _IN_CODE if path.endswith((".java", ".kt")) else _PLACEHOLDER
        for name in pattern.findall(tree.text(path)):
            if name not in said and not _OF_OTHERS.match(name):
                yield _variable(name)


def _none(_tree: Tree, _folder: str) -> Iterator[str]:
    return iter(())


def _variable(name: str) -> str:
    """The variable of the environment in which a setting is taken."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _value(name: str) -> str:
    return next((value for pattern, value in _VALUES if re.search(pattern, name)), "1")
