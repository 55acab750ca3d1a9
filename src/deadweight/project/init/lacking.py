"""What a service's code takes from its environment and no file of the repository gives: the address of a database, a secret.

Platforms give these (``DATABASE_URL``, ``PGHOST``). Where a service does not come up, it is tried with a database of the kind for
which it has a library, and with values of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from deadweight.project.init.draft import Draft, run_of
from deadweight.project.init.records import SEEN, Beside, Known, Service
from deadweight.project.init.tree import Tree, aside, line_of

_CODE = (".py", ".js", ".mjs", ".cjs", ".ts", ".go", ".java", ".kt", ".rs", ".properties", ".yml", ".yaml")
_MANIFESTS = (
    r"requirements[\w.-]*\.txt|pyproject\.toml|Pipfile|setup\.py|package\.json|go\.mod|pom\.xml|build\.gradle(\.kts)?"
    r"|Cargo\.toml"
)
_READ = re.compile(
    r"(?:environ(?:\.get\(|\[)|[Gg]etenv\(|LookupEnv\(|process\.env\[|env::var\(|\b(?:config|env(?:\.\w+)?)\()\s*"
    r"[\"']([A-Z][A-Z0-9_]+)[\"']"
    r"|process\.env\.([A-Z][A-Z0-9_]+)\b|\$\{([A-Z][A-Z0-9_]+)\}|(dj_database_url\.config\()"
)
_ADDRESS = re.compile(
    r"(?:(?P<kind>POSTGRES(?:QL)?|PG|MYSQL|MARIADB|MONGO(?:DB)?|REDIS)|DATABASE|DB|SQLALCHEMY_DATABASE)_?(?:URL|URI|DSN|CONNECTION(?:_STRING)?)"
)
_PART = re.compile(
    r"(?:(?P<kind>POSTGRES(?:QL)?|PG|MYSQL|MARIADB|MONGO(?:DB)?|REDIS)|DATABASE|DB)_?"
    r"(?P<part>HOST(?:NAME)?|SERVER|PORT|USER(?:NAME)?|PASS(?:WORD)?|NAME|DB|DATABASE)"
)
_SECRET = re.compile(r"(?:[A-Z]+_)*(?:SECRET|SECRET_KEY|JWT_KEY)")
_USER, _PASSWORD, _VALUE = "app", "app", "not-a-secret-for-trials-only"


@dataclass(frozen=True)
class _Server:
    """A kind of database. ``library`` is a pattern for what manifests call its clients."""

    image: str
    port: int
    library: str
    address: str
    env: Mapping[str, str]


_SERVERS = {
    "postgres": _Server(
        "postgres:16",
        5432,
        r"psycopg|asyncpg|pg8000|\"pg\"|\"postgres\"|lib/pq|jackc/pgx|gorm\.io/driver/postgres|postgresql|features.*\"postgres\"",
        f"postgresql://{_USER}:{_PASSWORD}@postgres:5432/{_USER}?sslmode=disable",
        {"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": _PASSWORD, "POSTGRES_DB": _USER},
    ),
    "mysql": _Server(
        "mysql:8",
        3306,
        r"mysqlclient|pymysql|\"mysql2?\"|go-sql-driver/mysql|gorm\.io/driver/mysql|mysql-connector|features.*\"mysql\"",
        f"mysql://{_USER}:{_PASSWORD}@mysql:3306/{_USER}",
        {"MYSQL_USER": _USER, "MYSQL_PASSWORD": _PASSWORD, "MYSQL_DATABASE": _USER, "MYSQL_ROOT_PASSWORD": _PASSWORD},
    ),
    "mongo": _Server("mongo:7", 27017, r"pymongo|motor|mongoose|mongodb|mongo-driver", "mongodb://mongo:27017/app", {}),
    "redis": _Server("redis:7", 6379, r"\bredis\b|ioredis|go-redis|rueidis|redigo", "redis://redis:6379/0", {}),
}
_KINDS = {"PG": "postgres", "POSTGRESQL": "postgres", "MARIADB": "mysql", "MONGODB": "mongo"}


def with_what_it_lacks(draft: Draft, tree: Tree) -> Draft | None:
    """The draft with what the code takes from its environment and nobody gives; None where there is nothing to add."""
    service = draft.service
    if service.project is None:
        return None
    given, needs = dict[str, Known[str]](), dict[str, Known[Beside]]()
    libraries = _libraries(tree, service)
    there = {each.value.image.partition(":")[0].rpartition("/")[2] for each in service.around.needs}
    for name, origin in _read(tree, service):
        known, kind = _value(name, libraries)
        if known is None or name in service.around.env or (kind and kind in there):
            continue
        given[name] = Known(known, f"{SEEN}: it does not come up without ({origin})")
        if kind:
            server = _SERVERS[kind]
            needs[kind] = Known(Beside(kind, server.image, server.port, server.env), origin)
    if not given:
        return None
    around = service.around
    more = replace(around, env={**given, **around.env}, needs=(*around.needs, *needs.values()))
    changed = replace(service, around=more)
    return replace(draft, service=changed, run={**draft.run, **run_of(changed, draft.port)})


def _read(tree: Tree, service: Service) -> Iterator[tuple[str, str]]:
    """The variables that its code reads, each with where."""
    folder = service.project.folder if service.project else service.folder
    seen: set[str] = set()
    for path in sorted(tree.below(folder, *_CODE), key=lambda path: (path.count("/"), path)):
        if aside(path):
            continue
        text = tree.text(path)
        for found in _READ.finditer(text):
            name = "DATABASE_URL" if found[4] else found[1] or found[2] or found[3]
            if name not in seen:
                seen.add(name)
                yield name, f"from {path}:{line_of(text, found.start())}"


def _libraries(tree: Tree, service: Service) -> list[str]:
    """The kinds of databases that its manifests name a client of."""
    folder = service.project.folder if service.project else service.folder
    inside = "" if folder == "." else f"{folder}/"
    text = "\n".join(tree.text(path) for path in tree.named(_MANIFESTS) if path.startswith(inside))
    return [name for name, server in _SERVERS.items() if re.search(server.library, text, re.IGNORECASE)]


def _value(name: str, libraries: list[str]) -> tuple[str | None, str]:
    """A value for a variable, and the kind of database that it leads to; None for one of which nothing is known."""
    if found := _ADDRESS.fullmatch(name) or _PART.fullmatch(name):
        said = found["kind"] or ""
        kind = _KINDS.get(said, said.lower()) or next((each for each in libraries if each != "redis"), "")
        if kind not in libraries:
            return None, ""
        part = found.groupdict().get("part")
        return (_SERVERS[kind].address if part is None else _part(part, kind)), kind
    return (_VALUE, "") if _SECRET.fullmatch(name) else (None, "")


def _part(part: str, kind: str) -> str:
    if part in ("HOST", "HOSTNAME", "SERVER"):
        return kind
    if part == "PORT":
        return str(_SERVERS[kind].port)
    return _PASSWORD if part.startswith("PASS") else _USER
