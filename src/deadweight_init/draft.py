"""What is going to be written: a service's rungs, and every value with its origin."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from deadweight_init.languages import flavours, golang, java, node, python, rust, static, trimmed
from deadweight_init.languages.common import flow, scalar, sequence
from deadweight_init.needed import as_yaml
from deadweight_init.records import GUESSED, Known, Ladder, OwnDockerfile, Project, Rung, Service, first

T = TypeVar("T")

DEFAULT_PORT = 8080
MOST_OWN = 4


@dataclass(frozen=True)
class Recorded:
    """A first api check: what a GET gave. ``json`` is YAML's flow style (which JSON is), None where the body is not held.

    ``differs``: other builds answer otherwise in a part of it, which is held no longer.
    """

    path: str
    status: int
    content_type: str = ""
    json: str | None = None
    text: str | None = None
    differs: bool = False


@dataclass(frozen=True)
class Draft:
    """``run`` are the defaults' keys under ``run:``; ``own`` are more keys of single rungs; all as YAML text. ``prints`` is a
    line of a job's that it writes each time. ``stops`` is within how many seconds it ends, where ten are few.

    ``accepted`` is what the gates of single rungs let pass that a service should not have. ``unattacked`` is why its attacks are
    left out. ``suite`` is the suite's name; where it is not empty, this is one of several services of it. ``flavoured``: the own
    Dockerfile has rungs on other bases too, as no generated image does.
    """

    service: Service
    place: str
    port: Known[int]
    health: Known[str]
    run: Mapping[str, Known[str]] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Known[str]]] = field(default_factory=dict)
    api: tuple[Recorded, ...] = ()
    prints: str = ""
    stops: Known[int] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    proven: bool = False
    not_runnable: str = ""
    unattacked: str = ""
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suite: str = ""
    flavoured: bool = False

    def full(self, name: str) -> str:
        """A rung's name as a variant of the suite."""
        return f"{self.service.name}.{name}" if self.suite else name

    @property
    def ladder(self) -> Ladder:
        """All rungs with what is known by now, those that are left out marked."""
        made = _generated(self)
        rungs = (*own_rungs(self.service), *made.rungs)
        marked = (replace(each, refused=each.refused or self.left_out.get(each.name, "")) for each in rungs)
        return Ladder(tuple(marked), {**made.files, **self.service.beside_files})

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Those that are written as variants."""
        return tuple(each for each in self.ladder.rungs if not each.refused)

    @property
    def files(self) -> dict[str, str]:
        """What is written for the rungs that are kept, with its text."""
        kept = {name for rung in self.rungs for name in rung.files} | set(self.service.beside_files)
        return {name: text for name, text in self.ladder.files.items() if name in kept}


def first_draft(service: Service, place: str, port: int | None = None, health: str | None = None) -> Draft:
    """What can be said before anything was run. ``port`` and ``health`` are the user's word."""
    ports, paths = port_hints(service), health_hints(service)
    chosen = Known(port, "given") if port else first(*ports) or Known(DEFAULT_PORT)
    path = Known(health, "given") if health else first(*paths)
    probe = service.around.probe
    if probe is not None and (path is None or path.origin.startswith(GUESSED)):
        told = Known(f"{{kind: {probe.value}}}", probe.origin)
    elif path is None:
        told = Known("{path: /, status: [2xx, 3xx, 4xx]}", GUESSED)
    else:
        told = Known(f"{{path: {scalar(path.value)}}}", path.origin)
    return Draft(service, place, chosen, told, run_of(service, chosen))


def run_of(service: Service, port: Known[int]) -> dict[str, Known[str]]:
    """What its surroundings say of how it is run: the keys under ``run:``."""
    env = dict(service.around.env)
    variable = service.port_variable
    if variable is not None and not any(variable.value in each.words.env for each in service.dockerfiles):
        env.setdefault(variable.value, Known(str(port.value), variable.origin))
    run: dict[str, Known[str]] = {}
    if env:
        run["env"] = Known(flow({key: value.value for key, value in env.items()}), next(iter(env.values())).origin)
    if service.volumes:
        told = Known(sequence(("/tmp", *sorted(service.volumes))), _volume_origin(service))  # noqa: S108
        run["tmpfs"] = told
    if service.around.files:
        files = {target: known.value for target, known in service.around.files.items()}
        run["files"] = Known(flow(files), next(iter(service.around.files.values())).origin)
    if (needs := as_yaml(service.around.needs, 6)) is not None:
        run["needs"] = needs
    return run


def _volume_origin(service: Service) -> str:
    return f"{next(iter(service.volumes.values()))}: its data, in memory, where nothing is kept"


def port_hints(service: Service) -> tuple[Known[int], ...]:
    """Likely ports, the most credible first."""
    own = [port for each in service.dockerfiles for port in each.words.ports]
    env = [each.words.env.get("PORT", "") for each in service.dockerfiles]
    told = [Known(int(value), "from ENV PORT") for value in env if value.isdigit()]
    code = service.project.ports if service.project else ()
    shown = [
        Known(int(value), each.origin)
        for each in service.spare
        for name, value in each.value.items()
        if _PORT.fullmatch(name) and value.isdigit() and 0 < int(value) < 65536
    ]
    return _each_once((*own, *service.around.ports, *told, *shown, *code))


_PORT = re.compile(r"(?:APP_|SERVER_|HTTP_|API_|WEB_)?PORT")


def health_hints(service: Service) -> tuple[Known[str], ...]:
    """Likely health paths, the most credible first."""
    own = [path for each in service.dockerfiles for path in each.words.health]
    code = service.project.health if service.project else ()
    found = [each for each in (*own, *service.around.health, *code) if re.fullmatch(r"/[!-~]*", each.value)]
    return _each_once(found)


def _each_once(found: Iterable[Known[T]]) -> tuple[Known[T], ...]:
    """Without what was told before by a better source."""
    kept: dict[T, Known[T]] = {}
    for each in found:
        kept.setdefault(each.value, each)
    return tuple(kept.values())


def own_rungs(service: Service) -> Iterator[Rung]:
    """The Dockerfiles and apko files that are there, as they are."""
    taken: set[str] = set()
    for number, each in enumerate(service.dockerfiles):
        name = "today" if number == 0 else _name(each)
        while name in taken:
            name += "-2"
        taken.add(name)
        refused = each.refused or ("" if number < MOST_OWN else f"only the first {MOST_OWN} Dockerfiles are used")
        keys = {"dockerfile": each.path, **({} if each.context == "." else {"source": each.context})}
        if each.target:
            keys["target"] = scalar(each.target)
        if each.build_args:
            keys["args"] = flow(each.build_args)
        if each.args:
            keys["run"] = f"{{args: [{', '.join(map(scalar, each.args))}]}}  # {each.args_origin}"
        yield Rung(name, "dockerfile", f"{each.path}, as it is", keys, (), refused)
    yield from service.more


def _name(own: OwnDockerfile) -> str:
    base = posixpath.basename(own.path)
    part = re.sub(r"(?i)\.?(dockerfile|containerfile)[.-]?", "", base) or posixpath.basename(
        posixpath.dirname(own.path)
    )
    plain = re.sub(r"[^a-z0-9._-]+", "-", part.lower()).strip("._-")
    return f"today-{plain}"[:60].strip("._-") if plain else "today-other"


def _generated(draft: Draft) -> Ladder:
    service, place = draft.service, draft.place
    project = service.project
    if project is None or project.problem:
        return flavours.ladder(service, place)
    ladder = _of_language(draft, project)
    more = trimmed.rung(service, project, place, draft.port.value, service.own.text if service.own else "")
    if more is not None:
        ladder = Ladder((*ladder.rungs, more[0]), {**ladder.files, **more[1]})
    other = flavours.beside(service, place) if draft.flavoured else Ladder(())
    return Ladder((*ladder.rungs, *other.rungs), {**ladder.files, **other.files})


def _of_language(draft: Draft, project: Project) -> Ladder:
    service, place, port = draft.service, draft.place, draft.port.value
    # a health check in the image asks a path that was seen to answer, not one that was guessed
    path = (
        None
        if GUESSED in draft.health.origin
        else re.search(r"^\{path: ([^,}]+)(?!.*(?:status|tls))", draft.health.value)
    )
    health = path[1] if path else None
    if project.language == "go":
        return golang.ladder(service, project, place, port)
    if project.language == "python":
        return python.ladder(service, project, place, port, health)
    if project.language == "node":
        return node.ladder(service, project, place, port, health)
    if project.language == "java":
        return java.ladder(service, project, place, port)
    if project.language == "static":
        return static.ladder(service, project, place, port)
    return rust.ladder(service, project, place, port)
