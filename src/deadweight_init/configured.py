"""Databases that the settings of a Java service name: ``spring.datasource.url=jdbc:mysql://localhost:3306/shop``.

On a developer's machine such a server runs already. In a container nothing is at that address, so one is started beside the
service, and the service is told of it by the variables in which Spring and Quarkus take the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from deadweight_init.databases import server_for
from deadweight_init.records import Beside, Known, Service, Surroundings
from deadweight_init.tree import Tree, aside, line_of

_FILE = re.compile(r"(?:^|/)application(?:-(?P<profile>\w+))?\.(?:properties|ya?ml)$")
_LINE = re.compile(r"^\s*([^#!\s][^=:\s]*)\s*[=:]\s*(.*?)\s*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\$\{[^}:]+:([^}]*)\}")
_JDBC = re.compile(
    r"(?P<scheme>(?:jdbc|r2dbc|vertx-reactive):(?:pool:)?(?P<kind>postgresql|mysql|mariadb)://)(?P<host>[\w.-]+)(?::\d+)?"
    r"(?:/(?P<name>[\w-]+))?(?P<rest>.*)",
    re.DOTALL,
)
_SOURCES = (
    ("spring.datasource.", ("url", "jdbc-url"), "username", "password"),
    ("spring.r2dbc.", ("url",), "username", "password"),
    ("quarkus.datasource.", ("jdbc.url", "reactive.url"), "username", "password"),
)
_HOSTS = {
    "spring.data.redis.host": ("redis:7", 6379),
    "spring.redis.host": ("redis:7", 6379),
    "spring.rabbitmq.host": ("rabbitmq:3", 5672),
    "spring.data.mongodb.host": ("mongo:7", 27017),
}
_MONGO = re.compile(r"mongodb://(?:[^@/]*@)?(?:localhost|127\.0\.0\.1|[a-z][\w-]*)(?::\d+)?(?P<rest>(?:/.*)?)")
"""On this machine, or at a name without a domain, which only a network of containers knows."""

_MONGO_SETTINGS = ("spring.data.mongodb.uri", "quarkus.mongodb.connection-string")
_SQL = {5432, 3306}
_HERE = ("localhost", "127.0.0.1")
_APP = "app"


@dataclass(frozen=True)
class _Setting:
    value: str
    origin: str


def with_configured(tree: Tree, service: Service, around: Surroundings) -> Surroundings:
    """The surroundings with the databases of a Java service's settings, where nothing else names one of that kind."""
    project = service.project
    if project is None or project.language != "java":
        return around
    there = {each.value.port for each in around.needs}
    if there & _SQL or any("jdbc:" in known.value for known in around.env.values()):
        there |= _SQL  # it has the one that it is given, whatever its settings name without that
    settings = settings_of(tree, project.folder)
    env, needs = dict[str, Known[str]](), dict[str, Known[Beside]]()
    for name, need, told in (*_databases(settings), *_others(settings)):
        if need.port not in there and not any(variable in around.env for variable in told):
            origin = settings[name].origin
            env |= {variable: Known(value, origin) for variable, value in told.items()}
            needs.setdefault(need.name, Known(need, origin))
    more = (*around.needs, *needs.values())
    return replace(around, env={**env, **around.env}, needs=more) if needs else around


def _databases(settings: Mapping[str, _Setting]) -> Iterator[tuple[str, Beside, dict[str, str]]]:
    """Each address of a database: its setting, the server, and the variables that lead there."""
    for start, addresses, user_key, password_key in _SOURCES:
        for name in (f"{start}{each}" for each in addresses):
            found = _JDBC.fullmatch(settings[name].value) if name in settings else None
            if found is None:
                continue
            user, password = (
                settings[start + key].value if start + key in settings else "" for key in (user_key, password_key)
            )
            told = {}
            if not user or "$" in user + password:
                user, password = _APP, _APP
                told = {_variable(start + user_key): user, _variable(start + password_key): password}
            kind = "postgres" if found["kind"] == "postgresql" else "mysql"
            need = server_for(kind, found["name"] or _APP, user, password)
            address = f"{found['scheme']}{kind}:{need.port}/{found['name'] or _APP}{found['rest']}"
            yield name, need, {_variable(name): address, **told}


def _others(settings: Mapping[str, _Setting]) -> Iterator[tuple[str, Beside, dict[str, str]]]:
    """Servers of which the settings name the host of this machine."""
    for name, (image, port) in _HOSTS.items():
        if name in settings and settings[name].value in _HERE:
            called = image.partition(":")[0]
            yield name, Beside(called, image, port), {_variable(name): called}
    for name in _MONGO_SETTINGS:
        if name in settings and (found := _MONGO.fullmatch(settings[name].value)):
            yield name, Beside("mongo", "mongo:7", 27017), {_variable(name): f"mongodb://mongo:27017{found['rest']}"}


def _variable(name: str) -> str:
    """The variable of the environment in which Spring and Quarkus take a setting."""
    plain = name.replace("-", "") if name.startswith("spring.") else name
    return re.sub(r"[^A-Z0-9]", "_", plain.upper())


def settings_of(tree: Tree, folder: str) -> dict[str, _Setting]:
    """What holds where nothing else is said: the files without a profile, then those of the profiles that these make active."""
    files: dict[str, list[str]] = {}
    for path in tree.below(folder, ".properties", ".yml", ".yaml"):
        found = _FILE.search(path)
        if found and "/main/" in f"/{path}" and not aside(path):
            files.setdefault(found["profile"] or "", []).append(path)
    settings = {name: each for path in files.get("", ()) for name, each in _read(tree, path)}
    active = settings["spring.profiles.active"].value if "spring.profiles.active" in settings else ""
    for profile in re.split(r"\s*,\s*", active):
        settings |= {name: each for path in files.get(profile, ()) if profile for name, each in _read(tree, path)}
    production = {name.removeprefix("%prod."): each for name, each in settings.items() if name.startswith("%prod.")}
    return {**settings, **production}


def _read(tree: Tree, path: str) -> Iterator[tuple[str, _Setting]]:
    text = tree.text(path)
    if path.endswith(".properties"):
        for each in _LINE.finditer(text):
            yield each[1], _Setting(_filled(each[2]), f"from {path}:{line_of(text, each.start(1))}")
        return
    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    for document in documents:
        flat = dict(_flat(document))
        if "spring.profiles" not in flat and not any(name.startswith("spring.config.activate.") for name in flat):
            for name, value in flat.items():
                yield name, _Setting(_filled(value), f"from {path}{_at(text, value)}")


def _flat(document: Any, start: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(document, dict):
        yield start, "" if document is None else str(document)
        return
    for key, value in document.items():
        yield from _flat(value, f"{start}.{key}" if start else str(key))


def _at(text: str, value: str) -> str:
    at = text.find(value) if value else -1
    return f":{line_of(text, at)}" if at >= 0 else ""


def _filled(value: str) -> str:
    """A value with the defaults of its placeholders, ``${HOST:localhost}``; those without one stay."""
    filled = value
    while (more := _PLACEHOLDER.sub(lambda found: found[1], filled)) != filled:
        filled = more
    return filled.strip("\"'")
