"""What a service needs beside it: databases, queues and the like, as Compose files name them."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from deadweight.records.reference import split
from deadweight_init.built_needs import as_image
from deadweight_init.environment import env_files, environment, examples, filled_in
from deadweight_init.records import Beside, Known
from deadweight_init.tree import Tree, joined

PORTS = {
    "postgres": 5432,
    "postgis": 5432,
    "timescaledb": 5432,
    "pgvector": 5432,
    "redis": 6379,
    "redis-stack": 6379,
    "redis-stack-server": 6379,
    "valkey": 6379,
    "keydb": 6379,
    "mysql": 3306,
    "mariadb": 3306,
    "percona": 3306,
    "mongo": 27017,
    "mongodb": 27017,
    "rabbitmq": 5672,
    "memcached": 11211,
    "nats": 4222,
    "elasticsearch": 9200,
    "opensearch": 9200,
    "etcd": 2379,
    "consul": 8500,
    "minio": 9000,
    "zookeeper": 2181,
    "kafka": 9092,
    "localstack": 4566,
    "cassandra": 9042,
    "clickhouse-server": 8123,
    "influxdb": 8086,
    "jaeger": 16686,
    "all-in-one": 16686,
    "mailhog": 1025,
    "mailpit": 1025,
}
"""Where the servers of well-known images listen."""


def needed(tree: Tree, folder: str, name: str, service: Any) -> Beside | None:
    """A service of a Compose file as a container to start; None for one without a public image, or without a known port."""
    if isinstance(service, dict) and service.get("build"):
        service = as_image(tree, folder, service, PORTS)
    image = service.get("image") if isinstance(service, dict) else None
    values = examples(tree, folder)
    reference = filled_in(str(image), values) if image else None
    port = None if reference is None else _port(reference, service)
    plain = re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", name)
    if reference is None or port is None or plain is None:
        return None
    shown = _read(reference, env_files(tree, folder, service.get("env_file")))
    files = mounted_files(tree, folder, service)
    secrets = {target: tree.text(path).strip() for target, path in files.items()}
    env = {**shown, **environment(service.get("environment"), values, secrets, read=True)}
    env = {**_open_to_all(reference, env), **env}
    return Beside(name, reference, port, env, command_words(service.get("command"), values), files)


_OPEN = {
    "postgres": ("POSTGRES_HOST_AUTH_METHOD", "trust"),
    "postgis": ("POSTGRES_HOST_AUTH_METHOD", "trust"),
    "mysql": ("MYSQL_ALLOW_EMPTY_PASSWORD", "yes"),
    "mariadb": ("MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "yes"),
}
"""How databases are told that nobody needs a password, by the last part of their image's name."""


_PLAIN = {5432: "postgres:16", 3306: "mysql:8", 6379: "redis:7", 27017: "mongo:7", 11211: "memcached:1"}
"""The server that listens where, in its plain image: others are made of it, with an extension or first tables."""


def as_plain_server(need: Beside) -> Beside | None:
    """A need with the plain image of the server that it is; None for one that is plain, or of which nothing is known."""
    image = _PLAIN.get(need.port)
    if image is None or split(need.image)[0] == split(image)[0]:
        return None
    return replace(need, image=image, env={**_open_to_all(image, need.env), **need.env})


_READ = {
    5432: r"POSTGRES_|PG",
    3306: r"MYSQL_|MARIADB_",
    27017: r"MONGO",
    6379: r"REDIS_|ALLOW_EMPTY",
    5672: r"RABBITMQ_",
}
"""What databases and queues read of their environment, by where they listen."""


def _read(image: str, shown: Mapping[str, str]) -> dict[str, str]:
    """Of a file of variables that several services share what this one reads, where that is known."""
    pattern = _READ.get(PORTS.get(posixpath.basename(split(image)[0]), 0), "")
    return {name: value for name, value in shown.items() if re.match(pattern, name)}


def _open_to_all(image: str, env: Mapping[str, str]) -> dict[str, str]:
    """Where a Compose file gives a database no password: images that were made before 2020 asked for none, later ones do."""
    name, value = _OPEN.get(posixpath.basename(split(image)[0]), ("", ""))
    told = any("PASSWORD" in each or each == name for each in env)
    return {} if not name or told else {name: value}


def _port(image: str, service: Mapping[str, Any]) -> int | None:
    known = PORTS.get(posixpath.basename(split(image)[0]))
    given = [*(service.get("expose") or ()), *(service.get("ports") or ())]
    inner = (str(each).rpartition(":")[2].partition("/")[0] for each in given if not isinstance(each, dict))
    return known or next((int(each) for each in inner if each.isdigit() and 0 < int(each) < 65536), None)


def command_words(command: Any, values: Mapping[str, str]) -> tuple[str, ...]:
    """``command:`` as words; nothing where a variable of it is not known."""
    if isinstance(command, list):
        words = [str(each) for each in command]
    else:
        try:
            words = shlex.split(str(command or ""))
        except ValueError:
            words = []
    filled = [filled_in(word, values) for word in words]
    return tuple(word for word in filled if word is not None) if None not in filled else ()


def mounted_files(tree: Tree, folder: str, service: Mapping[str, Any]) -> dict[str, str]:
    """Files and folders of the repository that are mounted into it."""
    found = {}
    for each in service.get("volumes") or ():
        source, target = (each.get("source"), each.get("target")) if isinstance(each, dict) else mounted(str(each))
        path = joined(folder, str(source)) if source and str(source).startswith(".") else ""
        if path and target and not path.startswith("..") and (tree.has(path) or any(tree.below(path, ""))):
            found[str(target)] = path
    return found


_OF_THE_HOST = re.compile(r"/(?:etc|proc|sys|dev|run|var/run|boot|usr|s?bin|lib\d*|var/lib/docker)/|/+$")
"""Where a machine keeps what is its own: a container that mounts that looks at the machine, and keeps no data."""


def mounted_folders(tree: Tree, folder: str, service: Mapping[str, Any]) -> Iterator[str]:
    """Where data is kept: volumes of the engine, named or not, folders in memory, and folders that only a run makes, in the
    repository (``./state``, ``.data/logs``) or on the machine (``/srv/shop``)."""
    memory = service.get("tmpfs") or ()  # one or a list, each with options or without (/run:size=1M,mode=1700)
    in_memory = (str(each).partition(":")[0] for each in ([memory] if isinstance(memory, str) else memory))
    for each in (*(service.get("volumes") or ()), *in_memory):
        source, target = (each.get("source"), each.get("target")) if isinstance(each, dict) else mounted(str(each))
        if target and _is_made_by_a_run(tree, folder, str(source or ""), str(target)):
            yield posixpath.normpath(str(target))


def _is_made_by_a_run(tree: Tree, folder: str, source: str, target: str) -> bool:
    """Whether nothing lies at the source of a mount before the service runs."""
    if not source.startswith((".", "/", "~", "$")):
        return True
    path = joined(folder, source)
    names = [posixpath.basename(each) for each in (path, posixpath.normpath(target))]
    if any(posixpath.splitext(each)[1] for each in names) or names[0].startswith("."):  # a file
        return False
    if not source.startswith("."):
        return not _OF_THE_HOST.match(f"{path}/")
    return not path.startswith("..") and not tree.has_folder(path)


def mounted(text: str) -> tuple[str, str]:
    """What is mounted and where, of ``SOURCE:TARGET[:MODE]``, or of ``TARGET`` alone. ``${PWD}`` is the folder of the file."""
    filled = re.sub(r"\$\{PWD\}|\$PWD\b|\$\{\w+:?-([^}]*)\}", lambda found: found[1] or ".", text)
    parts = filled.split(":")
    return (parts[0], parts[1]) if len(parts) > 1 else ("", text)


def as_data(needs: Iterable[Known[Beside]]) -> Known[dict[str, Any]] | None:
    """The ``needs:`` of a suite; None for none."""
    found = list(needs)
    entries = {each.value.name: _entry(each.value) for each in found}
    return Known(entries, found[0].origin) if found else None


def _entry(need: Beside) -> dict[str, Any]:
    fields = {
        "image": need.image,
        "port": need.port,
        "env": dict(need.env),
        "args": list(need.args),
        "files": dict(need.files),
    }
    return {key: value for key, value in fields.items() if value}
