"""What a service's code takes from its environment and no file of the repository gives: the address of a database, a secret.

Platforms give these (``DATABASE_URL``, ``PGHOST``). Where a service does not come up, it is tried with a database of the kind for
which it has a library, and with values of ours.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from deadweight_init.databases import KINDS, SCHEMES, SERVERS, account_of, kind_of, libraries_of, need_of
from deadweight_init.draft import Draft, run_of
from deadweight_init.records import SEEN, Beside, Known
from deadweight_init.tree import Tree
from deadweight_init.values import MADE_UP
from deadweight_init.variables import read, shown, used_as

_ADDRESS = re.compile(
    r"(?:(?:[A-Z][A-Z0-9]*_+)*?"
    r"(?:(?P<kind>POSTGRES(?:QL)?|PG|MYSQL|MARIADB|MONGO(?:DB)?|ATLAS|COSMOS(?:DB)?|REDIS)(?:_DB)?|DATABASE|DB|SQLALCHEMY_DATABASE)"
    r"_{0,2}(?:URL|URI|DSN|STRING|CONN(?:ECT(?:ION)?)?(?:_?STR(?:ING)?)?)|CONN(?:ECTION)?_?(?:STR(?:ING)?|UR[IL]))(?:_(?:LOCAL|DEV|PROD))?"
)
_PART = re.compile(
    r"(?:[A-Z][A-Z0-9]*_+)*?(?:(?P<kind>POSTGRES(?:QL)?|PG|MYSQL|MARIADB|MONGO(?:DB)?|REDIS)|DATABASE|DB)_{0,2}"
    r"(?P<part>HOST(?:NAME)?|SERVER|PORT|USER(?:NAME)?|PASS(?:WORD)?|NAME|DB|DATABASE)"
)
_SECRET = re.compile(r"(?:[A-Z]+_+)*(?:SECRET|SECRET_KEY|SECRET_TOKEN|JWT_KEY|SESSION_KEY|COOKIE_KEY|TOKEN_KEY)")
_HERE = re.compile(r"(?:^|//|@)(?:localhost|127\.0\.0\.1)(?=[:/]|$)")
_UNSET = tuple(
    re.compile(pattern)
    for pattern in (
        r"KeyError: ['\"]([A-Z][A-Z0-9_]+)['\"]",
        r"(?i:environment variables?|env(?:ironment)? vars?|variable|setting)s?:? [\"'`$]{0,2}([A-Z][A-Z0-9_]{2,})\b",
        (
            r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[\"'`]? (?:environment variable )?(?:(?:is|was|must be|needs to be) )?"
            r"(?:not set|unset|set|required|missing|undefined|not defined|empty)\b"
        ),
        r"(?i:missing|required|unset|undefined|must set|please set)[^A-Z|]{0,30}[\"'`$]{0,2}([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b",
        r"\b([A-Z][A-Z0-9_]+) not found\. Declare it as envvar",
        r"[Ss]et the ([A-Z][A-Z0-9_]+) environment variable",
        r"(?:^|[|:\n]) *([A-Za-z]\w*)\s*[|\n]\s*[Ff]ield required",
        r"Could not resolve placeholder '([\w.-]+)'",
    )
)


_OF_ENVIRONMENT = re.compile(r"(?i:environment|env(?:ironment)?[ _]?vars?\b)|MissingEnvVars")
_OF_THE_IMAGE = ("NODE_ENV", "PORT", "HOST")
"""What generated images set, or the port and address of the service, which are found otherwise."""


def variable_it_wants(died: str) -> str | None:
    """The variable (or Spring's setting) for want of which a service ended, as far as its last words name one."""
    return next((found[1] for pattern in _UNSET if (found := pattern.search(died))), None)


def with_what_it_lacks(draft: Draft, tree: Tree) -> Draft | None:
    """The draft with what the code takes from its environment and nobody gives; None where there is nothing to add."""
    service = draft.service
    if service.project is None:
        return None
    given, needs = dict[str, Known[str]](), dict[str, Known[Beside]]()
    libraries = libraries_of(tree, service)
    there = {kind: each.value for each in service.around.needs if (kind := kind_of(each.value.image))}
    told = {kind for name in service.around.env for kind in _told_of(name, libraries)}
    examples = shown(tree, service)
    at_home = _at_home(service.around.env, libraries, there)
    others = ((name, f"from {file}", "") for name, (_, file) in examples.items())
    stale = ((name, each.origin.removeprefix("seen: "), each.value) for name, each in at_home.items())
    used = used_as(tree, service)
    for name, origin, instead in (*stale, *read(tree, service), *others):
        form = examples.get(name, ("", ""))[0] or instead
        by_use = used[name] if used.get(name) in libraries else ""
        kind = _leads_to(name, libraries) or _of_scheme(form, libraries) or by_use
        if (name in service.around.env and name not in at_home) or name in given or (kind in there and kind in told):
            continue
        need = there.get(kind) or (need_of(kind) if kind else None)
        known = _value(name, kind, need, form, service.project.language)
        if known is None:
            continue
        given[name] = Known(known, f"{SEEN}: it does not come up without ({origin})")
        if need is not None and kind not in there:
            needs[kind] = Known(need, origin)
    if not given:
        return None
    around = service.around
    kept = {name: known for name, known in around.env.items() if name not in given}
    more = replace(around, env={**given, **kept}, needs=(*around.needs, *needs.values()))
    changed = replace(service, around=more)
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})


def with_its_example(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft with all that its example file shows and nobody gives, where it ended for want of a variable: ``died`` names one of
    them, that file, or the environment. What the file leaves empty has a value of ours, as some take an empty one for none. None
    for another reason, and where there is nothing to add."""
    service = draft.service
    missing = {
        name: each
        for name, each in shown(tree, service).items()
        if name not in service.around.env and name not in _OF_THE_IMAGE
    }
    told = [*missing, *(posixpath.basename(file) for _, file in missing.values())]
    if not missing or not (_OF_ENVIRONMENT.search(died) or any(each in died for each in told)):
        return None
    given = {
        name: Known(
            value or ("1" if name.endswith("PORT") else MADE_UP), f"{SEEN}: it does not come up without (from {file})"
        )
        for name, (value, file) in missing.items()
    }
    around = replace(service.around, env={**given, **service.around.env})
    changed = replace(service, around=around)
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})


def _at_home(env: Mapping[str, Known[str]], libraries: list[str], there: Container[str]) -> dict[str, Known[str]]:
    """The variables that lead to a database on this machine, where no container is it: in one nothing is at that address. All of
    such a database, as its user and password are others then."""
    kinds = {name: _leads_to(name, libraries) or _of_scheme(known.value, libraries) for name, known in env.items()}
    gone = {kinds[name] for name, known in env.items() if _HERE.search(known.value)} - {""}
    return {name: env[name] for name, kind in kinds.items() if kind in gone and kind not in there}


def kind_by_name(name: str, libraries: list[str]) -> str:
    """The kind of database that a variable is called after, of these where it says none; empty for another variable."""
    found = _ADDRESS.fullmatch(name) or _PART.fullmatch(name)
    if found is None:
        return ""
    said = found["kind"] or ""
    return KINDS.get(said, said.lower()) or next((each for each in libraries if each != "redis"), "")


def _leads_to(name: str, libraries: list[str]) -> str:
    """The kind of database to which a variable leads; empty for another one, or where there is no library for it."""
    kind = kind_by_name(name, libraries)
    return kind if kind in libraries else ""


def _of_scheme(form: str, libraries: list[str]) -> str:
    """The kind of database of which a value is the address, whatever its variable is called."""
    scheme = re.match(r"([a-z]+)(?:\+[a-z0-9]+)?://", form)
    kind = SCHEMES.get(scheme[1], scheme[1]) if scheme else ""
    return kind if kind in libraries else ""


def _told_of(name: str, libraries: list[str]) -> Iterator[str]:
    if kind := _leads_to(name, libraries):
        yield kind


def value_for(name: str, libraries: list[str], there: Mapping[str, Beside], language: str) -> tuple[str, str]:
    """The kind of database to which a name leads, and what leads there; both empty for another name."""
    kind = _leads_to(name, libraries)
    need = there.get(kind) or (need_of(kind) if kind else None)
    return (kind, _value(name, kind, need, "", language) or "") if need is not None else ("", "")


_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+]*://)[^/?]*(?P<path>/[^?]*)?(?P<rest>\?.*)?")


def _value(name: str, kind: str, need: Beside | None, shown: str, language: str) -> str | None:
    """A value for a variable; None for one of which nothing is known. ``shown`` is the one of an example file."""
    if need is None:
        return MADE_UP if _SECRET.fullmatch(name) else None
    user, password, database = account_of(kind, need)
    found = _PART.fullmatch(name)
    if found is not None:
        part = found["part"]
        if part in ("HOST", "HOSTNAME", "SERVER"):
            return need.name
        if part == "PORT":
            return str(need.port)
        return password if part.startswith("PASS") else user if part.startswith("USER") else database
    account = f"{user}:{password}@" if user and password else f"{user}@" if user else ""
    if language == "go" and kind == "mysql" and "://" not in shown:
        return f"{account}tcp({need.name}:{need.port})/{database}?parseTime=true"
    server = SERVERS[kind]
    as_shown = _URL.fullmatch(shown)
    scheme = as_shown["scheme"].replace("+srv", "").replace("rediss", "redis") if as_shown else server.scheme
    usual = "" if language == "python" else server.rest
    rest = (as_shown["rest"] or "") if as_shown else usual
    if re.search(r"(?i)ssl|tls|authSource|replicaSet", rest):
        rest = usual  # the example's are for another server
    return f"{scheme}{account}{need.name}:{need.port}/{database}{rest}"
