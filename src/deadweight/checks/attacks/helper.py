"""The attacker's own program: built once with Go, kept in the user's cache, and bound into the containers that are attacked."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.engine.options import Mount
from deadweight.records.paths import user_cache
from deadweight.records.store import write_atomically

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

SOURCE = Path(__file__).with_name("helper")
TARGET = "/.deadweight-helper"
BUILD_SECONDS = 300.0
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Helper = Callable[["Subject"], tuple[Mount, ...]]

_one_at_a_time = threading.Lock()


def own_helper(subject: Subject) -> tuple[Mount, ...]:
    """The bind mount that brings it, read-only. Raises DeadweightError (MissingError without Go) where it cannot be made."""
    machine = subject.engine().info.architecture
    if machine not in ARCHITECTURES:
        raise DeadweightError(f"the attack program does not support {machine} (only amd64 and arm64)")
    return bound(built(ARCHITECTURES[machine]))


def bound(file: Path) -> tuple[Mount, ...]:
    """The mount that shows it to a container."""
    return (Mount(file, TARGET, read_only=True),)


def built(architecture: str, source: Path = SOURCE) -> Path:
    """The static program for one of Go's architectures; compiled where it, or what it is made from, is new here. ``source`` is the
    folder of its module, and gives it its name."""
    file = user_cache() / "attacks" / f"{source.name}-{source_digest(source)[:16]}-{architecture}"
    with _one_at_a_time:
        if not file.exists():
            write_atomically(file, _compiled(architecture, source), mode=0o755)
    return file.absolute()


def source_digest(source: Path = SOURCE) -> str:
    """A digest of all that it is made from."""
    parts = [f"{file.name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in sorted(source.glob("*.*"))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _compiled(architecture: str, source: Path) -> bytes:
    from deadweight.toolchain.find import find
    from deadweight.toolchain.golang import go_environment

    go = find("go")
    env = go_environment(go) | {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": architecture}
    with tempfile.TemporaryDirectory(prefix="deadweight-helper-") as name:
        module, program = Path(name) / "module", Path(name) / "helper"
        shutil.copytree(source, module)  # nothing is ever written into the installed package
        argv: list[str | Path] = [
            go.path,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-s -w",
            "-o",
            program,
            ".",
        ]
        run(argv, cwd=module, env=env, timeout=BUILD_SECONDS)
        return program.read_bytes()
