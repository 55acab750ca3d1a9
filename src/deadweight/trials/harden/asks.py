"""Which program of the image's own tells, inside the container, whether the service is healthy: found by running each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import RunOptions
from deadweight.trials.harden.trial import PURPOSE

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.suite.model import Variant

ASK_SECONDS = 10.0


def found(subject: Subject, options: RunOptions) -> tuple[str, ...]:
    """The program and its words; empty where none is there that says yes of a healthy service and no of a closed port."""
    variant = subject.variant
    if variant.health.kind == "exit":
        return ()
    try:
        image = subject.engine().images.need(subject.engine_image())
        own = (image.healthcheck,) if image.healthcheck else ()
        right, wrong = (_tried(variant, port, own) for port in (variant.port or 0, 1 if variant.port != 1 else 2))
        if not right:
            return ()
        with subject.engine().start(
            subject.engine_image(), options, purpose=PURPOSE, variant=variant.name
        ) as container:
            if not container.wait_healthy(variant.health, variant.port).healthy:
                return ()
            for open_port, closed in zip(right, wrong, strict=True):
                says = [container.exec(list(words), seconds=ASK_SECONDS).exit_code for words in (open_port, closed)]
                if says[0] == 0 and (says[1] != 0 or open_port == closed):
                    return open_port
    except (CannotStart, DeadweightError):
        return ()
    return ()


def _tried(variant: Variant, port: int, own: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The suite's own command, else the image's own health check, then what may be there."""
    others = candidates(variant, port)
    return (*others, *own) if variant.health.kind == "exec" else (*own, *others)


def candidates(variant: Variant, port: int) -> tuple[tuple[str, ...], ...]:
    """What may be there to ask with, the plainest first."""
    health = variant.health
    if health.kind == "exec":
        return (tuple(health.command),)
    if health.kind == "tcp":
        return (
            ("nc", "-z", "127.0.0.1", str(port)),
            ("bash", "-c", f"</dev/tcp/127.0.0.1/{port}"),
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
