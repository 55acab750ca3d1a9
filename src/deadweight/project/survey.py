"""Survey required programs: which are present, which are missing and how to get them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from deadweight import _sudo as sudo
from deadweight._errors import DeadweightError, wording
from deadweight.toolchain import catalogue, system, tool_cache
from deadweight.toolchain.catalogue import Program
from deadweight.toolchain.find import Look, Status, look

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
        seen = Look(entry, "unusable", None, seen.path, seen.version, wording("project.damaged", path=seen.path))
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
    return entry.gettable


def _how(entry: Program) -> str:
    """In words, for the list that setup shows before it asks."""
    if entry.kind == "go":
        return f"go build {entry.source} v{entry.pinned}"
    if entry.kind == "wheel" and entry.gettable:
        return f"wheel {entry.source} {catalogue.wheel_pin(entry.source).version}"
    if entry.kind == "deb" and system.manager() == "apt":
        return f"Debian package {entry.source}, unpacked, not installed"
    return system.command_for([entry]) or f"install {entry.name} {entry.least or ''} by hand".replace("  ", " ")


def _engine() -> Finding:
    """A container engine that answers, or that we can start: with ``dockerd``, which has to be got for it."""
    from deadweight.engine import daemon

    program = _examine(catalogue.program("dockerd"))
    engine = replace(program, name=ENGINE, status="unusable", version=None, path=None, origin=None)
    try:
        running, passed_over = daemon.search()
    except DeadweightError as error:
        return replace(engine, how=error.hint or program.how, reason=error.message, gettable=False)
    if running is not None:
        return _running(running, engine)
    seen, problem = "; ".join(passed_over), daemon.cannot_start()
    if program.present and problem:
        return replace(engine, how="start Docker or Podman, or use root or sudo", reason=problem, gettable=False)
    if program.present and not sudo.is_root():
        reason = seen or "none answers"
        return Finding(ENGINE, "missing", None, None, None, "start an engine with sudo", 5, 0, reason)
    if program.present:
        return replace(program, name=ENGINE, origin="ours", reason="started when needed")
    how = program.how if sudo.is_root() else f"{program.how}, then start an engine with sudo"
    return replace(
        engine, status="missing", how=how, reason=f"{seen or 'no engine answers'} and dockerd is not installed"
    )


def _running(endpoint: Endpoint, engine: Finding) -> Finding:
    """An engine that answers is there only if it can run a container. Ours is started anew by setup; any other is its owner's."""
    from deadweight.engine import daemon
    from deadweight.engine.broken_engine import broken_engine_at
    from deadweight.engine.own.engine import layout

    ours = endpoint.host == layout().host  # DOCKER_HOST may name it too
    engine = replace(engine, version=daemon.server_version(endpoint), path=endpoint.host)
    lost = broken_engine_at(endpoint)
    if lost is None:
        return replace(engine, status="present", origin="ours" if ours else "system", reason="")
    how = daemon.START_ANEW if ours else lost.hint or "restart it"
    return replace(engine, how=how, seconds=10, size_bytes=0, reason=lost.message, gettable=ours)
