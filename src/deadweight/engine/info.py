"""Parse the engine's version and isolation features into a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadweight._errors import MissingError, wording
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from docker.api.client import APIClient

Documents = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An engine's ``/version`` and ``/info``."""


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


def asked(api: APIClient, host: str) -> Documents:
    """Ask an engine what it is; Podman takes 0.3 s to answer. Raises MissingError where it does not, or not as an engine does."""
    with translated("info"):
        version, info = api.version(), api.info()
    if not isinstance(version, Mapping) or not isinstance(info, Mapping):
        raise MissingError(wording("engine.not_an_engine", host=host))
    return version, info


def parse_info(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineInfo:
    """Read the engine's ``/version`` and ``/info`` documents (Docker 20.10 and later, Podman's compatible socket).

    What is of another kind than those say counts as not said.
    """
    parts = {str(part.get("Name")) for part in _list(version, "Components") if isinstance(part, Mapping)}
    options = {_option_name(option) for option in _list(info, "SecurityOptions") if isinstance(option, str)}
    system = _text(info, "OperatingSystem")
    return EngineInfo(
        name="Podman" if any("podman" in part.lower() for part in parts) else "Docker",
        version=_text(version, "Version"),
        api_version=_text(version, "ApiVersion"),
        operating_system=system,
        architecture=_text(info, "Architecture"),
        kernel=_text(info, "KernelVersion"),
        storage_driver=_text(info, "Driver"),
        containerd_store=any("io.containerd.snapshotter" in str(pair) for pair in _list(info, "DriverStatus")),
        cgroup=_text(info, "CgroupVersion") or "1",
        rootless="rootless" in options or bool(info.get("Rootless")),  # Podman's own word for it
        seccomp="seccomp" in options,
        apparmor="apparmor" in options,
        selinux="selinux" in options,
        desktop="Docker Desktop" in system,
        cpus=_number(info, "NCPU"),
        memory_bytes=_number(info, "MemTotal"),
        root_dir=_text(info, "DockerRootDir"),
        user_namespaces="userns" in options,
    )


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    found = document.get(key)
    return found if isinstance(found, list) else []


def _text(document: Mapping[str, Any], key: str) -> str:
    found = document.get(key)
    return found if isinstance(found, str) else ""


def _number(document: Mapping[str, Any], key: str) -> int:
    found = document.get(key)
    return found if isinstance(found, int) else 0


def _option_name(option: str) -> str:
    """``name=seccomp,profile=default`` → ``seccomp``; a bare ``seccomp`` (older engines) stays."""
    return option.split(",", 1)[0].removeprefix("name=")
