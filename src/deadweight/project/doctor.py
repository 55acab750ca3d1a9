"""Inspect this machine's tools, engine and disks, and return the findings as records. Changes nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deadweight import _sudo as sudo
from deadweight._errors import CommandError, DeadweightError, MissingError, wording
from deadweight._packages import images
from deadweight._run import run
from deadweight.engine import api as wire, daemon
from deadweight.engine.api import Endpoint, EngineInfo, parse_info
from deadweight.project.install import Finding, survey
from deadweight.records.paths import State, user_cache
from deadweight.suite.model import Variant
from deadweight.toolchain.find import inspect_tool, number

SAFE_BUILDKIT = "0.28.1"
"""The first BuildKit without the escapes of CVE-2024-23651, CVE-2026-33747 and CVE-2026-33748 (moby/buildkit advisories)."""
LOW_DISK_BYTES = 5 * 10**9
_LAST_UNSAFE_ENGINE = 28
"""Docker Engine's last line that was made before that BuildKit; newer ones tell their BuildKit's version only to buildx."""

PARTS = {
    "images": (wording("parts.images"), ("layers",)),
    "init": (wording("parts.init"), ()),
    "requests": (wording("parts.requests"), ("requests",)),
}
"""The optional parts of Deadweight: what each is for, and the sections of ``checks:`` that use it."""


@dataclass(frozen=True)
class Part:
    """An optional part of which something is not installed. ``used``: the suite has checks that need it."""

    name: str
    missing: tuple[str, ...]
    purpose: str
    how: str
    used: bool


@dataclass(frozen=True)
class EngineReport:
    """The engine that would be used. ``buildkit`` is the version it tells, None without buildx to ask."""

    host: str
    ours: bool
    info: EngineInfo
    buildkit: str | None
    docker: str | None
    buildx: str | None


@dataclass(frozen=True)
class Disk:
    """Free space where something of ours lies."""

    what: str
    path: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Doctor:
    """All findings. ``warnings`` are one line each; a missing tool is no warning, its finding says so."""

    tools: tuple[Finding, ...]
    engine: EngineReport | None
    engine_problem: str
    disks: tuple[Disk, ...]
    warnings: tuple[str, ...]
    database: tuple[str, ...]
    """Which vulnerability database is in use, its date and what it covers: a line each; or why there is none."""
    unwritable: tuple[str, ...] = ()
    """Folders that the work writes to and cannot, each with the reason."""
    parts: tuple[Part, ...] = ()
    """Those that are not installed."""

    def lines(self) -> Iterator[str]:
        """The whole as plain lines for a human."""
        width = max((len(tool.name) for tool in self.tools), default=4)
        for tool in self.tools:
            how = f"get it: {tool.how}" if tool.gettable else tool.how
            where = (
                "" if tool.origin == "ours" else f"{tool.path or ''} "
            )  # ours lie in folders that nobody needs to know
            what = f"{tool.version or ''} {where}({tool.origin})" if tool.present else how
            note = f"  [{tool.reason}]" if tool.reason else ""
            yield f"{tool.name:<{width}}  {tool.status:<13}  {what.strip()}{note}"
        for part in self.parts:
            yield f"{part.name} ({', '.join(part.missing)}): missing: {part.purpose}: {part.how}"
        if self.engine is not None:
            yield from _engine_lines(self.engine)
        else:
            yield f"engine: {self.engine_problem}"
        yield f"vulnerability {self.database[0]}"
        yield from self.database[1:]
        for disk in self.disks:
            yield f"disk: {disk.free_bytes / 1e9:.1f} GB of {disk.total_bytes / 1e9:.0f} GB free for {disk.what} ({disk.path})"
        for folder in self.unwritable:
            yield f"not writable: {folder}"
        for warning in self.warnings:
            yield f"warning: {warning}"


def examine(needs: Iterable[str], variants: Iterable[Variant] = (), *, root: Path | None = None) -> Doctor:
    """Look at the tools, the engine, the disks, and the parts of Deadweight, which ``variants`` may use. Starts no engine.

    ``root`` is the project, for its disk; None looks at this machine alone.
    """
    from deadweight.checks.scan.database import HINT, current

    tools = survey(needs)
    engine, problem = _examine_engine()
    disks = tuple(_disks(root))
    try:
        database = current().describe()
    except MissingError as error:
        database = [f"database: {error.message}; {HINT}"]
    warnings, unwritable, parts = _warnings(engine, disks), _unwritable(root), _parts(tuple(variants))
    return Doctor(tools, engine, problem, disks, tuple(warnings), tuple(database), tuple(unwritable), tuple(parts))


def _parts(variants: Iterable[Variant]) -> Iterator[Part]:
    for name, (purpose, sections) in PARTS.items():
        if missing := images.lacking(name):
            used = any(getattr(variant.checks, section) for variant in variants for section in sections)
            yield Part(name, missing, purpose, f"pip install 'deadweight[{name}]'", used)


def _examine_engine() -> tuple[EngineReport | None, str]:
    try:
        endpoint, passed_over = daemon.search()
    except DeadweightError as error:
        return None, error.message
    if endpoint is None:
        seen, problem = "; ".join(passed_over) or "none runs", daemon.cannot_start()
        if version := daemon.stopped_version():
            return None, wording("project.engine_stopped", version=version)
        ours = wording("project.starts_engine" if sudo.is_root() else "project.starts_engine_with_sudo", seen=seen)
        return None, f"{seen}, and {problem}" if problem else ours
    documents = (wire.document(endpoint.host, path, endpoint.certificates) for path in ("/version", "/info"))
    info = parse_info(*documents)
    problem = ""
    try:
        daemon.docker_cli(endpoint)
    except DeadweightError as error:
        problem = error.message
    docker, buildx = inspect_tool("docker-cli").tool, inspect_tool("buildx").tool
    report = EngineReport(
        host=endpoint.host,
        ours=endpoint.ours,
        info=info,
        buildkit=_buildkit(endpoint, buildx.path) if buildx else None,
        docker=f"{docker.path} {docker.version}" if docker else None,
        buildx=f"{buildx.path} {buildx.version}" if buildx else None,
    )
    return report, problem


def _buildkit(endpoint: Endpoint, buildx: Path) -> str | None:
    """The version that buildx is told by the engine."""
    try:
        text = run([buildx, "inspect", "default"], env=daemon.docker_cli(endpoint).env, timeout=30, check=False).output
    except CommandError:
        return None
    match = re.search(r"BuildKit version:\s+v?(\d+(?:\.\d+)+)", text)
    return match.group(1) if match else None


def _disks(root: Path | None) -> Iterator[Disk]:
    project = [("this project", root)] if root else []
    for what, path in (*project, ("tools, stand-ins and our engine", user_cache())):
        usage = shutil.disk_usage(_nearest(path))
        yield Disk(what, str(path), usage.free, usage.total)


def _unwritable(root: Path | None) -> Iterator[str]:
    """Asked, not tried: nothing is changed."""
    for path in (*([State(root).folder] if root else []), user_cache()):
        there = _nearest(path)
        if not os.access(there, os.W_OK):
            read_only = os.statvfs(there).f_flag & os.ST_RDONLY
            yield f"{there}: {os.strerror(errno.EROFS if read_only else errno.EACCES)}"


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _warnings(engine: EngineReport | None, disks: Iterable[Disk]) -> Iterator[str]:
    for disk in disks:
        if disk.free_bytes < LOW_DISK_BYTES:
            yield f"only {disk.free_bytes / 1e9:.1f} GB free for {disk.what} ({disk.path})"
    if engine is None:
        return
    info = engine.info
    old_engine = not info.podman and number(info.version)[:1] <= (_LAST_UNSAFE_ENGINE,)
    if number(engine.buildkit) < number(SAFE_BUILDKIT) if engine.buildkit is not None else old_engine:
        yield (
            f"the engine's BuildKit is older than {SAFE_BUILDKIT}: a hostile Dockerfile or build context can escape the build "
            "(CVE-2024-23651, CVE-2026-33747, CVE-2026-33748); build only what you trust"
        )
    if not info.seccomp and not info.podman:
        yield "the engine runs containers without a seccomp filter"
    if not info.apparmor and not info.selinux:
        yield "containers are not confined by AppArmor or SELinux"
    if info.cgroup == "1" and info.rootless:
        yield wording("engine.cgroup_1_rootless")
    elif info.cgroup == "1":
        yield wording("engine.cgroup_1")
    if info.storage_driver == "vfs":
        yield "the storage driver vfs copies every layer, which is slow and uses much disk space"


def _engine_lines(engine: EngineReport) -> Iterator[str]:
    info = engine.info
    kit = f"BuildKit {engine.buildkit or 'version not told'}"
    whose = ", ours" if engine.ours else ""
    yield f"engine: {info.name} {info.version} at {engine.host}{whose}, {kit}, {info.storage_driver}, cgroup {info.cgroup}"
    walls = [name for name in ("seccomp", "apparmor", "selinux", "rootless") if getattr(info, name)]
    yield f"engine walls: {', '.join(walls) or 'none'}"
    yield f"clients: docker {engine.docker or 'none'}; buildx {engine.buildx or 'none'}"
