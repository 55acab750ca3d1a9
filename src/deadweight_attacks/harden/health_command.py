"""Find a program inside an image that can serve as its health check, by running each candidate once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import RunOptions
from deadweight.records.reference import parse
from deadweight.sources.protocol import STAND_INS
from deadweight_attacks.harden.trial import PURPOSE

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.suite.model import Health, Need

ASK_SECONDS = 10.0


def find_command(subject: Subject, options: RunOptions) -> tuple[str, ...]:
    """The program and its words; empty where none is there that says yes of a healthy service and no of a closed port."""
    variant = subject.variant
    if variant.health.kind == "exit":
        return ()
    try:
        image = subject.engine().images.need(subject.engine_image())
        if not _tried(variant.health, variant.port or 0, image.healthcheck):
            return ()
        with subject.engine().start(
            subject.engine_image(), options, purpose=PURPOSE, variant=variant.name
        ) as container:
            if not container.wait_healthy(variant.health, variant.port).healthy:
                return ()
            return _tells(container, variant.health, variant.port, image.healthcheck)
    except (CannotStart, DeadweightError):
        return ()


@dataclass
class OfNeeds:
    """What tells in each of the containers that a service needs whether it is up, by its name, and which of them are of local
    stand-ins: filled as they come up. Of a job, its end tells."""

    needs: Mapping[str, Need]
    asks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stand_ins: dict[str, None] = field(default_factory=dict)

    def up(self, name: str, container: Container) -> None:
        """For ``Service.dependencies``: ask one that is up."""
        need = self.needs[name]
        if need.health.kind == "exit" or name in self.asks:
            return
        self.asks[name] = _tells(container, need.health, need.port, ())
        if parse(container.image).repository.startswith(STAND_INS):
            self.stand_ins[name] = None


def _tells(container: Container, health: Health, port: int | None, own: tuple[str, ...]) -> tuple[str, ...]:
    """What says yes of this container, which is healthy. ``own`` is the image's own health check."""
    right, wrong = (_tried(health, number, own) for number in (port or 0, 1 if port != 1 else 2))
    try:
        for open_port, closed in zip(right, wrong, strict=True):
            if _yes(container, open_port) and (open_port == closed or not _yes(container, closed)):
                return open_port
    except DeadweightError:
        return ()
    return ()


def _yes(container: Container, words: tuple[str, ...]) -> bool:
    """Whether a program is there, and says so in time: one that is refused a system call may never end."""
    try:
        return container.exec(list(words), seconds=ASK_SECONDS).exit_code == 0
    except TimeoutError:
        return False


def _tried(health: Health, port: int, own: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The suite's own command, else the image's own health check, then what may be there."""
    others, owns = candidates(health, port), (own,) if own else ()
    return (*others, *owns) if health.kind == "exec" else (*owns, *others)


def candidates(health: Health, port: int) -> tuple[tuple[str, ...], ...]:
    """What may be there to ask with, the plainest first."""
    if health.kind == "exec":
        return (tuple(health.command),)
    if health.kind == "tcp":
        return (
            ("nc", "-z", "127.0.0.1", str(port)),
            ("bash", "-c", f"</dev/tcp/127.0.0.1/{port}"),
            ("python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 4)"),
            ("node", "-e", f"require('net').connect({port}, '127.0.0.1', () => process.exit(0))"),
        )
    if health.kind == "grpc":
        service = (f"-service={health.service}",) if health.service else ()
        return (("grpc_health_probe", f"-addr=127.0.0.1:{port}", *service),)
    if health.kind != "http" or any(str(status)[0] not in "23" for status in health.status):
        return ()
    url = f"http://127.0.0.1:{port}{health.path}"
    return (
        ("wget", "-q", "-O", "/dev/null", url),
        ("curl", "-fsS", "-o", "/dev/null", url),
        ("busybox", "wget", "-q", "-O", "/dev/null", url),
        ("python3", "-c", f"import urllib.request; urllib.request.urlopen({url!r}, timeout=4)"),
        ("node", "-e", f"fetch({url!r}).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"),
    )
