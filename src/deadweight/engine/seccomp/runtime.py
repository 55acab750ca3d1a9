"""Find the engine's OCI runtime, its version and the calls it needs."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import CommandError, DeadweightError, MissingError, wording
from deadweight._run import run
from deadweight.engine.broken_engine import elf
from deadweight.toolchain.golang import ARCHITECTURES

if TYPE_CHECKING:
    from deadweight.engine.client import Engine


KNOWN = ("runc", "crun")


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
        raise DeadweightError(wording("seccomp.architecture_unsupported", architecture=engine.info.architecture))
    name = _name(version, info)
    if name not in KNOWN:
        raise DeadweightError(wording("seccomp.runtime_unknown", name=name or "unknown", known=", ".join(KNOWN)))
    here = engine.host.startswith("unix://") and not engine.info.desktop
    path = _path(name, info if here else {})
    if path is None:
        raise MissingError(wording("seccomp.runtime_missing", name=name))
    found = Runtime(name, version_of(path), path, architecture)
    if not here:
        _refuse_another(engine, found, _version(version, name))
    return found


def _refuse_another(engine: Engine, found: Runtime, told: str) -> None:
    """Raises MissingError where what an engine elsewhere starts containers with, or reads profiles from, is not here."""
    if engine.info.podman:
        raise MissingError(wording("seccomp.profile_elsewhere", host=engine.host))
    host, name, architecture = engine.host, found.name, found.architecture
    if found.version != told:
        version = told or wording("seccomp.unknown_version")
        raise MissingError(wording("seccomp.other_runtime", host=host, name=name, version=version, here=found.told))
    if ARCHITECTURES.get(platform.machine()) != architecture:
        raise MissingError(wording("seccomp.other_architecture", host=host, architecture=architecture, name=name))


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


CONTAINER_START_SECONDS = 3.0


def starting_under(
    runtime: Runtime, bundle: Path, seccomp: dict[str, Any], seconds: float = CONTAINER_START_SECONDS
) -> str:
    """Why a container does not start under a profile (as runtimes take it); empty where it does, and its program ends well.

    The runtime's own program is run, not an engine, which may hang with it where it is refused a call."""
    root = bundle / "rootfs"
    if not root.exists():
        for folder in ("proc", "dev"):
            (root / folder).mkdir(parents=True)
        (root / "end").write_bytes(elf(runtime.architecture))
        (root / "end").chmod(0o755)
    (bundle / "config.json").write_text(json.dumps(_spec(seccomp)), encoding="utf-8")
    identity = f"deadweight-floor-{uuid.uuid4().hex[:12]}"
    state = bundle / "state"
    # crun refuses a machine with both kinds of cgroups, and asks for none with this; runc makes those that it is asked for: none.
    command: list[str | Path] = [runtime.path, "--root", state]
    command += ["--cgroup-manager", "disabled"] if runtime.name == "crun" else []
    try:
        done = run([*command, "run", "--bundle", bundle, identity], stdin=b"", timeout=seconds, check=False)
    except CommandError as error:
        with contextlib.suppress(DeadweightError):
            run([*command, "delete", "--force", identity], timeout=CONTAINER_START_SECONDS * 3, check=False)
        return error.message
    if done.exit_code != 0:
        shutil.rmtree(state / identity, ignore_errors=True)
        said = (done.errors or done.output).strip().splitlines()
        return (said[-1] if said else f"exit code {done.exit_code}")[:300]
    return ""


def _spec(seccomp: dict[str, Any]) -> dict[str, Any]:
    """What the OCI runtime specification asks of a bundle: one program, no right, no new privileges. Without root the container
    is in a user namespace in which this user is the only one."""
    kinds = ["pid", "ipc", "uts", "mount", "network"]
    linux: dict[str, Any] = {"seccomp": seccomp}
    user = 65532
    if os.geteuid() != 0:
        kinds, user = [*kinds, "user"], 0
        linux["uidMappings"] = [{"containerID": user, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": user, "hostID": os.getegid(), "size": 1}]
    dev = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": user},
            "args": ["/end"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {each: [] for each in ("bounding", "effective", "permitted", "ambient")},
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, dev],
        "linux": {"namespaces": [{"type": kind} for kind in kinds], **linux},
    }
