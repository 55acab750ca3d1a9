"""Survey required programs: which are present, which are missing and how to get them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from deadweight import _sudo as sudo
from deadweight._errors import wording
from deadweight.toolchain import catalogue, pins, system, tool_cache
from deadweight.toolchain.find import Look, Status, look
from deadweight.toolchain.pins import Program

if TYPE_CHECKING:
    from deadweight.engine.api import Endpoint

Origin = Literal["path", "ours", "system"]
ENGINE = "engine"
"""A need that is no program: a container engine that answers, or that we can start."""


@dataclass(frozen=True)
class Finding:
    """One need. ``how`` says in words how it would be got, with roughly ``seconds`` and ``size_bytes`` on disk for it.

    ``origin`` is where a present one stands: on the user's PATH, among our copies, or in the system's packages.
    ``reason`` says what was passed over and why, also where the need is met. ``gettable`` is False where setup can only tell
    what to do.
    """

    name: str
    status: Status
    version: str | None
    path: str | None
    origin: Origin | None
    how: str
    seconds: int
    size_bytes: int
    reason: str = ""
    gettable: bool = True

    @property
    def present(self) -> bool:
        return self.status == "present"


def survey(needs: Iterable[str]) -> tuple[Finding, ...]:
    """One finding per need, in the order asked; Go is added where a tool has to be built. Our copies are read and verified.

    Raises UsageError for a name that the catalogue lacks.
    """
    wanted = list(dict.fromkeys(needs))
    findings = [_engine() if name == ENGINE else _examine(catalogue.program(name)) for name in wanted]
    compiles = any(not finding.present and _kind(finding.name) == "go" for finding in findings)
    if compiles and "go" not in wanted:
        findings.insert(0, _examine(catalogue.program("go")))
    return tuple(findings)


def _kind(name: str) -> str:
    return "" if name == ENGINE else catalogue.program(name).kind


def _examine(entry: Program) -> Finding:
    seen = look(entry.name)
    if seen.tool is not None and seen.tool.ours and not tool_cache.sound(entry):
        seen = Look(entry.name, "unusable", None, seen.path, seen.version, wording("project.damaged", path=seen.path))
    return Finding(
        name=entry.name,
        status=seen.status,
        version=seen.version,
        path=str(seen.path) if seen.path else None,
        origin=_origin(seen),
        how=_how(entry),
        seconds=entry.seconds,
        size_bytes=entry.size_bytes,
        reason=seen.reason,
        gettable=_can_get(entry),
    )


def _origin(seen: Look) -> Origin | None:
    if seen.tool is None:
        return None
    if seen.tool.ours:
        return "ours"
    return "system" if str(seen.tool.path).startswith(("/usr/bin/", "/usr/sbin/", "/sbin/", "/bin/")) else "path"


def _can_get(entry: Program) -> bool:
    if entry.kind == "system":
        return not system.can_install()
    if entry.kind == "deb":
        return system.manager() == "apt"
    return pins.gettable(entry)


def _how(entry: Program) -> str:
    """In words, for the list that setup shows before it asks."""
    if entry.kind == "go":
        return f"go build {entry.source} v{entry.pinned}"
    if entry.kind == "wheel" and pins.gettable(entry):
        return f"wheel {entry.source} {pins.wheel_pin(entry.source).version}"
    if entry.kind == "deb" and system.manager() == "apt":
        return f"Debian package {entry.source}, unpacked, not installed"
    return system.command_for([entry]) or f"install {entry.name} {entry.least or ''} by hand".replace("  ", " ")


def _engine() -> Finding:
    from deadweight._errors import DeadweightError
    from deadweight.engine import daemon

    daemon_program = _examine(catalogue.program("dockerd"))
    try:
        running, passed_over = daemon.search()
    except DeadweightError as error:
        named = replace(daemon_program, how=error.hint or daemon_program.how)
        return _engine_finding(named, "unusable", None, None, error.message, gettable=False)
    if running is not None:
        return _running(running, daemon_program)
    seen = "; ".join(passed_over)
    problem = daemon.cannot_start()
    if daemon_program.present and problem:
        there = replace(daemon_program, how="start Docker or Podman, or use root or sudo")
        return _engine_finding(there, "unusable", None, None, problem, gettable=False)
    if daemon_program.present and not sudo.is_root():
        reason = seen or "none answers"
        return Finding(ENGINE, "missing", None, None, None, "start an engine with sudo", 5, 0, reason)
    if daemon_program.present:
        return _engine_finding(
            daemon_program, "present", daemon_program.version, daemon_program.path, "started when needed", origin="ours"
        )
    how = daemon_program.how if sudo.is_root() else f"{daemon_program.how}, then start an engine with sudo"
    reason = f"{seen or 'no engine answers'} and dockerd is not installed"
    return _engine_finding(replace(daemon_program, how=how), "missing", None, None, reason)


def _running(endpoint: Endpoint, program: Finding) -> Finding:
    """An engine that answers is there only if it can run a container. Ours is started anew by setup; any other is its owner's."""
    from deadweight.engine import daemon
    from deadweight.engine.broken_engine import broken_engine_at
    from deadweight.engine.own.engine import layout

    version, ours = daemon.server_version(endpoint), endpoint.host == layout().host  # DOCKER_HOST may name it too
    origin: Origin = "ours" if ours else "system"
    lost = broken_engine_at(endpoint)
    if lost is None:
        return _engine_finding(program, "present", version, endpoint.host, "", origin=origin)
    how = daemon.START_ANEW if ours else lost.hint or "restart it"
    broken = replace(program, how=how, seconds=10, size_bytes=0, gettable=True)
    return _engine_finding(broken, "unusable", version, endpoint.host, lost.message, gettable=ours)


def _engine_finding(
    program: Finding,
    status: Status,
    version: str | None,
    path: str | None,
    reason: str,
    *,
    origin: Origin | None = None,
    gettable: bool = True,
) -> Finding:
    may = gettable and program.gettable
    return Finding(ENGINE, status, version, path, origin, program.how, program.seconds, program.size_bytes, reason, may)
