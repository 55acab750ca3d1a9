"""The program that an engine starts containers with, and its version."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, MissingError
from deadweight._run import run

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

KNOWN = ("runc", "crun")
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Runtime:
    """``path`` is its program on this machine; ``version`` is as it says itself, ``architecture`` by Go's name."""

    name: str
    version: str
    path: str
    architecture: str

    @property
    def told(self) -> str:
        return f"{self.name} {self.version}"


def runtime_of(engine: Engine) -> Runtime:
    """The default runtime of an engine: of one on another machine, the same one here, where it has the same version. Raises
    DeadweightError for one that we do not know, or cannot run here."""
    version, info = engine.documents
    architecture = ARCHITECTURES.get(engine.info.architecture)
    if architecture is None:
        raise DeadweightError(
            f"the engine's architecture {engine.info.architecture} is not supported here (amd64 and arm64 are)"
        )
    name = _name(version, info)
    if name not in KNOWN:
        raise DeadweightError(f"the engine's runtime is {name or 'unknown'}; only {', '.join(KNOWN)} can be tried")
    here = engine.host.startswith("unix://") and not engine.info.desktop
    path = _path(name, info if here else {})
    if path is None:
        raise MissingError(f"the engine's runtime {name} was not found on this machine")
    found = Runtime(name, version_of(path), path, architecture)
    if not here:
        _refuse_another(engine, found, _version(version, name))
    return found


def _refuse_another(engine: Engine, found: Runtime, told: str) -> None:
    """Raises MissingError where what an engine elsewhere starts containers with, or reads profiles from, is not here."""
    there = f"the engine at {engine.host} runs on another machine"
    if engine.info.podman:
        raise MissingError(f"{there}, and Podman reads a seccomp profile from a file of its own machine")
    if found.version != told:
        raise MissingError(
            f"{there}, with {found.name} {told or 'of an unknown version'}, which cannot be tried from here: this machine has "
            f"{found.told}"
        )
    if ARCHITECTURES.get(platform.machine()) != found.architecture:
        raise MissingError(
            f"{there}, of the architecture {found.architecture}, whose {found.name} cannot be tried from here"
        )


def version_of(path: str) -> str:
    """``runc version 1.1.5+ds1`` and ``crun version 1.8.1`` stand on the first line."""
    first = run([path, "--version"], timeout=20).output.splitlines()[:1]
    return first[0].rpartition(" ")[2] if first else "of no known version"


def _name(version: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    for part in version.get("Components") or ():  # Podman's: "OCI Runtime (crun)", or with the path that it was given
        if str(part.get("Name", "")).startswith("OCI Runtime ("):
            return Path(str(part["Name"])[len("OCI Runtime (") : -1]).name
    return str(info.get("DefaultRuntime") or "")


def _version(version: Mapping[str, Any], name: str) -> str:
    return next((str(part.get("Version")) for part in version.get("Components") or () if part.get("Name") == name), "")


def _path(name: str, info: Mapping[str, Any]) -> str | None:
    said = ((info.get("Runtimes") or {}).get(name) or {}).get("path") or name
    for each in (said, Path("/usr/libexec/podman") / name, Path("/usr/lib/podman") / name):
        if found := shutil.which(str(each)):
            return found
    return None
