"""What was found, in the words of each platform: docker and podman run, Compose, Kubernetes, Quadlet, ECS."""

from __future__ import annotations

from collections.abc import Callable

from deadweight_attacks.harden.result import Found
from deadweight_attacks.harden.write import ecs, engines, kubernetes
from deadweight_attacks.harden.write.model import Model, Request, resolve
from deadweight_attacks.machine import MEMORY, PROCESSES, listed

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


def written(found: Found, format: str, request: Request | None = None) -> str:  # noqa: A002 - the flag's name
    """The posture as text, its comments included.

    Raises DeadweightError where Kubernetes' ``restricted`` standard, or a platform, would refuse what the service needs.
    """
    text = FORMATS[format](resolve(found, request or Request()))
    return text if format in COMMENTLESS else _commented(found) + text


def files(found: Found, format: str, request: Request) -> dict[str, str]:  # noqa: A002 - the flag's name
    """The text of each file that a platform takes, by its name; raises as ``written``."""
    if format in FILES:
        return {FILES[format]: written(found, format, request)}
    units = engines.units(resolve(found, request))
    first = next(iter(units))
    return units | {first: _commented(found) + units[first]}


def beside(found: Found, format: str, request: Request | None = None) -> list[str]:  # noqa: A002 - the flag's name
    """What is to be said of a format that has no comments."""
    if format not in COMMENTLESS:
        return []
    model = resolve(found, request or Request())
    lines = [line.removeprefix(f"{found.variant.name}: ") for line in heading(found)]  # each is told after that name
    return [*lines, f"a task definition cannot express {', '.join(ecs.lost(model))}", *ecs.missing(model)]


def _commented(found: Found) -> str:
    return "".join(f"# {line}\n" for line in heading(found))


def heading(found: Found) -> list[str]:
    """What a reader must know, whatever the format."""
    variant, count = found.variant, len(found.variant.checks.api)
    requests = f"{count} request{'' if count == 1 else 's'}"
    asked = f"its start, its end and {requests}" if count else "its start and its stop, no requests"
    beyond = "these requests" if count else "its start"
    lines = [
        f"{variant.name}: the tightest posture under which {asked} still work, found by {len(found.tried)} trials.",
        *_limits(found),
        *_seccomp(found),
        f"What the service does beyond {beyond} was not tried, and may be refused: name it under checks.api.",
    ]
    if variant.run.needs:
        needs = ", ".join(f"{name} ({need.image or need.variant})" for name, need in variant.run.needs.items())
        lines.append(f"It needs these services, reachable by these names: {needs}.")
    if variant.run.files:
        paths = ", ".join(f"{target} ({path})" for target, path in variant.run.files.items())
        lines.append(f"It reads files that are not in the image, but in your repository: {paths}.")
    if variant.checks.runs.if_killed == "warn":
        lines.append(
            "The suite accepts that it has to be killed (runs.if_killed: warn). Where only the first process ignores SIGTERM, "
            "docker run --init, or init: true in Compose, lets it end at once."
        )
    if variant.checks.other:
        lines.append(f"Not tried: checks of plug-ins ({', '.join(variant.checks.other)}).")
    return lines


def _limits(found: Found) -> list[str]:
    """How memory and processes were found, and what was not tried of limits."""
    tried = [limit for limit in (MEMORY, PROCESSES) if limit not in found.unheld]
    least = f"{found.headroom} times the least that worked, found by halving, up to what the suite allows."
    lines = [f"{' and '.join(tried).capitalize()}: {least}"] if tried else []
    if found.unheld:
        lines.append(
            f"Not tried, as in the suite: limits on {listed(found.unheld)}, which this engine does not enforce."
        )
    return lines


def _seccomp(found: Found) -> list[str]:
    got = found.seccomp
    if got is None:
        return [f"The engine's own seccomp profile is used: {found.no_seccomp}."] if found.no_seccomp else []
    theirs = f"; the engine's own profile allows {got.engine_allows}" if got.engine_allows else ""
    has = f" of the kernel's {got.kernel_has}" if got.kernel_has else ""
    where = f"{got.architecture}, Linux {got.kernel}, {got.runtime}, libc: {got.libc}"
    return [
        f"Its seccomp profile allows {len(got.calls)}{has} system calls{theirs}.",
        f"It was found by {got.trials} trials, the last {got.proofs} with exactly this profile, for {where}.",
        "Search again on another kernel, runtime or libc.",
    ]
