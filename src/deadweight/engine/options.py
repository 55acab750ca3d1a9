"""Define how a container runs: a frozen options record, varied with ``but``, and the hardened default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deadweight.suite.model import RunSettings, Variant
from deadweight.suite.values import parse_tmpfs

NON_ROOT = "65532:65532"
"""The user that the field's minimal images use for "not root" (distroless, chainguard: ``nonroot``)."""

TMPFS_BYTES = 64 * 2**20
OPEN_FILES = 1024
LOG_BYTES = 10 * 2**20


DEFAULT_CAPABILITIES = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
"""What Docker gives a container (moby, oci/caps)."""


@dataclass(frozen=True)
class Tmpfs:
    """A file system in memory. Its content counts against the container's memory limit. ``uid`` None: root's."""

    path: str
    size_bytes: int = TMPFS_BYTES
    noexec: bool = True
    mode: int = 0o1777
    uid: int | None = None

    def options(self) -> str:
        owner = "" if self.uid is None else f",uid={self.uid}"
        return f"rw,{'noexec' if self.noexec else 'exec'},nosuid,nodev,size={self.size_bytes},mode={self.mode:o}{owner}"


@dataclass(frozen=True)
class Mount:
    """A host path in the container (a bind mount)."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Ulimit:
    """A resource limit by its name in setrlimit(2), in that limit's own unit."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class RunOptions:
    """All that decides how a container runs. The defaults are the engine's own, except that its log is bounded.

    ``user`` None: the image's. ``seccomp`` and ``apparmor``: ``default``, ``unconfined`` or a profile (a JSON file's path for
    seccomp, relative to the project; a loaded profile's name for AppArmor). ``masked_paths`` False is the client's
    ``systempaths=unconfined``.
    ``swap_bytes`` is swap beside memory: 0 forbids it, None leaves it to the engine. ``network``: ``bridge``, ``none``,
    ``host``, ``container:ID`` or a network's name. ``publish`` is the container's port, published on 127.0.0.1 at
    ``host_port`` (None: any free one). ``device_rules`` are cgroup rules such as ``b *:* r``. ``dns`` are the name servers that are
    asked instead of the engine's. ``args`` replace the image's command, ``entrypoint`` its entrypoint. ``hosts`` are names that it
    knows beside those (its ``/etc/hosts``), with their addresses. ``ports`` are published together with ``publish``, at any free
    ports. ``files`` may be read in the container: paths in it, and paths below the folder of the engine's project. ``tls``: what it
    serves on its ports is HTTP over TLS.
    """

    user: str | None = None
    read_only: bool = False
    tmpfs: tuple[Tmpfs, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = "default"
    apparmor: str = "default"
    masked_paths: bool = True
    privileged: bool = False
    memory_bytes: int | None = None
    swap_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    network: str = "bridge"
    publish: int | None = None
    ports: tuple[int, ...] = ()
    host_port: int | None = None
    pid_mode: str | None = None
    ipc_mode: str | None = None
    userns_mode: str | None = None
    device_rules: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    args: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False

    def but(self, **changes: Any) -> RunOptions:
        """The same options with some of them changed."""
        return dataclasses.replace(self, **changes)


def hardened(settings: RunSettings, *, port: int | None = None, image_user: str = "") -> RunOptions:
    """The default posture: what a careful platform would give the service, and no more.

    Read-only root, no capabilities but those that are named, no new privileges, not root (``settings.user``, else the image's own
    user, else 65532), limits on memory (no swap), CPU and processes, tmpfs without exec and set-uid, one port on loopback.
    """
    return RunOptions(
        user=settings.user or (image_user if not is_root(image_user) else NON_ROOT),
        read_only=settings.read_only,
        tmpfs=tuple(_tmpfs(entry, settings.memory) for entry in settings.tmpfs),
        cap_drop=("ALL",),
        cap_add=settings.capabilities,
        no_new_privileges=True,
        seccomp=settings.seccomp or "default",
        memory_bytes=settings.memory,
        swap_bytes=0,
        cpus=settings.cpus,
        pids=settings.pids,
        ulimits=(Ulimit("nofile", OPEN_FILES, OPEN_FILES),),
        publish=port,
        ports=settings.ports,
        files=dict(settings.files),
        env=dict(settings.env),
        args=settings.args,
        entrypoint=settings.entrypoint,
    )


def hardened_for(variant: Variant, image_user: str = "") -> RunOptions:
    """The default posture for one variant, its port published on loopback."""
    return hardened(variant.run, port=variant.port, image_user=image_user).but(tls=variant.health.tls)


def is_root(user: str) -> bool:
    """Whether an image's ``User`` (OCI image config: ``user``, ``uid``, ``user:group`` …) is root. Empty is root."""
    name = user.split(":", 1)[0].strip()
    return name in ("", "root") or (name.isdigit() and int(name) == 0)


def _tmpfs(entry: str, memory: int) -> Tmpfs:
    """``/tmp`` or ``/tmp:16MiB``. At most a quarter of the memory unless a size is given."""
    path, size = parse_tmpfs(entry)
    return Tmpfs(path, size or min(TMPFS_BYTES, memory // 4))
