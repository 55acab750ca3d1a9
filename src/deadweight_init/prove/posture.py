"""Find the tightest run settings, of a few, under which a service still starts, and add them to the draft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from deadweight.engine.faults import CannotStart
from deadweight.engine.options import hardened, is_root
from deadweight.suite import model
from deadweight.suite.values import format_bytes
from deadweight_init.draft import Draft, port_hints
from deadweight_init.prove.observe import Down, NotUp, Observation, WhileUp, all_lines, health_note, with_cause
from deadweight_init.records import SEEN, Known, wording
from deadweight_init.tree import may_be_in_memory
from deadweight_workload import openapi

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

T = TypeVar("T")
MIB = 2**20
Wall = tuple[str, Any, str]
"""A key under ``run:`` with the value that it has without a wall, and why."""

LEAST_SECONDS = 15.0
MOST_SECONDS = 240.0


def health_of(seen: Observation) -> model.Health:
    """The suite's health for what was seen. How long a start may take is told by the processor's time that it took: the load of the
    machine that it was seen on is no property of the service."""
    within = max(20.0, min(MOST_SECONDS, round(seen.cpu_seconds * 10)))
    if seen.health.kind != "http":
        return model.Health(kind=seen.health.kind, within_seconds=within)
    status: tuple[int | str, ...] = ("2xx",) if 200 <= seen.health.status < 300 else (seen.health.status,)
    return model.Health(path=seen.health.path, status=status, tls=seen.health.tls, within_seconds=within)


def within(seen: Observation, least: float) -> float:
    """How long a start may take here and now, in seconds: ten times what was seen; above four minutes four times will do."""
    most = max(MOST_SECONDS, round(seen.started_seconds * 4))
    return max(least, min(most, round(seen.started_seconds * 10)))


def tightest(
    engine: Engine,
    image: str,
    seen: Observation,
    wanted: model.RunSettings,
    variant: str,
    hosts: Mapping[str, str] | None = None,
    volumes: tuple[str, ...] = (),
    while_up: WhileUp = lambda _container, _health: None,
) -> Mapping[str, Known[Any]]:
    """Try the hardened posture, then with one wall less each: what of ``run`` the suite is to say, and why it is no tighter.
    Raises NotUp if the service comes up in none.

    ``wanted`` is its environment and its files, ``volumes`` are folders in which it is said to keep data. ``while_up`` is called
    once, with the container that came up.
    """
    user = engine.images.need(image).user
    tries = _Tries(engine, image, user, seen, variant, hosts or {})
    limits = _limits(seen)
    parsed = model.RunSettings.model_validate({key: known.value for key, known in limits.items()})
    base = wanted.model_copy(update={key: getattr(parsed, key) for key in limits})
    as_root = list(_with_capabilities(seen)) if is_root(user) else []
    for walls in (*_postures(seen, volumes), *as_root):
        if as_root and walls is as_root[0] and not tries.holds(_without_walls(base, as_root[-1])):
            break  # it does not even come up with all that root could keep
        if tries.holds(_without_walls(base, walls), while_up):
            settings = {key: _seen(value, why) for key, value, why in walls}
            if "tmpfs" in settings:
                settings["tmpfs"] = replace(settings["tmpfs"], value=[*base.tmpfs, *settings["tmpfs"].value])
            return {**limits, **settings}
    raise NotUp(Down.NOT_HARDENED, wording("down.not_hardened", reason=tries.why))


def _without_walls(base: model.RunSettings, walls: tuple[Wall, ...]) -> model.RunSettings:
    """The settings with some walls less. What is in memory comes to what is there already."""
    changed = {key: tuple(value) if isinstance(value, list) else value for key, value, _ in walls}
    if "tmpfs" in changed:
        changed["tmpfs"] = (*base.tmpfs, *changed["tmpfs"])
    return base.model_copy(update=changed)


@dataclass
class _Tries:
    """One posture after the other; ``why`` is what became of the last one that did not hold."""

    engine: Engine
    image: str
    user: str
    seen: Observation
    variant: str
    hosts: Mapping[str, str]
    why: str = ""

    def holds(self, settings: model.RunSettings, while_up: WhileUp = lambda _container, _health: None) -> bool:
        """Whether the service comes up so, and stays."""
        health, seconds = self.seen.health, within(self.seen, LEAST_SECONDS)
        patient = health_of(self.seen).model_copy(update={"within_seconds": seconds})
        options = hardened(settings, port=health.port, image_user=self.user).but(hosts=self.hosts, tls=health.tls)
        try:
            with self.engine.start(self.image, options, purpose="init", variant=self.variant) as container:
                readiness = container.wait_healthy(patient, health.port)
                if readiness.healthy and health.kind != "exit" and not container.wait_ended(1.0).running:
                    self.why = with_cause(wording("down.then_ended"), all_lines(container))
                elif readiness.healthy:
                    while_up(container, health)
                    return True
                else:
                    self.why = with_cause(readiness.reason, all_lines(container))
        except CannotStart as error:
            self.why = error.message
        return False


_WRITABLE: Wall = ("read_only", False, wording("origin.read_only"))
_AS_ROOT: Wall = ("user", "0:0", wording("origin.as_root"))


def _postures(seen: Observation, volumes: tuple[str, ...]) -> Iterator[tuple[Wall, ...]]:
    """From tight to loose: with its data and what it wrote in memory, without (it may do without), a writable file system, as
    root."""
    written = [path for path in seen.writes if may_be_in_memory(path)]
    data = _topmost(sorted(volumes))  # what the image or its Compose file declares is its user's
    for places in (_topmost(sorted({*written, *volumes})), data) if volumes else ():
        # its data alone too: a tmpfs where it writes among its own files hides these
        yield (("tmpfs", places, wording("origin.works_in_memory")),)
    tight = _in_memory(seen)
    # a tmpfs hides what the image has there, and not everything that is written is needed (a control socket)
    yield from (tight, (), (_WRITABLE,), (*tight, _AS_ROOT)) if tight else ((), (_AS_ROOT,), (_WRITABLE,))
    yield (_WRITABLE, _AS_ROOT)


def _in_memory(seen: Observation) -> tuple[Wall, ...]:
    folders = [folder for folder in _topmost(list(seen.writes)) if may_be_in_memory(folder)]
    return (("tmpfs", folders, wording("origin.writes")),) if folders else ()


_TO_CHANGE_USER = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
_OF_SERVERS = ("KILL", "NET_BIND_SERVICE", "SYS_CHROOT")


def _with_capabilities(seen: Observation) -> Iterator[tuple[Wall, ...]]:
    """As root that keeps some of Docker's capabilities, from tight to loose: many images begin so, and become another user by
    themselves."""
    for names in (_TO_CHANGE_USER, tuple(sorted((*_TO_CHANGE_USER, *_OF_SERVERS)))):
        kept: Wall = ("capabilities", list(names), wording("origin.capabilities"))
        for walls in (_in_memory(seen), (_WRITABLE,)):
            yield (*walls, _AS_ROOT, kept)


def _limits(seen: Observation) -> dict[str, Known[Any]]:
    """Twice what it used and some, in a round number; nothing where the default is enough."""
    default, limits = model.RunSettings(), dict[str, Known[Any]]()
    memory = default.memory
    while memory < seen.memory_bytes * 2:
        memory *= 2
    if memory != default.memory:
        limits["memory"] = _seen(f"{memory >> 20}MiB", wording("origin.memory", memory=format_bytes(seen.memory_bytes)))
    if seen.pids * 2 > default.pids:
        limits["pids"] = _seen(min(4096, seen.pids * 3), wording("origin.pids", number=seen.pids))
    return limits


def _seen(value: T, why: str) -> Known[T]:
    return Known(value, f"{SEEN}: {why}")


def _topmost(folders: list[str]) -> list[str]:
    """Without those that lie in another one."""
    return [folder for folder in folders if not any(folder.startswith(f"{other}/") for other in folders)]


_LONG_SECONDS = 4.0
GRACE_SECONDS = 30
"""``terminationGracePeriodSeconds`` where a manifest says nothing (kubernetes.io, "Pod Lifecycle")."""


def with_seen(draft: Draft, seen: Observation, run: Mapping[str, Known[Any]]) -> Draft:
    """The draft with what was seen."""
    health = health_of(seen)
    more: dict[str, Any] = {"tls": True} if health.tls else {}
    more |= {} if health.within_seconds == 20.0 else {"within_seconds": health.within_seconds}
    if health.kind != "http":
        text = _seen({"kind": health.kind, **more}, health_note(seen.health))
    elif health.status == ("2xx",):
        why = wording(
            "origin.document" if health.path in openapi.SERVED else "origin.answers", status=seen.health.status
        )
        text = _seen({"path": health.path, **more}, why)
    else:
        text = _seen({"path": health.path, "status": list(health.status), **more}, wording("origin.no_2xx"))
    others = [port for port in seen.ports if port != seen.health.port]
    notes = [wording("origin.also_open", ports=", ".join(map(str, others)))] if others else []
    notes += [wording("origin.closed", ports=", ".join(map(str, seen.closed)))] if seen.closed else []
    port = Known(seen.health.port, "; ".join((SEEN if seen.ports else draft.port.origin, *notes)))
    named = {hint.value for hint in port_hints(draft.service)}  # the others may be any port that was free
    if also := [port for port in others if port in named]:
        run = {**run, "ports": _seen(also, wording("origin.listens_too"))}
    service, project = draft.service, draft.service.project
    if project is not None and not run.get("read_only", Known(True)).value:  # it comes up only if it may write there
        service = replace(service, project=replace(project, owned=True))
    return replace(draft, service=service, port=port, health=text, run={**draft.run, **run}, stops=_stops(seen))


def _stops(seen: Observation) -> Known[int] | None:
    """A service that needs a good part of ten seconds to end has those that Kubernetes gives."""
    if seen.stop_seconds is None or seen.stop_seconds < _LONG_SECONDS:
        return None
    return _seen(GRACE_SECONDS, wording("origin.stops", seconds=seen.stop_seconds))
