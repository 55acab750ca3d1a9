"""Parse Compose files and environment files: how a service is built, run and mounted, its variables, and what it needs.

They are read as far as they can be understood and never judged. Variables without a value are skipped.
"""

from __future__ import annotations

import posixpath
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from importlib import resources
from typing import Any

from deadweight.records.reference import split
from deadweight_init.records import ComposeService, Dependency, Deployment, Known, Service
from deadweight_init.repository.dockerfiles import ANY, FOR_DEVELOPERS, VARIABLE, read_words, substitute, url_paths
from deadweight_init.tree import TREES, Tree, as_list, as_mapping, joined, line_of

_WORDS = "example|sample|template|dist"
_EXAMPLE = re.compile(rf"(?:\.?(?:{_WORDS})\.env|\.?env[._-](?:{_WORDS})(?:[._-][\w-]+)?|\.env\.[\w-]+\.(?:{_WORDS}))")
"""Files that show which variables a service takes. ``.env`` itself holds what is secret: it is read only where git has it."""

_ENDING = re.compile(rf"[._-](?:{_WORDS})")
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


def examples(tree: Tree, folder: str) -> dict[str, str]:
    """The variables that a folder shows: those of its ``.env`` where git has it, else of its example file; nothing without."""
    env = joined(folder, ".env")
    file = env if env in tree.committed else example_file(tree, folder)
    return {} if file is None else dotenv(tree.texts[file])


def example_file(tree: Tree, folder: str) -> str | None:
    """The file of a folder that shows which variables a service takes; the shortest name goes first."""
    paths = (
        path for path in tree.files if tree.folders[path] == folder and _EXAMPLE.fullmatch(posixpath.basename(path))
    )
    return min(paths, key=lambda path: (len(path), path), default=None)


def shown_environment(tree: Tree, service: Service) -> Iterator[Known[Mapping[str, str]]]:
    """The variables of an example file, which a service may lack to come up, but for this machine's name: in a container nobody
    else is there, and what listens there is reached by nobody."""
    homes = (service.folder, service.project.folder if service.project else ".", ".")
    if file := next((path for home in homes if (path := example_file(tree, home))), None):
        shown = dotenv(tree.texts[file]).items()
        yield Known(
            {name: value for name, value in shown if value not in ("", "localhost", "127.0.0.1")}, f"from {file}"
        )


def env_files(tree: Tree, folder: str, given: Any) -> dict[str, str]:
    """Of the files that ``env_file:`` names, or of the examples beside those that are not in the repository."""
    env: dict[str, str] = {}
    for entry in given if isinstance(given, list) else [given] if given else []:
        path = joined(folder, str(entry.get("path") if isinstance(entry, dict) else entry))
        if path in tree.files and (posixpath.basename(path) != ".env" or path in tree.committed):
            env |= dotenv(tree.texts[path])
            continue
        beside = (other for other in tree.files if other.startswith(path))
        shown = next((other for other in beside if _ENDING.fullmatch(other[len(path) :])), None)
        env |= dotenv(tree.texts[shown]) if shown else examples(tree, tree.folders[path])
    return env


def dotenv(text: str) -> dict[str, str]:
    """``A=b`` lines; quotes and comments are taken off, earlier variables are put in."""
    env: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        value = match[2]
        quoted = re.match(r"(['\"])(.*?)\1", value)
        plain = quoted[2] if quoted else re.sub(r"\s+#.*$", "", value)
        filled = interpolate(plain, env)
        env[match[1]] = plain if filled is None else filled
    return env


def environment(
    given: Any, values: Mapping[str, str], secrets: Mapping[str, str] | None = None, *, read: bool = False
) -> dict[str, str]:
    """A mapping or a list of ``A=b`` as Compose takes it. What the shell would give is taken from ``values``, or left out.

    ``secrets`` are the files of secrets that are mounted, with their texts; ``read`` is for an image that takes the text itself:
    ``X_FILE: /run/secrets/NAME`` is, by the custom of official images, a way to give ``X``.
    """
    if isinstance(given, list):
        entries = (str(entry).partition("=") for entry in given)
        pairs: dict[str, Any] = {name: value if sign else None for name, sign, value in entries}
    else:
        pairs = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
    env = dict[str, str]()
    for key, value in pairs.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        filled = values.get(key) if value is None else interpolate(text, values)
        if filled is None:
            continue
        if read and key.endswith("_FILE") and filled in (secrets or {}):
            key, filled = key.removesuffix("_FILE"), (secrets or {})[filled]
        env[key] = filled
    return env


def interpolate(text: str, values: Mapping[str, str]) -> str | None:
    """The text with its variables put in; None if one is not known."""
    plain = _interpolated(text, values)
    return None if VARIABLE.search(plain) else plain.replace("\0", "$")


def _interpolated(text: str, values: Mapping[str, str]) -> str:
    """The text with those variables put in that are known; a dollar that is none's is ``\\0``."""
    return substitute(text.replace("$$", "\0"), {name: value.replace("$", "\0") for name, value in values.items()})


COMPOSE = r"(docker-)?compose([.-][\w.-]+)?\.ya?ml"
_OF_COMPOSE = re.compile(r"COMPOSE_|DOCKER_")


@dataclass(frozen=True)
class Server:
    """``port`` is where it listens, ``open`` the variable that lets everybody in, ``plain`` the image to take if another one of it
    cannot be had. ``reads`` is a pattern for the variables that it reads."""

    port: int
    open: Mapping[str, str] = field(default_factory=dict)
    plain: str = ""
    reads: str = ""


def _table() -> dict[str, Server]:
    text = resources.files(__package__).joinpath("servers.toml").read_text(encoding="utf-8")
    return {name: Server(**entry) for entry in tomllib.loads(text)["server"] for name in entry.pop("images")}


SERVERS = _table()
"""By the last part of their images' names."""


def server_of(reference: str) -> Server | None:
    """The server of an image; None for an image of which nothing is known."""
    return SERVERS.get(image_name(reference))


def image_name(reference: str) -> str:
    """The last part of an image's name."""
    return posixpath.basename(reference).partition("@")[0].partition(":")[0]


@lru_cache(TREES)
def compose_files(tree: Tree) -> Mapping[str, dict[str, Any]]:
    """Each Compose file with its services, the plain names first; ``*.override.*`` is merged into the file that it adds to."""
    in_folders = (path for path in tree.named[r".+\.ya?ml"] if tree.folders[path].endswith("compose"))
    of_users = (path for path in (*tree.named[COMPOSE], *in_folders) if ".devcontainer" not in path.split("/"))
    paths = sorted(of_users, key=lambda path: (tree.is_aside[path], path.count("/"), path.count("."), len(path), path))
    services = {path: _services(tree.data[path]) for path in paths}
    for path in paths:
        if ".override." in posixpath.basename(path):
            stem = path.replace(".override", "").rpartition(".")[0]
            base = next((other for other in paths if other != path and other.rpartition(".")[0] == stem), None)
            if base is not None:
                services[base] = _merged(services[base], services.pop(path))
    return services


def _services(document: Mapping[str, Any]) -> dict[str, Any]:
    """The services, with secrets that are files as what they are: files at ``/run/secrets``."""
    secrets, entries = as_mapping(document.get("secrets")), dict[str, Any]()
    for name, service in as_mapping(document.get("services", document)).items():
        if not isinstance(service, dict):
            continue
        listed = [
            str(entry.get("source") if isinstance(entry, dict) else entry) for entry in as_list(service.get("secrets"))
        ]
        files = {secret: as_mapping(secrets.get(secret)).get("file") for secret in listed}
        mounts = [f"./{file}:/run/secrets/{secret}" for secret, file in files.items() if file]
        entries[str(name)] = {**service, **({"volumes": [*as_list(service.get("volumes")), *mounts]} if mounts else {})}
    return entries


def _merged(base: Any, more: Any) -> Any:
    """As Compose puts two files together: mappings key by key, lists one after the other, of all else the second."""
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in more.items()}}
    return [*base, *more] if isinstance(base, list) and isinstance(more, list) else more


@lru_cache(TREES)
def compose(tree: Tree) -> tuple[ComposeService, ...]:
    """The services of all Compose files that are built here, in their order."""
    return tuple(_built(tree))


def _built(tree: Tree) -> Iterator[ComposeService]:
    is_own = own_image(tree)
    for path, services in compose_files(tree).items():
        built = {spec["image"]: spec["build"] for spec in services.values() if spec.get("image") and spec.get("build")}
        values = examples(tree, tree.folders[path])
        for name, service in services.items():
            build = service.get("build") or built.get(service.get("image"))
            published = build is None and is_own(path, service)
            fields = build if isinstance(build, dict) else {"context": build}
            context = "." if published else joined(tree.folders[path], str(fields.get("context") or "."))
            if (build is None and not published) or context.startswith("..") or "$" in context or ":" in context:
                continue
            words = (*command_words(service.get("entrypoint"), values), *command_words(service.get("command"), values))
            dockerfile, target = (str(fields[key]) if fields.get(key) else None for key in ("dockerfile", "target"))
            around = _around(tree, path, services, name, context)
            args = environment(fields.get("args"), values)
            yield ComposeService(path, name, context, dockerfile, target, around, words, args, published)


def own_image(tree: Tree) -> Callable[[str, Any], bool]:
    """Tells whether a service of the Compose file at a path is started from the repository's own image, as it is published: by its
    name, or where no file has that, by a part of it."""
    names = own_names(tree)
    exactly = any(
        _image_of(tree, path, service) in names
        for path, services in compose_files(tree).items()
        for service in services.values()
    )

    def is_own(path: str, service: Any) -> bool:
        image = _image_of(tree, path, service)
        if len(image) < 3 or image in SERVERS:
            return False
        return image in names or (not exactly and any(image in name or name in image for name in names))

    return is_own


_NAMED = {
    "go.mod": re.compile(r"^module\s+(\S+)", re.MULTILINE),
    "package.json": re.compile(r"\"name\"\s*:\s*\"([^\"]+)\""),
    "Cargo.toml": re.compile(r"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE),
    "pyproject.toml": re.compile(r"^name\s*=\s*[\"']([^\"']+)", re.MULTILINE),
}


def own_names(tree: Tree) -> frozenset[str]:
    """The repository's folder, and what the manifests in its root call the program; in small letters."""
    matches = [pattern.search(tree.texts[name]) for name, pattern in _NAMED.items() if name in tree.files]
    names = {tree.root.name, *(re.sub(r"/v\d+$", "", match[1]).rpartition("/")[2] for match in matches if match)}
    return frozenset(name for name in map(str.lower, names) if len(name) >= 3)


def _image_of(tree: Tree, path: str, service: Mapping[str, Any]) -> str:
    """The last part of the name of a service's image; empty without one."""
    image = service.get("image")
    reference = interpolate(str(image), examples(tree, tree.folders[path])) if image else None
    return image_name(reference).lower() if reference else ""


def start_commands(tree: Tree, composed: Sequence[ComposeService]) -> dict[str, tuple[str, ...]]:
    """For each Dockerfile (a path) the command that a Compose file starts its image with; one for developers comes last. For
    ``ANY`` of them the command of the image that the repository publishes.
    A file that only adds to another one (``compose.prod.yaml``) names the service without its ``build``.
    """
    built, commands = [service for service in composed if not service.published], dict[str, tuple[str, ...]]()
    rows = [(service.file, service.path, service.command) for service in built]
    for file, services in compose_files(tree).items():
        homes = {service.name: service.path for service in built if tree.folders[service.file] == tree.folders[file]}
        for name, service in services.items():
            if name in homes and "build" not in service:
                rows += [(file, homes[name], command_words(service.get("command"), examples(tree, tree.folders[file])))]
    listening = {(service.file, service.command) for service in built if service.around.ports}
    ordered = sorted(rows, key=lambda row: (bool(FOR_DEVELOPERS.search(row[0])), (row[0], row[2]) not in listening))
    for _, path, command in ordered:
        if command:
            commands.setdefault(path, command)
    published = (service.command for service in composed if service.published)
    plain = (command for command in published if command and not any(word.startswith("/") for word in command))
    return {**commands, ANY: next(plain, ())}


def _around(tree: Tree, path: str, services: Mapping[str, Any], name: str, context: str) -> Deployment:
    text, folder, service = tree.texts[path], tree.folders[path], services[name]
    start = re.search(rf"^\s+[\"']?{re.escape(name)}[\"']?:\s*$", text, re.MULTILINE)

    def origin(what: str) -> str:
        at = text.find(what, start.start() if start else 0)
        return f"from {path}:{line_of(text, at)}" if at >= 0 else f"from {path}"

    ports = list[Known[int]]()
    for given in as_list(service.get("ports")):
        if port := _port_pair(given, {})[1]:
            ports.append(Known(port, origin(f"target: {port}" if isinstance(given, dict) else str(given))))
    test = as_mapping(service.get("healthcheck")).get("test") or ""
    command = " ".join(map(str, test)) if isinstance(test, list) else str(test)
    health = tuple(Known(path, origin("healthcheck")) for path in url_paths(command))
    mounts = mounted_files(tree, folder, service)
    secrets = {target: tree.texts[file] for target, file in mounts.items()}
    given = environment(service.get("environment"), examples(tree, folder), secrets)
    shown = env_files(tree, folder, service.get("env_file"))
    given = {**{name: value for name, value in shown.items() if not _OF_COMPOSE.match(name)}, **given}
    env = {key: Known(value, origin(key)) for key, value in given.items()}
    needs = []
    for other, called in _depends(tree, services, service, env, context).items():
        need = dependency_of(tree, folder, called, services.get(other))
        if need is not None:
            needs.append(Known(need, f"from {path}:{_line_of(text, other)}"))
    volumes = tuple(Known(target, origin(target)) for target in mounted_folders(tree, folder, service))
    files = {target: Known(file, origin(target)) for target, file in mounts.items()}
    return Deployment(tuple(ports), health, env, tuple(needs), volumes, files)


def _line_of(text: str, name: str) -> int:
    start = re.search(rf"^[ \t]+[\"']?{re.escape(name)}[\"']?:", text, re.MULTILINE)
    return line_of(text, start.start()) if start else 1


def _depends(
    tree: Tree, services: Mapping[str, Any], service: Mapping[str, Any], env: Mapping[str, Known[str]], context: str
) -> dict[str, str]:
    """The services that it names, and by which name: depends_on, links, hosts in its environment, and names in its code."""
    named = [str(entry).partition(":")[0] for entry in (service.get("depends_on") or service.get("links") or ())]
    hosts = {
        word
        for known in env.values()
        for word in re.findall(r"(?:^|@|//|,)([\w.-]+)(?=[:/,]|$)(?!://|:[^/@,]*@)", known.value)
    }
    used = dict.fromkeys(named, "")
    for name, other in services.items():
        names = (name, *(str(other[key]) for key in ("container_name", "hostname") if other.get(key)))
        host = next((called for called in names if called in hosts), "")
        if not host and other.get("image") and not other.get("build") and _is_in_code(tree, context, name):
            host = name
        if other is not service and (host or name in used):
            used[name] = host
    return {name: called or name for name, called in used.items()}


def _is_in_code(tree: Tree, folder: str, name: str) -> bool:
    """Whether code or settings below a folder name a host: in an address, with a port, or as a host's value."""
    quoted = rf"(?:\$\{{[\w.-]+:)?{re.escape(name)}"
    address = rf"(?:://|@){quoted}[}}:/\"']|[\"'`]{quoted}:\d{{2,5}}\b"
    host = re.compile(rf"{address}|host\w*[\"']?\s*[=:,(]\s*[\"']{quoted}\}}?[\"']", re.IGNORECASE)
    return any(host.search(tree.texts[path]) for path in tree.code[folder])


def _port_pair(given: Any, values: Mapping[str, str]) -> tuple[str, int | None]:
    """The machine's port of one entry under ``ports:`` or ``expose:``, and the container's; None for one that is not known."""
    if isinstance(given, dict):
        outer, inner = str(given.get("published") or ""), str(given.get("target"))
    else:
        outer, _, inner = _interpolated(str(given), values).partition("/")[0].rpartition(":")
        outer = outer.rpartition(":")[2]
    return outer, int(inner) if inner.isdigit() and 0 < int(inner) < 65536 else None


# What a service needs beside it: databases, queues and the like.


def dependency_of(tree: Tree, folder: str, name: str, service: Any) -> Dependency | None:
    """A service of a Compose file as a container to start; None for one without a public image, or without a known port."""
    service = _as_image(tree, folder, as_mapping(service))
    values = examples(tree, folder)
    reference = interpolate(str(service["image"]), values) if service.get("image") else None
    port = None if reference is None else _port(reference, service)
    if reference is None or port is None or not re.fullmatch(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", name):
        return None
    files = mounted_files(tree, folder, service)
    secrets = {target: tree.texts[path].strip() for target, path in files.items()}
    # of a file of variables that several services share what this one reads, where that is known
    known = server_of(reference)
    given = env_files(tree, folder, service.get("env_file")).items()
    shown = {key: value for key, value in given if known and known.reads and re.match(known.reads, key)}
    env = {**shown, **environment(service.get("environment"), values, secrets, read=True)}
    env = {**_open_to_all(reference, env), **env}
    return Dependency(name, reference, port, env, command_words(service.get("command"), values), files)


def _as_image(tree: Tree, folder: str, service: dict[str, Any]) -> dict[str, Any]:
    """A service that is built of a well-known image with a script or two in it, as that image with mounted files."""
    build = service.get("build")
    fields = build if isinstance(build, dict) else {"context": build}
    context = joined(folder, str(fields.get("context") or "."))
    path = joined(context, str(fields.get("dockerfile") or "Dockerfile"))
    words = read_words(tree.texts[path], path)
    known = len(words.bases) == 1 and server_of(words.base) is not None
    if not build:
        return service
    if context.startswith("..") or path not in tree.files or not known:
        return {}
    up, mounts = posixpath.relpath(".", folder), []
    for source, target in words.copied:
        file = joined(context, source)
        is_folder = posixpath.splitext(target)[1] in ("", ".d") and bool(posixpath.splitext(source)[1])
        into = is_folder or (file in tree.files and target.endswith("/"))
        place = posixpath.join(target, posixpath.basename(source)) if into else target.rstrip("/")
        mounts += [f"./{posixpath.join(up, file)}:{place}"] if "*" not in source else []
    given = service.get("environment")
    pairs = (str(entry).split("=", 1) for entry in given or () if "=" in str(entry))
    env = given if isinstance(given, dict) else dict(pairs)
    volumes = [*as_list(service.get("volumes")), *mounts]
    return {**service, "build": None, "image": words.base, "environment": {**words.env, **env}, "volumes": volumes}


def as_plain_server(need: Dependency) -> Dependency | None:
    """A need with the plain image of the server that it is; None for one that is plain, or of which nothing is known."""
    image = next((server.plain for server in SERVERS.values() if server.port == need.port), "")
    if not image or split(need.image)[0] == split(image)[0]:
        return None
    return replace(need, image=image, env={**_open_to_all(image, need.env), **need.env})


def _open_to_all(image: str, env: Mapping[str, str]) -> dict[str, str]:
    known = server_of(image)
    return dict(known.open) if known and not any("PASSWORD" in name or name in known.open for name in env) else {}


def _port(image: str, service: Mapping[str, Any]) -> int | None:
    given = (entry for key in ("expose", "ports") for entry in as_list(service.get(key)) if not isinstance(entry, dict))
    known = server_of(image)
    return known.port if known else next((port for entry in given if (port := _port_pair(entry, {})[1])), None)


def command_words(command: Any, values: Mapping[str, str]) -> tuple[str, ...]:
    """``command:`` as words; nothing where a variable of it is not known."""
    try:
        words = [str(word) for word in command] if isinstance(command, list) else shlex.split(str(command or ""))
    except ValueError:
        words = []
    filled = [interpolate(word, values) for word in words]
    return tuple(word for word in filled if word is not None) if None not in filled else ()


def needs_data(needs: Sequence[Known[Dependency]]) -> Known[dict[str, Any]] | None:
    """The ``needs:`` of a suite; None for none."""
    fields = {need.value.name: {**asdict(need.value), "name": "", "args": list(need.value.args)} for need in needs}
    entries = {name: {key: value for key, value in entry.items() if value} for name, entry in fields.items()}
    return Known(entries, needs[0].origin) if needs else None


# What is mounted.

_OF_THE_HOST = re.compile(r"/(?:etc|proc|sys|dev|run|var/run|boot|usr|s?bin|lib\d*|var/lib/docker)/|/+$")
"""Where a machine keeps what is its own: a container that mounts that looks at the machine, and keeps no data."""


def _mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is mounted and where, of ``SOURCE:TARGET[:MODE]``, or of ``TARGET`` alone. ``${PWD}`` is the folder of the file."""
    for volume in service.get("volumes") or ():
        if isinstance(volume, dict):
            yield str(volume.get("source") or ""), str(volume.get("target") or "")
            continue
        filled = re.sub(r"\$\{PWD\}|\$PWD\b|\$\{\w+:?-([^}]*)\}", lambda match: match[1] or ".", str(volume))
        parts = filled.split(":")
        yield (parts[0], parts[1]) if len(parts) > 1 else ("", str(volume))


def mounted_files(tree: Tree, folder: str, service: Mapping[str, Any]) -> dict[str, str]:
    """Files and folders of the repository that are mounted into it."""
    mounts = dict[str, str]()
    for source, target in _mounts(service):
        path = joined(folder, source)
        here = source.startswith(".") and not path.startswith("..")
        if target and here and (path in tree.files or tree.inside[path]):
            mounts[target] = path
    return mounts


def mounted_folders(tree: Tree, folder: str, service: Mapping[str, Any]) -> Iterator[str]:
    """Where data is kept: volumes of the engine, named or not, folders in memory, and folders that only a run makes, in the
    repository (``./state``, ``.data/logs``) or on the machine (``/srv/shop``)."""
    memory = service.get("tmpfs") or ()  # one or a list, each with options or without (/run:size=1M,mode=1700)
    in_memory = (("", str(mount).partition(":")[0]) for mount in ([memory] if isinstance(memory, str) else memory))
    for source, target in (*_mounts(service), *in_memory):
        if target and _is_made_by_a_run(tree, folder, source, target):
            yield posixpath.normpath(target)


def _is_made_by_a_run(tree: Tree, folder: str, source: str, target: str) -> bool:
    """Whether nothing lies at the source of a mount before the service runs."""
    if not source.startswith((".", "/", "~", "$")):
        return True
    path = joined(folder, source)
    names = [posixpath.basename(place) for place in (path, posixpath.normpath(target))]
    if any(posixpath.splitext(name)[1] for name in names) or names[0].startswith("."):  # a file
        return False
    if not source.startswith("."):
        return not _OF_THE_HOST.match(f"{path}/")
    return not path.startswith("..") and not tree.has_folder(path)


# What runs on a developer's machine: settings say ``localhost:5432``, and a Compose file publishes that port. In a container
# nothing is at that address: there the settings name what the Compose file starts, which is needed then.

_HERE = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1)(?::(\d{2,5}))?(?![\w.])")


def with_local_containers(tree: Tree, service: Service, around: Deployment) -> Deployment:
    """The surroundings with every address of this machine replaced by the container that a Compose file starts there."""
    published = {port: known for known, port in _published(tree, service)}
    file = next((path for folder in (service.folder, ".") if (path := example_file(tree, folder))), None)
    shown = {} if file is None else {key: Known(text, f"from {file}") for key, text in dotenv(tree.texts[file]).items()}
    env = dict(around.env) or shown
    changed, used = dict(env), dict[str, Known[Dependency]]()
    for name, known in env.items() if published else ():
        here = _HERE.search(known.value)
        sibling = re.sub(r"HOST(NAME)?|SERVER|ADDR(ESS)?", "PORT", name)  # HOST and PORT may be apart
        apart = env[sibling].value if sibling != name and sibling in env else ""
        port = (here[1] or apart) if here else ""
        if here is None or not port.isdigit() or int(port) not in published:
            continue
        need = published[int(port)].value
        used[need.name] = published[int(port)]
        changed[name] = replace(
            known, value=known.value.replace(here[0], f"{need.name}:{need.port}" if here[1] else need.name)
        )
        if not here[1]:
            changed[sibling] = replace(env[sibling], value=str(need.port))
    there = {need.value.name for need in around.needs}
    more = [known for name, known in used.items() if name not in there]
    return replace(around, env=changed, needs=(*around.needs, *more)) if used else around


def _published(tree: Tree, service: Service) -> Iterator[tuple[Known[Dependency], int]]:
    """Containers of Compose files near the service with the port of this machine at which they are reached; none is the service."""
    is_own = own_image(tree)
    homes = (*tree.above[service.folder], service.project.folder if service.project else ".")
    for path, services in compose_files(tree).items():
        folder = tree.folders[path]
        for name, other in services.items() if folder in homes else ():
            need = dependency_of(tree, folder, name, other)
            for given in as_list(other.get("ports")) if need and not is_own(path, other) else ():
                outer, inner = _port_pair(given, examples(tree, folder))
                if need and outer.isdigit() and inner == need.port:
                    yield Known(need, f"from {path}:{_line_of(tree.texts[path], name)}"), int(outer)
