"""The tightest of a few postures in which a service still comes up; each is tried, none is assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadweight.engine.faults import CannotStart
from deadweight.engine.options import hardened, is_root
from deadweight.suite import model
from deadweight.suite.values import format_bytes
from deadweight_init.coming_up import with_cause
from deadweight_init.observe import Seen, WhileUp, may_be_in_memory
from deadweight_init.records import Known

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

MIB = 2**20
LEAST_SECONDS = 15.0
MOST_SECONDS = 240.0


@dataclass(frozen=True)
class Posture:
    """``run`` as the suite is to say it; ``reason`` says why it is no tighter."""

    settings: model.RunSettings
    told: Mapping[str, Known[Any]]
    problem: str = ""


def health_of(seen: Seen) -> model.Health:
    """The suite's health for what was seen. How long a start may take is told by the processor's time that it took: the load of the
    machine that it was seen on is no property of the service."""
    within = max(20.0, min(MOST_SECONDS, round(seen.cpu_seconds * 10)))
    if seen.health.kind != "http":
        return model.Health(kind=seen.health.kind, within_seconds=within)
    status = seen.health.status
    return model.Health(
        path=seen.health.path,
        status=("2xx",) if 200 <= status < 300 else (status,),
        tls=seen.health.tls,
        within_seconds=within,
    )


def _within(seen: Seen, least: float) -> float:
    """How long a start may take here and now, in seconds: ten times what was seen; above four minutes four times will do."""
    most = max(MOST_SECONDS, round(seen.started_seconds * 4))
    return max(least, min(most, round(seen.started_seconds * 10)))


def tightest(
    engine: Engine,
    image: str,
    seen: Seen,
    wanted: model.RunSettings,
    variant: str,
    hosts: Mapping[str, str] | None = None,
    volumes: tuple[str, ...] = (),
    while_up: WhileUp = lambda _container, _health: None,
) -> Posture:
    """Try the hardened posture, then with one wall less each; ``problem`` where the service comes up in none.

    ``wanted`` is its environment and its files, ``volumes`` are folders in which it is said to keep data. ``while_up`` is called
    once, with the container that came up.
    """
    user = engine.images.need(image).user
    tries = _Tries(engine, image, user, seen, variant, hosts or {})
    for settings, told in _postures(seen, wanted, volumes):
        if tries.holds(settings, while_up):
            return Posture(settings, told)
    as_root = list(_with_capabilities(seen, wanted)) if is_root(user) else []
    if as_root and tries.holds(as_root[-1][0], _nothing):
        for settings, told in as_root:
            if tries.holds(settings, while_up):
                return Posture(settings, told)
    return Posture(wanted, {}, tries.why)


@dataclass
class _Tries:
    """One posture after the other; ``why`` is what became of the last one that did not hold."""

    engine: Engine
    image: str
    user: str
    seen: Seen
    variant: str
    hosts: Mapping[str, str]
    why: str = ""

    def holds(self, settings: model.RunSettings, while_up: WhileUp) -> bool:
        """Whether the service comes up so, and stays."""
        health = self.seen.health
        options = hardened(settings, port=health.port, image_user=self.user).but(hosts=self.hosts, tls=health.tls)
        try:
            with self.engine.start(self.image, options, purpose="init", variant=self.variant) as container:
                found = container.wait_healthy(_patient(self.seen), health.port)
                if found.healthy and health.kind != "exit" and not container.wait_ended(1.0).running:
                    self.why = with_cause("it started, and then ended", container)
                elif found.healthy:
                    while_up(container, health)
                    return True
                else:
                    self.why = with_cause(found.reason, container)
        except CannotStart as error:
            self.why = error.message
        return False


def _nothing(container: object, health: object) -> None:
    """What is done with a container that only shows whether a service comes up."""


def _patient(seen: Seen) -> model.Health:
    return health_of(seen).model_copy(update={"within_seconds": _within(seen, LEAST_SECONDS)})


def _postures(
    seen: Seen, wanted: model.RunSettings, volumes: tuple[str, ...]
) -> Iterator[tuple[model.RunSettings, dict[str, Known[Any]]]]:
    """From tight to loose: with its data and what it wrote in memory, without (it may do without), a writable file system, as
    root."""
    memory, limits = _limits(seen)
    base = wanted.model_copy(update={"memory": memory, "pids": _pids(seen)})
    data = _tops(tuple(sorted(volumes)))  # what the image or its Compose file declares is its user's
    written = (each for each in seen.writes if may_be_in_memory(each))
    for places in dict.fromkeys((_tops(tuple(sorted({*written, *volumes}))), data) if volumes else ()):
        # its data alone too: a tmpfs where it writes among its own files hides these
        in_memory = base.model_copy(update={"tmpfs": (*base.tmpfs, *places)})
        yield (
            in_memory,
            {
                **limits,
                "tmpfs": Known(list(in_memory.tmpfs), "seen: works with its data in memory, where nothing is kept"),
            },
        )
    folders = tuple(each for each in _tops(seen.writes) if may_be_in_memory(each))
    tight, told = base, dict(limits)
    if folders:
        tight = base.model_copy(update={"tmpfs": (*base.tmpfs, *folders)})
        told["tmpfs"] = Known(list(tight.tmpfs), "seen: it writes there")
    loose = base.model_copy(update={"read_only": False})
    writable = {**limits, "read_only": Known(False, "seen: it does not start with a read-only file system")}
    as_root = {"user": Known("0:0", "seen: it starts only as root")}
    yield tight, told
    if (
        folders
    ):  # a tmpfs hides what the image has there, and not everything that is written is needed (a control socket)
        yield base, dict(limits)
        yield loose, writable
    yield tight.model_copy(update={"user": "0:0"}), {**told, **as_root}
    if not folders:
        yield loose, writable
    yield loose.model_copy(update={"user": "0:0"}), {**writable, **as_root}


_TO_CHANGE_USER = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
_OF_SERVERS = ("KILL", "NET_BIND_SERVICE", "SYS_CHROOT")


def _with_capabilities(
    seen: Seen, wanted: model.RunSettings
) -> Iterator[tuple[model.RunSettings, dict[str, Known[Any]]]]:
    """As root that keeps some of Docker's capabilities, from tight to loose: many images begin so, and become another user by
    themselves."""
    memory, limits = _limits(seen)
    base = wanted.model_copy(update={"memory": memory, "pids": _pids(seen), "user": "0:0"})
    folders = tuple(each for each in _tops(seen.writes) if may_be_in_memory(each))
    tight = base.model_copy(update={"tmpfs": (*base.tmpfs, *folders)})
    writes = {"tmpfs": Known(list(tight.tmpfs), "seen: it writes there")} if folders else {}
    loose = base.model_copy(update={"read_only": False})
    writable = {"read_only": Known(False, "seen: it does not start with a read-only file system")}
    as_root = {"user": Known("0:0", "seen: it starts only as root")}
    for names in (_TO_CHANGE_USER, tuple(sorted((*_TO_CHANGE_USER, *_OF_SERVERS)))):
        kept = {"capabilities": Known(list(names), "seen: root needs them, as to become another user")}
        for settings, told in ((tight, writes), (loose, writable)):
            yield settings.model_copy(update={"capabilities": names}), {**limits, **told, **as_root, **kept}


def _limits(seen: Seen) -> tuple[int, dict[str, Known[Any]]]:
    """Twice what it used and some, in a round number; the default where that is enough."""
    default = model.RunSettings().memory
    memory = default
    while memory < seen.memory_bytes * 2:
        memory *= 2
    told = dict[str, Known[Any]]()
    if memory != default:
        told["memory"] = Known(f"{memory // MIB}MiB", f"seen: used {format_bytes(seen.memory_bytes)} at rest")
    if (pids := _pids(seen)) != model.RunSettings().pids:
        told["pids"] = Known(pids, f"seen: {seen.pids} processes and threads at rest")
    return memory, told


def _pids(seen: Seen) -> int:
    default = model.RunSettings().pids
    return default if seen.pids * 2 <= default else min(4096, seen.pids * 3)


def _tops(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that lie in another one."""
    return tuple(each for each in folders if not any(each.startswith(f"{other}/") for other in folders))
