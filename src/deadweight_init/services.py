"""Find all services in a repository, by Dockerfiles, language projects and apko files, and collect what is known of each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from deadweight.builders import protocol
from deadweight.builders.protocol import is_generated
from deadweight_init.languages.sources import reads_port, repository_document
from deadweight_init.languages.table import CODE, LANGUAGES, MANIFESTS, facts_of
from deadweight_init.records import (
    UNLISTED,
    ComposeService,
    Deployment,
    ImageWords,
    Known,
    OwnDockerfile,
    Project,
    Rung,
    Service,
    wording,
)
from deadweight_init.repository.compose import (
    compose,
    own_names,
    server_of,
    shown_environment,
    start_commands as compose_commands,
    with_local_containers,
)
from deadweight_init.repository.dockerfiles import NOT_FOR_USERS, own_dockerfiles
from deadweight_init.repository.kubernetes import kubernetes
from deadweight_init.tree import Tree, as_mapping, aside, may_be_in_memory


def find_services(tree: Tree, main: str | None = None) -> tuple[Service, ...]:
    """All services of a repository, the likeliest first. ``main`` names the main package or binary, where there are several."""
    composed = compose(tree)
    commands, names = compose_commands(tree, composed), own_names(tree)
    homes: dict[str, list[OwnDockerfile]] = {}
    for own in own_dockerfiles(tree, composed, commands, names):
        if not is_generated(own.text):
            homes.setdefault(_home(tree, own), []).append(own)
    services = []
    for folder, all_own in homes.items():
        for name, mine in by_service(composed, all_own):
            service = _service(tree, folder, mine, main)
            services.append(replace(service, name=plain_name(name)) if name else service)
    for folder in dict.fromkeys(tree.folders[path] for path in tree.named[MANIFESTS]):
        if not any(_covers(known, folder) for known in services):
            service = _service(tree, folder, (), main)
            # a root that only holds packages together (a workspace) is none, and hides none of them
            if service.project and not service.project.problem:
                services.append(service)
    if not services:
        service = _service(tree, ".", (), main)
        services = [service] if service.more or facts_of(service.project).pages else []
    services = _with_surroundings(tree, composed, _named(tree, services))
    heard = {service.folder for service in services if listens(service)}
    return tuple(sorted(services, key=lambda service: rank(service, service.folder in heard and not listens(service))))


def by_service(
    composed: Sequence[ComposeService], own: Sequence[OwnDockerfile]
) -> Iterator[tuple[str, list[OwnDockerfile]]]:
    """The Dockerfiles of one folder by service, each with its name: those that one Compose file builds as different services are
    not ways to build the same. Without such a file they are one service's, which has no name of its own."""
    paths = {file.path for file in own if not file.refused and not NOT_FOR_USERS.search(posixpath.basename(file.path))}
    for file in dict.fromkeys(service.file for service in composed):
        names: dict[str, str] = {}
        for service in composed:
            if service.file == file and service.path in paths and not service.published:
                names.setdefault(service.path, service.name)
        if len(names) > 1:
            first = next(iter(names))
            for path in (path for path in names if path != first):
                yield names[path], [image for image in own if image.path == path]
            yield names[first], [image for image in own if image.path == first or image.path not in names]
            return
    yield "", list(own)


def problems_of(tree: Tree) -> Iterator[str]:
    """Why no images can be made of the projects that are there."""
    for folder in dict.fromkeys(tree.folders[path] for path in tree.named[MANIFESTS]):
        project = _project(tree, folder, None, None)
        if project is not None and project.problem:
            yield wording("problem.of_program", language=project.language, folder=folder, reason=project.problem)


def _covers(service: Service, folder: str) -> bool:
    """Whether a folder belongs to a service: to its own folder, or to its program's, which may lie above its Dockerfile. A
    Dockerfile alone that waits for another build hides no project below it."""
    project = service.project
    if project is None and all(own.refused for own in service.dockerfiles):
        return False
    homes = (service.folder, *((project.folder,) if project else ()))
    return any(home in (folder, ".") or folder.startswith(f"{home}/") for home in homes)


def _named(tree: Tree, services: Sequence[Service]) -> Sequence[Service]:
    """The only one of a repository is named as that is: ``src`` and ``server`` tell nobody anything."""
    own = [service for service in services if not aside(f"{service.folder}/x")]
    if len(own) != 1:
        return services
    return [replace(service, name=plain_name(tree.root.name)) if service is own[0] else service for service in services]


def _home(tree: Tree, own: OwnDockerfile) -> str:
    """The folder of its service: its own where a program is there too, else its context."""
    folder = tree.folders[own.path]
    if own.refused:  # its context cannot be told from what is there
        homes = {tree.folders[path] for path in tree.named[MANIFESTS]}
        return next((home for home in tree.above[folder] if home in homes), own.context)
    programs = tree.named[MANIFESTS + r"|main\.go|main\.py|app\.py|server\.js"]
    return folder if any(tree.folders[path] == folder for path in programs) else own.context


def _service(tree: Tree, folder: str, ordered: Sequence[OwnDockerfile], main: str | None) -> Service:
    words = ordered[0].words if ordered else None
    project = _project(tree, folder, words, main)
    if project is None and ordered and ordered[0].context != folder:
        project = _project(tree, ordered[0].context, words, main)
    if project is None and ordered:
        project = _project_below(tree, folder, ordered[0])
    name = posixpath.basename(folder) if folder != "." else tree.root.name
    home = project.folder if project else folder
    more = tuple(_apko_rungs(tree, home))
    # as platforms give it
    taken = next((image for image in ordered if re.search(r"\$\{?PORT\b", " ".join(image.words.words))), None)
    variable = Known("PORT", f"from {taken.path}: {wording('origin.command')}") if taken else None
    variable = variable or reads_port(tree, home, project.start if project else (), facts_of(project).code)
    described = repository_document(tree, home)
    base = Service(plain_name(name), folder, tuple(ordered), project)
    return replace(base, port_variable=variable, more=more, described=described)


def _project_below(tree: Tree, folder: str, own: OwnDockerfile) -> Project | None:
    """The program in a folder further down: the one that the Dockerfile copies from, else the only one."""
    projects = []
    for below in dict.fromkeys(tree.folders[path] for path in tree.named[MANIFESTS]):
        inside = below != folder and (folder == "." or below.startswith(f"{folder}/")) and not aside(f"{below}/x")
        project = _project(tree, below, own.words, None) if inside else None
        if project is not None and not project.problem:
            projects.append(project)
    program = posixpath.basename((own.words.program or ("",))[0])
    started = [project for project in projects if program and program in project.programs]
    paths = {posixpath.relpath(project.folder, own.context): project for project in projects}
    copied = [project for path, project in paths.items() if re.search(rf"[\s=/]{re.escape(path)}/", own.text)]
    return next(iter((*started, *copied, *(projects if len(projects) == 1 else []))), None)


def _project(tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> Project | None:
    """The project of a folder. Of several languages the one that the own image is built on, else the first that can be started;
    pages only if there is nothing else."""
    projects = [*filter(None, (language.find(tree, folder, words, main) for language in LANGUAGES.values()))]
    based = [project for project in projects if words and re.search(facts_of(project).bases, words.base)]
    best = based or [project for project in projects if facts_of(project).manifests] or projects
    return min(best, key=lambda project: (bool(project.problem), project.kind == UNLISTED), default=None)


def _with_surroundings(tree: Tree, composed: Sequence[ComposeService], services: Sequence[Service]) -> list[Service]:
    complete = []
    for service in services:
        paths = {dockerfile.path for dockerfile in service.dockerfiles}
        mine = [entry for entry in composed if entry.path in paths or entry.context == service.folder]
        whole = len(services) == 1 or service.folder == "."
        names = {*_names(service), *([plain_name(tree.root.name)] if whole else [])}
        foreign = {name for other in services if other is not service for name in _names(other)} - {service.name}
        near = [entry for entry in mine if entry.published or tree.folders[entry.file] in tree.above[service.folder]]
        # else one that lies elsewhere (deploy/compose.yaml)
        near = near or [entry for entry in mine if entry.path in paths and not tree.is_aside[entry.file]]
        first = service.dockerfiles[0].path if service.dockerfiles else ""
        near.sort(key=lambda entry: _distance(tree, entry, first))
        inner = kubernetes(tree, "." if len(services) == 1 else service.folder, names, foreign)
        outer = with_local_containers(tree, service, near[0].around if near else Deployment())
        both = replace(outer, ports=(*outer.ports, *inner.ports), health=(*outer.health, *inner.health))
        both = replace(both, volumes=both.volumes or inner.volumes)
        # much of a cluster names what is only there, so it is tried where the service does not come up without
        given = {name: known.value for name, known in inner.env.items()}
        shown = tuple(shown_environment(tree, service))
        spare = (*shown, *(Known(given, known.origin) for known in tuple(inner.env.values())[:1]))
        if not near and inner.needs:
            both, spare = replace(both, env=inner.env, needs=inner.needs), shown
        complete.append(with_own_mounts(replace(service, around=both, spare=spare)))
    return complete


def _distance(tree: Tree, composed: ComposeService, first: str) -> tuple[bool | int, ...]:
    """The nearest file is the deepest; of those for a published image the one for users lies above those for single cases."""
    depth = composed.file.count("/") * (2 * composed.published - 1)
    aside_or_not = tree.is_aside[composed.file]
    return (composed.published, composed.path != first, aside_or_not, depth, not composed.around.ports)


def _names(service: Service) -> tuple[str, ...]:
    return (service.name, service.project.name) if service.project else (service.name,)


def plain_name(name: str) -> str:
    """A name as suites take it."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")
    return plain[:60].strip("._-") or "service"


_IN_FRONT = frozenset(("frontend", "front-end", "client", "ui", "proxy", "nginx", "gateway", "ingress"))
"""Folders of what shows or passes on what another service answers."""


def rank(service: Service, is_quiet: bool) -> tuple[bool | int | str, ...]:
    """To sort by, the likeliest first. ``is_quiet``: it names no port, and another service of the same folder does: it is a worker
    of that. A database with settings of the repository's is what its services need."""
    usable = any(not dockerfile.refused for dockerfile in service.dockerfiles)
    ladder = service.project is not None and not service.project.problem
    database = any(server_of(dockerfile.words.base) is not None for dockerfile in service.dockerfiles)
    depth = 0 if service.folder == "." else service.folder.count("/") + 1
    pages = facts_of(service.project).pages
    in_front = pages or posixpath.basename(service.folder).lower() in _IN_FRONT
    is_aside, needs = aside(f"{service.folder}/x"), bool(service.around.needs)
    last = (in_front, is_quiet, depth, needs, service.folder)
    return (is_aside, database and not ladder, not ladder, not usable, *last)


def listens(service: Service) -> bool:
    """Whether its Dockerfile or a Compose file names a port of it."""
    return bool(service.around.ports) or any(dockerfile.words.ports for dockerfile in service.dockerfiles)


_MADE = frozenset(
    ("node_modules", ".venv", "venv", "vendor", "target", ".next", ".cache", "__pycache__", ".gradle", ".m2")
)
"""Folders that an image or a build fills: a volume only keeps them from what is mounted around them."""


_CODE = re.compile(r"/(?:app|code|src|usr/src|workspaces?|home/node|var/www|opt/app|go/src)(?:/|$)")
"""Where images of others are given code: one that is made here has its own there."""


def with_own_mounts(service: Service) -> Service:
    """The service with what its platform gives it: data and settings, and no code that its image has already."""
    own = [dockerfile.words for dockerfile in service.dockerfiles]
    around = service.around
    made = service.project is not None and not facts_of(service.project).pages
    files = {
        target: known
        for target, known in around.files.items()
        if not (_is_code(known.value) and any(_is_in(target, place) for words in own for place in _places(words)))
        and (own or not _CODE.match(target))
        and not ((made or not own) and known.value in (".", service.folder))
    }
    volumes = (path for path in around.volumes if _is_data(path.value, own) and (own or not _CODE.match(path.value)))
    around = replace(around, files=files, volumes=tuple(volumes))
    data = [tuple(known for known in words.volumes if _is_data(known.value, own)) for words in own]
    pairs = zip(service.dockerfiles, data, strict=True)
    images = tuple(replace(image, words=replace(image.words, volumes=kept)) for image, kept in pairs)
    return replace(service, around=around, dockerfiles=images)


def _is_code(path: str) -> bool:
    """Whether a mount may hide what an image has: a folder, or a file of a program, but no file of settings."""
    return not posixpath.splitext(path)[1] or path.endswith(CODE)


def _is_data(folder: str, own: Iterable[ImageWords]) -> bool:
    """Whether nothing of the image or its system is hidden where this folder is empty."""
    hides = posixpath.basename(folder) in _MADE or not may_be_in_memory(folder)
    return not hides and not any(_is_in(place, folder) for words in own for place in _places(words))


def _places(words: ImageWords) -> tuple[str, ...]:
    return tuple(place for place in (words.workdir, *words.taken) if place != "/")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


_APKO = r"(?:[\w.-]+\.)?apko(?:[.-][\w.-]+)?\.ya?ml"
_MELANGE = r"(?:[\w.-]+\.)?melange(?:[.-][\w.-]+)?\.ya?ml"


def _apko_rungs(tree: Tree, folder: str) -> Iterator[Rung]:
    """The apko files of a service, each with the melange files whose packages it lists."""
    mine = [path for path in tree.named[_APKO] if not tree.is_aside[path] and folder in tree.above[tree.folders[path]]]
    melange = (path for path in tree.named[_MELANGE] if not tree.texts[path].startswith(protocol.MELANGE))
    packages = {path: as_mapping(tree.data[path].get("package")).get("name") for path in melange}
    contents = {path: as_mapping(tree.data[path].get("contents")) for path in mine}
    own = {path: content for path, content in contents.items() if content and not is_generated(tree.texts[path])}
    for number, (path, content) in enumerate(own.items(), 1):
        listed = {re.split(r"[=<>~@]", str(package))[0] for package in content.get("packages") or ()}
        made = [file for file, name in packages.items() if name in listed]
        name = "today-apko" if number == 1 else f"today-apko-{number}"
        keys = {"config": path, **({"packages": made} if made else {})}
        if folder != ".":
            keys["source"] = folder
        yield Rung(name, "apko", wording("rung.as_it_is", file=path), keys)
