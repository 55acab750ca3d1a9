"""Write hardened settings as docker run, podman run, Compose, Kubernetes, Quadlet or ECS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deadweight_attacks.harden.result import Hardened
from deadweight_attacks.harden.write import apparmor, ecs, engines, kubernetes
from deadweight_attacks.harden.write.model import Model, Request, resolve
from deadweight_attacks.walls import wording

FORMATS: dict[str, Callable[[Model], str]] = {
    "run": engines.docker_text,
    "compose": engines.compose_text,
    "kubernetes": kubernetes.text,
    "podman": engines.podman_text,
    "quadlet": engines.quadlet_text,
    "ecs": ecs.text,
}
COMMENTLESS = ("ecs",)
"""Formats that have no comments: what is to be said of them is told beside them."""
FILES = {
    "run": "run.sh", "compose": "compose.yaml", "kubernetes": "kubernetes.yaml", "podman": "podman.sh",
    "ecs": "task-definition.json",
}  # fmt: skip
"""What a text is called in a folder. Units have names of their own."""


def render(result: Hardened, format: str, request: Request | None = None) -> str:  # noqa: A002 - the flag's name
    """The posture as text, its comments included.

    Raises DeadweightError where Kubernetes' ``restricted`` standard, or a platform, would refuse what the service needs.
    """
    text = FORMATS[format](resolve(result, request or Request()))
    return text if format in COMMENTLESS else _commented(result, request) + text


def files(result: Hardened, format: str, request: Request) -> dict[str, str]:  # noqa: A002 - the flag's name
    """The text of each file that a platform takes, by its name; raises as ``render``."""
    request = replace(request, apparmor=request.audit and format not in COMMENTLESS)
    beside = {f"{result.suite}.apparmor": apparmor.text(resolve(result, request))} if request.apparmor else {}
    if format in FILES:
        return {FILES[format]: render(result, format, request), **beside}
    units = engines.units(resolve(result, request))
    first = next(iter(units))
    return units | {first: _commented(result, request) + units[first], **beside}


def notes(result: Hardened, format: str, request: Request | None = None) -> list[str]:  # noqa: A002 - the flag's name
    """What is to be said of a format that has no comments."""
    if format not in COMMENTLESS:
        return []
    model = resolve(result, request or Request())
    lines = [line.removeprefix(f"{result.variant.name}: ") for line in result.notes()]  # each is told after that name
    lines += [wording("harden.audit_ecs")] if model.request.audit else []
    return [*lines, f"a task definition cannot express {', '.join(ecs.unsupported(model))}", *ecs.missing(model)]


def _commented(result: Hardened, request: Request | None) -> str:
    audit = [wording("harden.audit")] if request and request.audit else []
    audit += [wording("harden.audit_apparmor", file=f"{result.suite}.apparmor")] if request and request.apparmor else []
    return "".join(f"# {line}\n" for line in (*result.notes(), *audit))
