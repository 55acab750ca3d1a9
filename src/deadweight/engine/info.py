"""Parse the engine's version and isolation features into a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


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
    """Read the engine's ``/version`` and ``/info`` documents (Docker 20.10 and later, Podman's compatible socket).

    What is of another kind than those say counts as not said.
    """
    parts = {str(part.get("Name")) for part in _typed(version, "Components", list) if isinstance(part, Mapping)}
    options = {_option_name(option) for option in _typed(info, "SecurityOptions", list) if isinstance(option, str)}
    system = _typed(info, "OperatingSystem", str)
    return EngineInfo(
        name="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        version=_typed(version, "Version", str),
        api_version=_typed(version, "ApiVersion", str),
        operating_system=system,
        architecture=_typed(info, "Architecture", str),
        kernel=_typed(info, "KernelVersion", str),
        storage_driver=_typed(info, "Driver", str),
        containerd_store=any("io.containerd.snapshotter" in str(pair) for pair in _typed(info, "DriverStatus", list)),
        cgroup=_typed(info, "CgroupVersion", str) or "1",
        rootless="rootless" in options or bool(info.get("Rootless")),  # Podman's own word for it
        seccomp="seccomp" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        desktop="Docker Desktop" in system,
        cpus=_typed(info, "NCPU", int),
        memory_bytes=_typed(info, "MemTotal", int),
        root_dir=_typed(info, "DockerRootDir", str),
        user_namespaces="userns" in options,
    )


def _typed(document: Mapping[str, Any], key: str, kind: type[T]) -> T:
    found = document.get(key)
    return found if isinstance(found, kind) else kind()


def _option_name(option: str) -> str:
    """``name=seccomp,profile=default`` → ``seccomp``; a bare ``seccomp`` (older engines) stays."""
    return option.split(",", 1)[0].removeprefix("name=")
