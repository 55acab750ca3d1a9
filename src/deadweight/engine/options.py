"""Define how a container runs: a frozen options record, varied with ``but``, and the hardened default.

API differences between Docker and Podman are handled here too, one class each: container options, networks, pulls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import posixpath
import re
import resource
import socket
import struct
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from deadweight._errors import DeadweightError, UsageError, wording
from deadweight.engine import api as wire
from deadweight.engine.api import EngineInfo
from deadweight.suite.model import RunSettings, Variant
from deadweight.suite.values import parse_tmpfs

if TYPE_CHECKING:
    from docker.api.client import APIClient

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
    user, else 65532), limits on memory (no swap), CPU and processes, one port on loopback, tmpfs without exec and set-uid (a
    quarter of the memory at most, unless a size is given).
    """
    return RunOptions(
        user=settings.user or (image_user if not is_root(image_user) else NON_ROOT),
        read_only=settings.read_only,
        tmpfs=tuple(
            Tmpfs(path, size or min(TMPFS_BYTES, settings.memory // 4))  # ``/tmp`` or ``/tmp:16MiB``
            for path, size in map(parse_tmpfs, settings.tmpfs)
        ),
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


# What each engine makes of them, and of networks and pulls.
BRIDGE_NAME = "com.docker.network.bridge.name"
"""Left to itself, Docker calls a network's bridge by the network's id, and Podman by a number."""

LIBPOD = "/v4.0.0/libpod"
"""Podman's own API, beside the compatible one."""

LOOPBACK = re.compile(r"^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])(?::\d+)?/")
"""A reference to a registry of this machine: Docker speaks to these without TLS unasked, Podman where it is told to."""

LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
MOST = 65_536
"""What is asked for where nothing binds."""


class Docker:
    """Docker's words (Engine API 1.41 and later)."""

    unit = "docker"
    """Its service for systemd."""
    keeps_tmpfs_modes = False
    """Whether its runtime mounts a folder in memory with the mode that is asked for."""
    tmpfs_words = ""

    cut_off: Mapping[str, str] = {"com.docker.network.bridge.inhibit_ipv4": "true"}
    """The options of a network whose bridge has no address of the engine's machine."""

    log: Mapping[str, Any] | None = {"Type": "json-file", "Config": {"max-size": str(LOG_BYTES), "max-file": "1"}}
    """Where containers log to, and how much."""

    def __init__(self, info: EngineInfo, host: str, certificates: str | None = None) -> None:
        self.info, self.host, self.certificates = info, host, certificates

    def create_body(self, image: str, options: RunOptions) -> dict[str, Any]:
        """Options as the document of ``POST /containers/create``. Raises UsageError for a seccomp profile that cannot be read."""
        ports = (options.publish, *options.ports) if options.publish else ()
        return _without_none({
            "Image": image,
            "Env": [f"{name}={value}" for name, value in sorted(options.env.items())],
            "Labels": dict(options.labels),
            "HostConfig": self._host_config(options),
            "User": options.user,
            "Cmd": list(options.args) or None,
            "Entrypoint": None if options.entrypoint is None else list(options.entrypoint),
            "ExposedPorts": {f"{port}/tcp": {} for port in ports} or None,
        })  # fmt: skip

    def _host_config(self, options: RunOptions) -> dict[str, Any]:
        memory, swap = options.memory_bytes, options.swap_bytes
        published = {**dict.fromkeys(options.ports), options.publish: options.host_port} if options.publish else {}
        return _without_none({
            "ReadonlyRootfs": options.read_only,
            "Tmpfs": {folder.path: folder.options() + self.tmpfs_words for folder in options.tmpfs},
            "CapDrop": list(options.cap_drop),
            "CapAdd": list(options.cap_add),
            "SecurityOpt": self._security(options),
            "Privileged": options.privileged,
            "NetworkMode": options.network,
            "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in self._ulimits(options)],
            "Mounts": [
                {"Type": "bind", "Source": str(m.source), "Target": m.target, "ReadOnly": m.read_only}
                for m in options.mounts
            ],
            "Memory": memory,
            "MemorySwap": None if memory is None or swap is None else memory + swap,
            "NanoCpus": None if options.cpus is None else int(options.cpus * 1e9),
            "PidsLimit": options.pids,
            "PidMode": options.pid_mode,
            "IpcMode": options.ipc_mode,
            "UsernsMode": options.userns_mode,
            "DeviceCgroupRules": list(options.device_rules) or None,
            "ExtraHosts": [f"{name}:{address}" for name, address in options.hosts.items()] or None,
            "Dns": list(options.dns) or None,
            "LogConfig": self.log,
            **dict.fromkeys(("MaskedPaths", "ReadonlyPaths"), None if options.masked_paths else []),
            "PortBindings": {
                f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(host_port or "")}]
                for port, host_port in published.items()
            } or None,
        })  # fmt: skip

    def _security(self, options: RunOptions) -> list[str]:
        # with a colon, Docker's log complains each time
        words = ["no-new-privileges"] if options.no_new_privileges else []
        if options.seccomp == "unconfined":
            words.append("seccomp=unconfined")
        elif options.seccomp != "default":
            words.append(f"seccomp={self._profile(Path(options.seccomp))}")
        if options.apparmor != "default":
            words.append(f"apparmor={options.apparmor}")
        return words

    def _profile(self, path: Path) -> str:
        """A seccomp profile's content."""
        try:
            return json.dumps(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UsageError(wording("seccomp.not_a_profile", file=path, problem=error)) from error

    def _ulimits(self, options: RunOptions) -> tuple[Ulimit, ...]:
        return options.ulimits

    def create_network(self, api: APIClient, name: str, labels: Mapping[str, str]) -> None:
        """Create a bridge network that nothing leads out of, and whose bridge has no address of the engine's machine. Raises
        DeadweightError, or the SDK's errors."""
        options = {BRIDGE_NAME: bridge_of(name), **self.cut_off}
        api.create_network(name, driver="bridge", internal=True, options=options, labels=dict(labels))

    def namespaces(self) -> tuple[str, ...]:
        """In which network, by ``RunOptions.network``, its bridges may be."""
        return ("host",)

    def pull(self, api: APIClient, reference: str) -> Iterable[Mapping[str, Any]]:
        """Have it get an image from a registry, also from one of this machine that speaks no TLS; gives what it says of it."""
        return cast("Iterable[Mapping[str, Any]]", api.pull(reference, stream=True, decode=True))


class Podman(Docker):
    """Podman's: what its compatible API does not take is asked of its own."""

    unit = "podman"
    keeps_tmpfs_modes = True
    tmpfs_words = ",notmpcopyup"
    """It copies what the image has there, Docker does not: what holds with one is to hold with the other."""
    cut_off: Mapping[str, str] = {}
    log = None
    """Its log drivers have other names and options; it bounds nothing by default."""

    @cached_property
    def ceilings(self) -> Mapping[str, int]:
        """How far limits may go that it cannot raise."""
        return ceilings(self.host)

    def _profile(self, path: Path) -> str:
        """The name of a file on its machine."""
        super()._profile(path)
        return str(path.absolute())

    def _security(self, options: RunOptions) -> list[str]:
        """It does not look at the lists of masked paths that Docker takes."""
        return [*super()._security(options), *([] if options.masked_paths else ["unmask=ALL"])]

    def _ulimits(self, options: RunOptions) -> tuple[Ulimit, ...]:
        """Those given and those it would otherwise raise, none beyond what its runtime may set."""
        bounds = self.ceilings
        limits = {name: Ulimit(name, bound, bound) for name, bound in bounds.items()}
        for limit in options.ulimits:
            bound = bounds.get(limit.name, limit.hard)
            limits[limit.name] = Ulimit(limit.name, min(limit.soft, bound), min(limit.hard, bound))
        return tuple(limits.values())

    def create_network(self, api: APIClient, name: str, labels: Mapping[str, str]) -> None:
        """It leaves a bridge without an address where nothing leads out and it answers for no names there, which only its own API
        can ask for."""
        asked = {
            "name": name,
            "driver": "bridge",
            "network_interface": bridge_of(name),
            "internal": True,
            "dns_enabled": False,
            "labels": dict(labels),
        }
        answer = api.post(f"{api.base_url}{LIBPOD}/networks/create", json=asked)
        if not answer.ok:
            action = f"create network {name}"
            raise DeadweightError(wording("engine.refused", action=action, problem=answer.text.strip()))

    def namespaces(self) -> tuple[str, ...]:
        """Its machine's; without root a namespace for all bridges of its user. Its place follows from where that Podman keeps
        things: in one way since Podman 5, in another before."""
        if not self.info.rootless:
            return ("host",)
        described = wire.document_once(self.host, wire.PODMAN_INFO, self.certificates)
        store = described.get("store") or {}
        root, run = str(store.get("graphRoot") or ""), str(store.get("runRoot") or "")
        old = f"rootless-netns-{hashlib.sha256(f'{root}/libpod'.encode()).hexdigest()[:20]}"
        mappings = ((described.get("host") or {}).get("idMappings") or {}).get("uidmap") or ()
        users = [mapping.get("host_id") for mapping in mappings if mapping.get("container_id") == 0]
        # XDG_RUNTIME_DIR: around Podman's own folder there, and where Podman looks for it by the user's number
        folders = [posixpath.dirname(run), *(f"/run/user/{user}" for user in users)]
        before = [posixpath.join(folder, "netns", old) for folder in folders]
        since = posixpath.join(run, "networks", "rootless-netns", "rootless-netns")
        places = [*before, since] if self.info.version.startswith("4.") else [since, *before]
        return tuple(f"ns:{place}" for place in dict.fromkeys(places))

    def pull(self, api: APIClient, reference: str) -> Iterable[Mapping[str, Any]]:
        if not LOOPBACK.match(reference):
            return super().pull(api, reference)
        words = urllib.parse.urlencode({"reference": reference, "tlsVerify": "false"})
        with api.post(f"{api.base_url}{LIBPOD}/images/pull?{words}", stream=True, timeout=None) as answer:
            messages: list[Mapping[str, Any]] = [json.loads(line) for line in answer.iter_lines() if line]
        if answer.ok:
            return messages
        status = f"HTTP status {answer.status_code}"
        return [{"error": message.get("message") or status} for message in messages or [{}]]


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def dialect_of(info: EngineInfo, host: str, certificates: str | None = None) -> Docker:
    """That of an engine."""
    return (Podman if info.podman else Docker)(info, host, certificates)


def bridge_of(network: str) -> str:
    """The name of the bridge of a network of ours on the engine's machine; 15 characters, as many as Linux allows."""
    return f"dw-{network.rpartition('-')[2]}"


ENGINES = ("dockerd", "podman", "systemd")
"""Programs that listen on an engine's socket of this machine (systemd for both of them, until they start)."""


def socket_peer(host: str) -> tuple[int, int]:
    """Process and user of the engine that listens on a socket of this machine (unix(7), SO_PEERCRED); (0, 0) where none is seen: it
    is of another process namespace, or what listens passes on to an engine elsewhere (of Desktop, Lima, WSL, ssh)."""
    with contextlib.suppress(OSError, AttributeError, KeyError), socket.socket(socket.AF_UNIX) as there:
        there.settimeout(3.0)
        there.connect(host.removeprefix("unix://"))
        pid, user, _ = struct.unpack("3i", there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        status = dict(re.findall(r"(?m)^(Name|NSpid):\t(.*)$", Path(f"/proc/{pid}/status").read_text()))
        return (pid, user) if status["Name"] in ENGINES and status["NSpid"] == str(pid) else (0, 0)
    return 0, 0


def ceilings(host: str) -> Mapping[str, int]:
    """How far the runtime of the engine at ``host`` can raise limits, by their names in setrlimit(2): to the hard limits of its
    service; to our own, where those are not to be seen.

    Podman asks for limits that a machine without CAP_SYS_RESOURCE (a container, a CI runner) refuses: "setrlimit RLIMIT_NPROC:
    operation not permitted". What binds are the limits of its service, which lowers them as it starts.
    """
    pid, _ = socket_peer(host)
    try:
        bounds = {name: resource.prlimit(pid, number)[1] for name, number in LIMITS.items()}
    except (OSError, AttributeError):  # it has ended or is another user's; macOS cannot tell
        bounds = {name: resource.getrlimit(number)[1] for name, number in LIMITS.items()}
    return {name: MOST if bound == resource.RLIM_INFINITY else min(bound, MOST) for name, bound in bounds.items()}
