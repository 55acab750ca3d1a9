"""Draft a suite for one service before any build: its variants, values, origins."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from deadweight.suite.values import Unproven
from deadweight_init.derive.dockerfile import ladder as derived_ladder, lost_instructions, parse
from deadweight_init.derive.runtime import RuntimeFiles
from deadweight_init.languages.table import LANGUAGES
from deadweight_init.records import GIVEN, Change, Code, Known, Ladder, OwnDockerfile, Rung, Service, wording
from deadweight_init.repository.compose import needs_data

T = TypeVar("T")

DEFAULT_PORT = 8080
UNWATCHED = wording("refused.unwatched")
MOST_OWN = 4


@dataclass(frozen=True)
class Doubt:
    """One reason. ``what`` is what was seen."""

    code: Unproven
    what: str


@dataclass(frozen=True)
class Recorded:
    """A first api check: what a GET gave. ``json`` is the document as JSON, None where the body is not held."""

    path: str
    status: int
    content_type: str = ""
    json: str | None = None
    text: str | None = None
    port: int | None = None
    """Where it is asked, if that is not the service's own port."""


@dataclass(frozen=True)
class Draft:
    """``run`` are the defaults' keys under ``run:``; ``own`` are more keys of single rungs; all as data. ``prints`` is a
    line of a job's that it writes each time. ``stops`` is within how many seconds it ends, where ten are few.

    ``accepted`` is what the gates of single rungs let pass that a service should not have. ``unattacked`` is why its attacks are
    left out. ``suite`` is the suite's name; where it is not empty, this is one of several services of it. ``own_fails``: the own
    Dockerfile does not build here, so nothing is derived from it. ``runtime`` is what it runs on, or why that is unknown.
    ``untried`` are rungs that the time did not suffice for, with the reasons; ``doubts`` are why what runs proves little.
    """

    service: Service
    place: str
    port: Known[int]
    health: Known[Mapping[str, Any]]
    run: Mapping[str, Known[Any]] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Known[Any]]] = field(default_factory=dict)
    api: tuple[Recorded, ...] = ()
    prints: str = ""
    stops: Known[int] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    proven: bool = False
    down: Mapping[str, str] = field(default_factory=dict)
    """Rungs that were built and do not come up, with the reasons."""
    is_tried: bool = False
    """Whether the suite is being proved, or was: then it says what of it was not tried."""
    unattacked: str = ""
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suite: str = ""
    own_fails: bool = False
    runtime: RuntimeFiles | str = UNWATCHED
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings of the own image as it was built."""
    set_otherwise: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    """Which of these settings other rungs do not have, as these were built."""
    untried: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    works: int = 0
    known: int = 0
    """How many operations of the service are known, and how many of them were seen to work; once rungs are compared, in all."""
    remedies: tuple[str, ...] = ()
    """The names of those that were used, in order."""

    @property
    def derived_from(self) -> OwnDockerfile | None:
        """The own Dockerfile from which rungs are derived."""
        own = self.service.own
        return None if own is None or own.refused or self.own_fails else own

    def full(self, name: str) -> str:
        """A rung's name as a variant of the suite."""
        return f"{self.service.name}.{name}" if self.suite else name

    @property
    def uncompared(self) -> tuple[str, ...]:
        """Rungs that come up and pass, and whose answers were not held to those of the first."""
        changed = ((rung, change.code) for rung, changes in self.set_otherwise.items() for change in changes)
        return tuple(rung for rung, code in changed if code is Code.NOT_COMPARED)

    @property
    def ladder(self) -> Ladder:
        """All rungs with what is known by now, those that are left out marked."""
        made, marked = _made(self), list[Rung]()
        for rung in (*own_rungs(self.service), *made.rungs):
            refused = rung.refused or self.left_out.get(rung.name, "")
            changes = (*rung.changes, *self.set_otherwise.get(rung.name, ()))
            marked.append(replace(rung, refused=refused, changes=changes))
        return Ladder(tuple(marked), made.files)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Those that are written as variants."""
        return tuple(rung for rung in self.ladder.rungs if not rung.refused)

    @property
    def variants(self) -> tuple[Rung, ...]:
        """What the suite has: the rungs, and where all of them failed these, as a suite needs one to be built again."""
        failed = (rung for rung in self.ladder.rungs if rung.name in self.left_out)
        return self.rungs or tuple(replace(rung, refused="") for rung in failed)

    @property
    def files(self) -> dict[str, str]:
        """What is written for the rungs that are kept, with its text."""
        kept = {name for rung in self.variants for name in rung.files}
        return {name: text for name, text in self.ladder.files.items() if name in kept}


def first_draft(service: Service, place: str, port: int | None = None, health: str | None = None) -> Draft:
    """What can be said before anything was run. ``port`` and ``health`` are the user's word."""
    ports, paths = port_hints(service), health_hints(service)
    chosen = Known(port, GIVEN) if port else next(iter(ports), Known(DEFAULT_PORT))
    path = Known(health, GIVEN) if health else next(iter(paths), None)
    anything: dict[str, Any] = {"path": "/", "status": ["2xx", "3xx", "4xx"]}
    check = Known({"path": path.value}, path.origin) if path else Known(anything)
    return Draft(service, place, chosen, check, run_of(service, chosen))


def run_of(service: Service, port: Known[int]) -> dict[str, Known[Any]]:
    """What its surroundings say of how it is run: the keys under ``run:``."""
    env = dict(service.around.env)
    variable = service.port_variable
    if variable is not None and not any(variable.value in dockerfile.words.env for dockerfile in service.dockerfiles):
        env.setdefault(variable.value, Known(str(port.value), variable.origin))
    run: dict[str, Known[Any]] = {}
    if env:
        run["env"] = Known({key: value.value for key, value in env.items()}, next(iter(env.values())).origin)
    if service.volumes:
        origin = f"{next(iter(service.volumes.values()))}: {wording('origin.data')}"
        run["tmpfs"] = Known(["/tmp", *sorted(service.volumes)], origin)  # noqa: S108
    if service.around.files:
        files = {target: known.value for target, known in service.around.files.items()}
        run["files"] = Known(files, next(iter(service.around.files.values())).origin)
    if (needs := needs_data(service.around.needs)) is not None:
        run["needs"] = needs
    return run


def port_hints(service: Service) -> tuple[Known[int], ...]:
    """Likely ports, the most credible first."""
    own = [port for dockerfile in service.dockerfiles for port in dockerfile.words.ports]
    env = (dockerfile.words.env.get("PORT", "") for dockerfile in service.dockerfiles)
    from_env = [Known(int(value), "from ENV PORT") for value in env if value.isdigit()]
    code = service.project.ports if service.project else ()
    shown = [
        Known(int(value), known.origin)
        for known in service.spare
        for name, value in known.value.items()
        if _PORT.fullmatch(name) and value.isdigit() and 0 < int(value) < 65536
    ]
    return _unique((*own, *service.around.ports, *from_env, *shown, *code))


def declared_ports(draft: Draft) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ports that the user, the image or its surroundings name (what code may listen on is a guess), and those that must open.

    Many images name ports that are off unless they are asked for (metrics, TLS), and many Compose files those of a debugger.
    """
    given = [draft.port.value] if draft.port.origin == GIVEN else []
    own = [port.value for image in draft.service.dockerfiles[:1] for port in image.words.ports]
    around = [port.value for port in draft.service.around.ports]
    both = [port for port in own if port in around] if own and around else [*own, *around][:1]
    return tuple(dict.fromkeys((*given, *own, *around))), tuple(given or both)


_PORT = re.compile(r"(?:APP_|SERVER_|HTTP_|API_|WEB_)?PORT")


def health_hints(service: Service) -> tuple[Known[str], ...]:
    """Likely health paths, the most credible first."""
    own = [path for dockerfile in service.dockerfiles for path in dockerfile.words.health]
    code = service.project.health if service.project else ()
    return _unique(path for path in (*own, *service.around.health, *code) if re.fullmatch(r"/[!-~]*", path.value))


def _unique(hints: Iterable[Known[T]]) -> tuple[Known[T], ...]:
    """Without what was told before by a better source."""
    kept: dict[T, Known[T]] = {}
    for hint in hints:
        kept.setdefault(hint.value, hint)
    return tuple(kept.values())


def own_rungs(service: Service) -> Iterator[Rung]:
    """The Dockerfiles and apko files that are there, as they are."""
    taken: set[str] = set()
    for number, dockerfile in enumerate(service.dockerfiles):
        name = "today" if number == 0 else _name(dockerfile)
        while name in taken:
            name += "-2"
        taken.add(name)
        refused = dockerfile.refused or ("" if number < MOST_OWN else wording("refused.too_many", most=MOST_OWN))
        yield Rung(name, "dockerfile", wording("rung.as_it_is", file=dockerfile.path), _keys(dockerfile), (), refused)
    yield from service.more


def _keys(own: OwnDockerfile) -> dict[str, Any]:
    keys: dict[str, Any] = {"dockerfile": own.path, **({} if own.context == "." else {"source": own.context})}
    if own.target:
        keys["target"] = own.target
    if own.build_args:
        keys["args"] = own.build_args
    if own.args:
        keys["run"] = Known({"args": list(own.args)}, "from your Compose file")
    return keys


def _name(own: OwnDockerfile) -> str:
    folder, base = posixpath.split(own.path)
    part = re.sub(r"(?i)\.?(dockerfile|containerfile)[.-]?", "", base) or posixpath.basename(folder)
    plain = re.sub(r"[^a-z0-9._-]+", "-", part.lower()).strip("._-")
    return f"today-{plain}"[:60].strip("._-") if plain else "today-other"


def _made(draft: Draft) -> Ladder:
    """What is derived from the own Dockerfile, with the rungs that need none; recipes only if there is nothing to derive from."""
    project, own = draft.service.project, draft.service.own
    made = ladder = Ladder(())
    if project is not None and not project.problem:
        made = LANGUAGES[project.language].ladder(draft.service, project, draft.place, draft.port.value)
    if own is None or own.refused:
        return made
    parsed, more = parse(own), [rung for rung in made.rungs if rung.builder != "dockerfile"]
    if parsed is not None:
        more = [replace(rung, changes=lost_instructions(parsed, rung, made.files)) for rung in more]
    if parsed is not None and not draft.own_fails:
        ladder = derived_ladder(own, draft.place, _keys(own), draft.runtime, draft.config)
    files = {name: made.files[name] for rung in more for name in rung.files}
    return Ladder((*ladder.rungs, *more), {**files, **ladder.files})
