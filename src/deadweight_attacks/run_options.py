"""Turn a posture (set of protections) into container run options, never above an outer resource limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight.engine.options import NON_ROOT, Mount, RunOptions, Tmpfs, Ulimit, is_root
from deadweight.suite.values import format_bytes
from deadweight_attacks.walls import LANDLOCK, ONLY, TIGHT, Posture

if TYPE_CHECKING:
    from deadweight.engine.api import EngineInfo

FILE_BYTES = 16 * 2**20
OUTER_FACTOR = 2
MARGIN = 1.15
"""So much more than the hardened posture grants counts as more: counters lag, limits are not met to the byte."""
MEMORY_SHARE = 4
LEAST_MEMORY_BYTES = 64 * 2**20
"""What the bound leaves where an engine does not tell how much memory its machine has."""
MOST_PIDS = 8192
"""A quarter of the processes that a kernel has at least by default (``pid_max``, proc(5))."""
NOWHERE = ("192.0.2.53",)
"""A name server that nobody has (RFC 5737): Docker before 23.0.11, 25.0.4 and 26.0.0 hands on what is asked inside an internal
network to the machine's own (CVE-2024-29018)."""
DISK_ROOM_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Ground:
    """What all postures of one variant have in common.

    ``hard`` are the variant's hardened options. ``unstartable`` are capabilities that this machine cannot give. ``shell`` is what
    binds a static shell in (nothing where the image has one), ``helper`` what binds the attacker's own program in (nothing where
    there is none). ``devices``: whether device rules can be opened here.
    ``profile`` is the image's own seccomp profile, with what the helper cannot do without; ``named`` is the suite's, likewise.
    ``neighbour`` is the container whose processes and memory are shared where nothing stands between (empty: none). ``landlocked``
    are the program and words that put Landlock on, before those that it starts (nothing where that cannot be done); ``command``
    what the image starts.
    """

    hard: RunOptions
    network: str
    mounts: tuple[Mount, ...]
    shell: tuple[Mount, ...]
    unstartable: tuple[str, ...]
    env: Mapping[str, str]
    info: EngineInfo
    devices: bool = True
    helper: tuple[Mount, ...] = ()
    profile: Path | None = None
    named: Path | None = None
    neighbour: str = ""
    landlocked: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def memory_bytes(self) -> int:
        """What the hardened posture grants."""
        return self.hard.memory_bytes or 256 * 2**20

    @property
    def pids(self) -> int:
        return self.hard.pids or 64

    @property
    def cpus(self) -> float:
        return self.hard.cpus or 1.0

    @property
    def most_memory_bytes(self) -> int:
        """What no container gets more of, whatever the suite grants: a share of the machine."""
        return max(self.info.memory_bytes // MEMORY_SHARE, LEAST_MEMORY_BYTES)

    @property
    def too_much(self) -> str:
        """Why nobody could tell whether an attack takes more memory than granted; empty where it can be told."""
        if self.memory_bytes * MARGIN < self.most_memory_bytes:
            return ""
        granted, most = format_bytes(self.memory_bytes), format_bytes(self.most_memory_bytes)
        return f"the suite grants {granted} of memory, but here a container gets at most {most}, a share of the machine's memory"

    @property
    def disk_bytes(self) -> int:
        """More than the hardened posture leaves room for."""
        return sum(tmpfs.size_bytes for tmpfs in self.hard.tmpfs) + DISK_ROOM_BYTES


def options(posture: Posture, ground: Ground) -> RunOptions:
    """The run options of a posture, within the outer bound. The containers publish no port and have no way out."""
    hard = ground.hard
    common = RunOptions(
        network=ground.network,
        env={**hard.env, **ground.env},
        args=hard.args,
        entrypoint=hard.entrypoint,
        hosts=hard.hosts,
    )
    common = common.but(tmpfs=_volumes(hard)) if posture.bare else _built(common, posture, ground)
    shell = ground.shell if "image" not in posture.walls else ()
    return bounded(common.but(mounts=(*common.mounts, *shell, *ground.helper)), ground)


def _built(common: RunOptions, posture: Posture, ground: Ground) -> RunOptions:
    hard, walls = ground.hard, posture.walls
    up: dict[str, object] = {"user": "0:0", "privileged": posture.privileged}
    if "non-root" in walls:
        up["user"] = NON_ROOT if is_root(hard.user or "") else hard.user
    if "own-user" in walls:
        del up["user"]
    if "capabilities" in walls:
        up["cap_drop"] = ("ALL",)
    elif "reduced" in walls:
        pass  # neither added nor dropped: the engine's own set
    elif not posture.privileged:
        up["cap_add"], up["cap_drop"] = ("ALL",), ground.unstartable
    up["no_new_privileges"] = "no-new-privileges" in walls
    up |= _seccomp(posture, ground)
    up["masked_paths"] = "masked-paths" in walls
    up |= _shared(walls, ground)
    if LANDLOCK in walls and ground.landlocked:
        up["entrypoint"], up["args"] = ground.landlocked, ground.command
    if ground.info.apparmor:
        up["apparmor"] = "default" if "apparmor" in walls else "unconfined"
    if "limits" in walls:
        up |= {"memory_bytes": hard.memory_bytes, "swap_bytes": 0, "cpus": hard.cpus, "pids": hard.pids}
        up["ulimits"] = hard.ulimits
    if "host-mounts" not in walls:
        up["mounts"], up["device_rules"] = ground.mounts, ("b *:* r",) if ground.devices else ()
    up |= _files(walls, hard)
    return common.but(**up)


def _seccomp(posture: Posture, ground: Ground) -> dict[str, object]:
    if TIGHT in posture.walls and ground.profile is not None:
        return {"seccomp": str(ground.profile)}
    if "seccomp" not in posture.walls:
        return {"seccomp": "unconfined"}
    if ground.named is None:
        return {"seccomp": "default"}
    alone = {"no_new_privileges": True} if posture.name == f"{ONLY}seccomp" else {}  # as with a tight one (``only``)
    return {"seccomp": str(ground.named), **alone}


def _shared(walls: frozenset[str], ground: Ground) -> dict[str, object]:
    """What the container has in common with others."""
    with_neighbour = f"container:{ground.neighbour}" if ground.neighbour else None
    needs_network = bool(ground.hard.hosts)  # without what it needs it would not come up
    return {
        "network": "none" if "no-network" in walls and not needs_network else ground.network,
        "pid_mode": None if "pid-namespace" in walls else with_neighbour,
        "ipc_mode": None if "ipc-namespace" in walls else with_neighbour,
        "userns_mode": "host" if ground.info.user_namespaces and "user-namespace" not in walls else None,
    }


def _files(walls: frozenset[str], hard: RunOptions) -> dict[str, object]:
    """A read-only root keeps the folders that the service needs writable; whether they may hold programs is the other wall."""
    made: dict[str, object] = {"read_only": "read-only" in walls}
    if "noexec-tmpfs" in walls:
        made["tmpfs"] = hard.tmpfs
    elif "read-only" in walls:
        made["tmpfs"] = tuple(replace(folder, noexec=False) for folder in hard.tmpfs)
    else:
        made["tmpfs"] = _volumes(hard)
    return made


_EVERYWHERE = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 - names of folders in containers


def _volumes(hard: RunOptions) -> tuple[Tmpfs, ...]:
    """What stands for the volumes of a service without any wall: the folders of its own that it writes to, where programs may be.
    Without them one that is not root, and keeps its data in a folder that its image does not have, would not come up at all."""
    return tuple(replace(folder, noexec=False) for folder in hard.tmpfs if folder.path not in _EVERYWHERE)


def bounded(options: RunOptions, ground: Ground) -> RunOptions:
    """The outer bound, in every posture: twice what the hardened one grants, never more than a quarter of the machine's memory,
    its processors and 8192 processes, no swap, no core files, no file above 16 MiB, and names that nobody tells."""
    memory = min(ground.memory_bytes * OUTER_FACTOR, ground.most_memory_bytes)
    cpus = min(ground.cpus * OUTER_FACTOR, float(ground.info.cpus or 1))
    pids = min(ground.pids * OUTER_FACTOR * 2, MOST_PIDS)
    kept = tuple(limit for limit in options.ulimits if limit.name not in ("fsize", "core"))
    return options.but(
        memory_bytes=min(options.memory_bytes or memory, memory),
        swap_bytes=0,
        pids=min(options.pids or pids, pids),
        cpus=min(options.cpus or cpus, cpus),
        ulimits=(*kept, Ulimit("fsize", FILE_BYTES, FILE_BYTES), Ulimit("core", 0, 0)),
        dns=() if options.network == "none" else NOWHERE,
    )
