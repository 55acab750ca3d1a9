"""Docker 29, containerd and runc, built from their Go modules for ``nox -s engines``: pinned in ``go/``, once for each user."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deadweight._run import run
from deadweight.records.paths import user_cache
from deadweight.toolchain import golang, system
from deadweight.toolchain.catalogue import Program, system_program
from deadweight.toolchain.find import find

GO = Path(__file__).parent / "go"
PACKAGES = (
    system_program("libseccomp", apt=("gcc", "pkg-config", "libseccomp-dev", "libc6-dev")),
    system_program("rootlesskit", apt=("rootlesskit", "uidmap", "slirp4netns")),
)
"""What runc is linked with, and what starts Docker of a user who is not root."""


@dataclass(frozen=True)
class Module:
    """``commands`` are its packages. One with ``tags`` is compiled with C, and linked statically."""

    pin: Program
    commands: tuple[str, ...]
    tags: str = ""


def _module(name: str, path: str, version: str, *commands: str, tags: str = "") -> Module:
    pin = Program(name, "go", (), module=path, ldflags=f"-s -w -X {version}", folder=str(GO / name))
    return Module(pin, tuple(f"{path}{command}" for command in commands), tags)


MOBY, CONTAINERD = "github.com/moby/moby/v2", "github.com/containerd/containerd/v2"
MOBYS = f"{MOBY}/dockerversion.Version=29.0.0-moby.{{version}}"
CONTAINERDS = f"{CONTAINERD}/version.Version=v{{version}}"
RUNC, RUNCS = "github.com/opencontainers/runc", "main.version={version}"
MODULES = (
    _module("moby", MOBY, MOBYS, "/cmd/dockerd", "/cmd/docker-proxy"),
    _module("containerd", CONTAINERD, CONTAINERDS, "/cmd/containerd", "/cmd/containerd-shim-runc-v2"),
    _module("runc", RUNC, RUNCS, "", tags="seccomp,netgo,osusergo"),
)


def folder(*, overlay2: bool = False) -> Path:
    """What stands first on PATH for such an engine, built now if it is not there yet. With ``overlay2``, it keeps images as
    engines before 29 do."""
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(GO.glob("*/go.*")))).hexdigest()[:8]
    made = user_cache() / "tests" / f"engine-{key}"
    if not made.is_dir():
        _build(made)
    if not overlay2:
        return made
    other = made.with_name(f"{made.name}-overlay2")
    if not other.is_dir():
        partial = Path(tempfile.mkdtemp(dir=made.parent))
        for program in made.iterdir():
            (partial / program.name).symlink_to(program)
        (partial / "dockerd").unlink()
        words = f'exec "{made}/dockerd" --feature containerd-snapshotter=false "$@"'
        (partial / "dockerd").write_text(f"#!/bin/sh\n{words}\n")
        (partial / "dockerd").chmod(0o755)
        partial.rename(other)
    return other


def _build(made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    log, go = made.parent / "engine.log", find("go")
    with tempfile.TemporaryDirectory(prefix=".engine-", dir=made.parent) as name:
        partial = Path(name) / "bin"
        partial.mkdir()
        for module in MODULES:
            source = Path(name) / module.pin.name
            shutil.copytree(module.pin.module_folder, source)
            flags = module.pin.ldflags.format(version=module.pin.pinned) + " -extldflags=-static" * bool(module.tags)
            words = [go.path, *golang.STRIPPED, f"-ldflags={flags}", f"-tags={module.tags}", "-o", f"{partial}/"]
            env = golang.go_environment(go) | {"CGO_ENABLED": str(int(bool(module.tags))), "GOTOOLCHAIN": "auto"}
            run([*words, *module.commands], cwd=source, env=env, log=log, timeout=golang.BUILD_SECONDS)
        partial.rename(made)


if __name__ == "__main__":  # all that nox -s engines needs beside set-up
    with tempfile.TemporaryDirectory() as logs:
        system.install(PACKAGES, Path(logs) / "packages.log")
    print(folder())
