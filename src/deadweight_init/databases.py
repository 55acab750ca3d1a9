"""The kinds of databases that are started beside a service: by which libraries they are known, and what their images are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deadweight_init.records import Beside, Service
from deadweight_init.tree import Tree

_MANIFESTS = (
    r"requirements[\w.-]*\.txt|pyproject\.toml|Pipfile|setup\.py|package\.json|go\.mod|pom\.xml|build\.gradle(\.kts)?"
    r"|Cargo\.toml|schema\.prisma"
)
USER, PASSWORD = "app", "app"


@dataclass(frozen=True)
class Server:
    """A kind of database. ``library`` is a pattern for what manifests call its clients."""

    image: str
    port: int
    library: str
    scheme: str
    env: Mapping[str, str]
    rest: str = ""


SERVERS = {
    "postgres": Server(
        "postgres:16",
        5432,
        r"psycopg|asyncpg|pg8000|\"pg\"|\"postgres\"|lib/pq|tokio[-_]postgres|jackc/pgx|gorm\.io/driver/postgres|postgresql|features\s*=\s*\[[^\]]*\"postgres\"",
        "postgresql://",
        {"POSTGRES_USER": USER, "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": USER},
        "?sslmode=disable",
    ),
    "mysql": Server(
        "mysql:8",
        3306,
        r"mysqlclient|pymysql|\"mysql2?\"|go-sql-driver/mysql|gorm\.io/driver/mysql|mysql-connector|features\s*=\s*\[[^\]]*\"mysql\"",
        "mysql://",
        {"MYSQL_USER": USER, "MYSQL_PASSWORD": PASSWORD, "MYSQL_DATABASE": USER, "MYSQL_ROOT_PASSWORD": PASSWORD},
    ),
    "mongo": Server("mongo:7", 27017, r"pymongo|motor|mongoose|mongodb|mongo-driver", "mongodb://", {}),
    "redis": Server("redis:7", 6379, r"\bredis\b|ioredis|go-redis|rueidis|redigo", "redis://", {}),
}
SCHEMES = {"postgresql": "postgres", "mariadb": "mysql", "mongodb": "mongo", "rediss": "redis"}
KINDS = {
    "PG": "postgres",
    "POSTGRESQL": "postgres",
    "MARIADB": "mysql",
    "MONGODB": "mongo",
    "ATLAS": "mongo",
    "COSMOS": "mongo",
    "COSMOSDB": "mongo",
}


def libraries_of(tree: Tree, service: Service) -> list[str]:
    """The kinds of databases that its manifests name a client of."""
    folder = service.project.folder if service.project else service.folder
    inside = "" if folder == "." else f"{folder}/"
    text = "\n".join(tree.text(path) for path in tree.named(_MANIFESTS) if path.startswith(inside))
    return [name for name, server in SERVERS.items() if re.search(server.library, text, re.IGNORECASE)]


def kind_of(image: str) -> str:
    """The kind of database that an image is; empty for another one."""
    name = image.partition("@")[0].rpartition("/")[2].partition(":")[0].upper()
    kind = KINDS.get(name, name.lower())
    return kind if kind in SERVERS else ""


def need_of(kind: str) -> Beside:
    """One of a kind of database, as it is started where nobody says how."""
    server = SERVERS[kind]
    return Beside(kind, server.image, server.port, server.env)


def server_for(kind: str, database: str, user: str, password: str) -> Beside:
    """A Postgres or MySQL with this database, for this user. Without a password it asks for none."""
    if kind == "postgres":
        said = {"POSTGRES_PASSWORD": password} if password else {"POSTGRES_HOST_AUTH_METHOD": "trust"}
        return Beside(kind, "postgres:16", 5432, {"POSTGRES_USER": user, **said, "POSTGRES_DB": database})
    env = {"MYSQL_DATABASE": database}
    env |= {"MYSQL_ROOT_PASSWORD": password} if password else {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes"}
    env |= {"MYSQL_USER": user, "MYSQL_PASSWORD": password} if user != "root" else {}
    return Beside(kind, "mysql:8", 3306, env)


def account_of(kind: str, need: Beside) -> tuple[str, str, str]:
    """User, password and database of a server, as its image is told."""
    env = need.env
    if kind == "postgres":
        user = env.get("POSTGRES_USER", "postgres")
        return user, env.get("POSTGRES_PASSWORD", ""), env.get("POSTGRES_DB", user)
    if kind == "mysql":
        said = {name.removeprefix("MARIADB_").removeprefix("MYSQL_"): value for name, value in env.items()}
        user = said.get("USER", "root")
        return user, said.get("PASSWORD" if "USER" in said else "ROOT_PASSWORD", ""), said.get("DATABASE", USER)
    if kind == "mongo":
        user = env.get("MONGO_INITDB_ROOT_USERNAME", "")
        return user, env.get("MONGO_INITDB_ROOT_PASSWORD", ""), env.get("MONGO_INITDB_DATABASE", USER)
    return "", "", "0"
