"""What Compose, Kubernetes and build files around a service tell: contexts of Dockerfiles, ports, probes, environment, needs.

They are read as far as they can be understood and never judged: templates (``{{ … }}``) and variables are passed over.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deadweight.records.reference import split
from deadweight_init.compose_files import as_list, compose_files
from deadweight_init.dockerfile import urls
from deadweight_init.environment import env_files, environment, examples, filled_in
from deadweight_init.names import own_names
from deadweight_init.needed import PORTS, command_words, mounted_files, mounted_folders, needed
from deadweight_init.records import Known, Surroundings
from deadweight_init.tree import Tree, aside, folder_of, joined, line_of

ANY = "*"
_OF_COMPOSE = re.compile(r"COMPOSE_|DOCKER_")
"""Variables of a file for a service that mean Compose itself."""

FOR_DEVELOPERS = re.compile(r"[.-](?:dev|test|debug|local|ci|override)\b")
_SETTINGS = (
    ".go",
    ".py",
    ".js",
    ".mjs",
    ".ts",
    ".java",
    ".kt",
    ".rs",
    ".properties",
    ".toml",
    ".ini",
    ".conf",
    "application.yml",
)
_MOST_CODE = 500
"""Files in which a service may name the hosts that it needs; so many are looked into."""


@dataclass(frozen=True)
class ComposeService:
    """A service of a Compose file that is built from the repository."""

    file: str
    name: str
    context: str
    dockerfile: str | None
    target: str | None
    around: Surroundings
    command: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    """Build arguments."""
    published: bool = False
    """It starts the repository's own image as it is published; that is no word on how it is built."""

    @property
    def path(self) -> str:
        """Its Dockerfile, seen from the root."""
        return joined(self.context, self.dockerfile or "Dockerfile")

    @property
    def distance(self) -> tuple[bool, int]:
        """How far its file is from what it starts: the nearest is the deepest, but of those for a published image, which may lie
        anywhere, the one for users lies above those for single cases."""
        depth = self.file.count("/")
        return aside(self.file), depth if self.published else -depth


def compose(tree: Tree) -> tuple[ComposeService, ...]:
    """The services of all Compose files that are built here, in their order."""
    found: list[ComposeService] = []
    is_own = own_image(tree)
    for path, services in compose_files(tree):
        built = {
            each["image"]: each["build"] for each in _mappings(services) if each.get("image") and each.get("build")
        }
        for name, service in services.items():
            build = service.get("build") or built.get(service.get("image")) if isinstance(service, dict) else None
            published = build is None and is_own(path, service)
            if build is None and not published:
                continue
            fields = build if isinstance(build, dict) else {"context": build}
            context = "." if published else joined(folder_of(path), str(fields.get("context") or "."))
            if context.startswith("..") or "$" in context or ":" in context:
                continue
            dockerfile, target = fields.get("dockerfile"), fields.get("target")
            found.append(
                ComposeService(
                    path,
                    str(name),
                    context,
                    str(dockerfile) if dockerfile else None,
                    str(target) if target else None,
                    _around(tree, path, services, str(name), service, context),
                    _command(service, examples(tree, folder_of(path))),
                    environment(fields.get("args"), examples(tree, folder_of(path))),
                    published,
                )
            )
    return tuple(found)


def _command(service: Mapping[str, Any], values: Mapping[str, str]) -> tuple[str, ...]:
    """What a service is started with: its entrypoint, then its command."""
    return (*command_words(service.get("entrypoint"), values), *command_words(service.get("command"), values))


def _mappings(services: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in services.values() if isinstance(each, dict)]


def own_image(tree: Tree) -> Callable[[str, Any], bool]:
    """Tells whether a service of the Compose file at a path is started from the repository's own image, as it is published: by its
    name, or where no file has that, by a part of it."""
    names = own_names(tree)
    exactly = any(
        _image_of(tree, path, each) in names for path, services in compose_files(tree) for each in services.values()
    )

    def told(path: str, service: Any) -> bool:
        image = _image_of(tree, path, service)
        if len(image) < 3 or image in PORTS:
            return False
        return image in names or (not exactly and any(image in name or name in image for name in names))

    return told


def _image_of(tree: Tree, path: str, service: Any) -> str:
    """The last part of the name of a service's image; empty without one."""
    said = service.get("image") if isinstance(service, dict) else None
    reference = filled_in(str(said), examples(tree, folder_of(path))) if said else None
    return posixpath.basename(split(reference)[0]).lower() if reference else ""


def commands(tree: Tree, composed: Sequence[ComposeService]) -> dict[str, tuple[str, ...]]:
    """For each Dockerfile (a path) the command that a Compose file starts its image with; one for developers comes last. For
    ``ANY`` of them the command of the image that the repository publishes.

    A file that only adds to another one (``compose.prod.yaml``) names the service without its ``build``.
    """
    built, found = [each for each in composed if not each.published], dict[str, tuple[str, ...]]()
    said = [(each.file, each.path, each.command) for each in built]
    for file, services in compose_files(tree):
        homes = {each.name: each.path for each in built if folder_of(each.file) == folder_of(file)}
        for name, service in services.items():
            if name in homes and isinstance(service, dict) and "build" not in service:
                said.append((file, homes[name], command_words(service.get("command"), examples(tree, folder_of(file)))))
    listening = {(each.file, each.command) for each in built if each.around.ports}
    ordered = sorted(said, key=lambda each: (bool(FOR_DEVELOPERS.search(each[0])), (each[0], each[2]) not in listening))
    for _, path, command in ordered:
        if command:
            found.setdefault(path, command)
    published = (each.command for each in composed if each.published)
    plain = (each for each in published if each and not any(word.startswith("/") for word in each))
    return {**found, ANY: next(plain, ())}


def _around(
    tree: Tree, path: str, services: Mapping[str, Any], name: str, service: Mapping[str, Any], context: str
) -> Surroundings:
    text = tree.text(path)
    start = re.search(rf"^\s+[\"']?{re.escape(name)}[\"']?:\s*$", text, re.MULTILINE)
    begin = start.start() if start else 0

    def origin(what: str) -> str:
        at = text.find(what, begin)
        return f"from {path}:{line_of(text, at)}" if at >= 0 else f"from {path}"

    ports = [Known(port, origin(shown)) for port, shown in map(_inner_port, as_list(service.get("ports"))) if port]
    test = (service.get("healthcheck") or {}).get("test") or ""
    command = " ".join(map(str, test)) if isinstance(test, list) else str(test)
    health = tuple(Known(found, origin("healthcheck")) for _, found in urls(command))
    secrets = {target: tree.text(file) for target, file in mounted_files(tree, folder_of(path), service).items()}
    given = environment(service.get("environment"), examples(tree, folder_of(path)), secrets)
    shown = env_files(tree, folder_of(path), service.get("env_file"))
    given = {**{name: value for name, value in shown.items() if not _OF_COMPOSE.match(name)}, **given}
    env = {key: Known(value, origin(key)) for key, value in given.items()}
    folder = folder_of(path)
    needs = []
    code = [tree.text(each) for each in tree.below(context, *_SETTINGS) if not aside(each)][:_MOST_CODE]
    for each, called in _depends(services, service, env, code).items():
        need = needed(tree, folder, called, services.get(each))
        if need is not None:
            needs.append(Known(need, f"from {path}:{_line_of_service(text, each)}"))
    volumes = tuple(Known(each, origin(each)) for each in mounted_folders(tree, folder, service))
    files = {target: Known(path, origin(target)) for target, path in mounted_files(tree, folder, service).items()}
    return Surroundings(tuple(ports), health, env, tuple(needs), volumes, files)


def _line_of_service(text: str, name: str) -> int:
    start = re.search(rf"^[ \t]+[\"']?{re.escape(name)}[\"']?:", text, re.MULTILINE)
    return line_of(text, start.start()) if start else 1


def _depends(
    services: Mapping[str, Any], service: Mapping[str, Any], env: Mapping[str, Known[str]], code: Iterable[str] = ()
) -> dict[str, str]:
    """The services that it names, and by which name: depends_on, links, hosts in its environment and in its code."""
    named = [str(each).partition(":")[0] for each in (service.get("depends_on") or service.get("links") or ())]
    hosts = {
        word
        for known in env.values()
        for word in re.findall(r"(?:^|@|//|,)([\w.-]+)(?=[:/,]|$)(?!://|:[^/@,]*@)", known.value)
    }
    called = {name: next((each for each in _names(name, of) if each in hosts), "") for name, of in services.items()}
    for name, each in services.items():
        if not called[name] and isinstance(each, dict) and each.get("image") and not each.get("build"):
            called[name] = name if _is_host(name, code) else ""
    others = (name for name in called if called[name] and services[name] is not service)
    used = dict.fromkeys([*named, *others])
    return {name: called.get(name) or name for name in used}


def _is_host(name: str, code: Iterable[str]) -> bool:
    """Whether code names this host: in an address, with a port, or as a host's value; also as the default of a placeholder,
    ``${HOST:db}``, as Spring has it."""
    quoted = rf"(?:\$\{{[\w.-]+:)?{re.escape(name)}"
    address = rf"(?:://|@){quoted}[}}:/\"']|[\"'`]{quoted}:\d{{2,5}}\b"
    host = re.compile(rf"{address}|host\w*[\"']?\s*[=:,(]\s*[\"']{quoted}\}}?[\"']", re.IGNORECASE)
    return any(host.search(text) for text in code)


def _names(name: str, service: Any) -> Iterator[str]:
    """By which others reach it."""
    yield name
    for key in ("container_name", "hostname"):
        if isinstance(service, dict) and service.get(key):
            yield str(service[key])


def _inner_port(given: Any) -> tuple[int | None, str]:
    """The container's port of one entry under ``ports:``, and the words to look for in the file."""
    if isinstance(given, dict):
        target = str(given.get("target"))
        return (int(target), f"target: {target}") if target.isdigit() else (None, "")
    shown = str(given)
    inner = re.sub(r"\$\{\w+:?-(\d+)\}", r"\1", shown).rpartition(":")[2].partition("/")[0]
    return (int(inner), shown) if inner.isdigit() and 0 < int(inner) < 65536 else (None, "")
