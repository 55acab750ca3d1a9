"""What engine this is, and what of a container's walls it can build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class EngineInfo:
    """An engine's own description. ``cgroup`` is "1" or "2"; ``memory_bytes`` is the machine's.

    ``containerd_store`` tells that image ids are manifest digests there (Docker's containerd image store), not config digests.
    ``root_dir`` is the engine's own folder, on its machine.
    ``user_namespaces`` tells that it maps the users of containers to others of the machine (``userns-remap``).
    ``desktop`` tells that containers run in a virtual machine: their addresses cannot be reached from here, published ports can.
    """

    name: str
    version: str
    api_version: str
    operating_system: str
    architecture: str
    kernel: str
    storage_driver: str
    containerd_store: bool
    cgroup: str
    rootless: bool
    seccomp: bool
    apparmor: bool
    selinux: bool
    desktop: bool
    cpus: int
    memory_bytes: int
    root_dir: str = ""
    user_namespaces: bool = False

    @property
    def podman(self) -> bool:
        return self.name == "Podman"


def parse_info(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineInfo:
    """Read the engine's ``/version`` and ``/info`` documents (Docker 20.10 and later, Podman's compatible socket)."""
    parts = {str(part.get("Name")) for part in version.get("Components") or ()}
    options = {_option_name(option) for option in info.get("SecurityOptions") or ()}
    system = str(info.get("OperatingSystem", ""))
    return EngineInfo(
        name="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        operating_system=system,
        architecture=str(info.get("Architecture", "")),
        kernel=str(info.get("KernelVersion", "")),
        storage_driver=str(info.get("Driver", "")),
        containerd_store=any("io.containerd.snapshotter" in str(pair) for pair in info.get("DriverStatus") or ()),
        cgroup=str(info.get("CgroupVersion") or "1"),
        rootless="rootless" in options or bool(info.get("Rootless")),  # Podman's own word for it
        seccomp="seccomp" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        desktop="Docker Desktop" in system,
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        root_dir=str(info.get("DockerRootDir") or ""),
        user_namespaces="userns" in options,
    )


def _option_name(option: str) -> str:
    """``name=seccomp,profile=default`` → ``seccomp``; a bare ``seccomp`` (older engines) stays."""
    return option.split(",", 1)[0].removeprefix("name=")
