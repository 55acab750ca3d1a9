"""Compile our own small Go programs that run in containers, on first use, and keep them in the user's cache."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from deadweight._errors import DeadweightError, wording
from deadweight._run import run
from deadweight.records.paths import user_cache
from deadweight.records.store import write_atomically

BUILD_SECONDS = 300.0
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""An engine's names, and ours, as Go calls them."""

_one_at_a_time = threading.Lock()


def go_architecture(machine: str) -> str:
    """Go's name of an engine's architecture. Raises DeadweightError for one that our programs are not made for."""
    if machine not in ARCHITECTURES:
        raise DeadweightError(wording("toolchain.architecture", machine=machine))
    return ARCHITECTURES[machine]


def built(architecture: str, source: Path, env: Mapping[str, str] | None = None) -> Path:
    """The static program for one of Go's architectures; compiled where it, or what it is made from, is new here. ``source`` is the
    folder of its module, and gives it its name; ``env`` says where its modules come from. Raises DeadweightError (MissingError
    without Go)."""
    file = user_cache() / "attacks" / f"{source.name}-{source_digest(source)[:16]}-{architecture}"
    with _one_at_a_time:
        if not file.exists():
            write_atomically(file, _compiled(architecture, source, env or {}), mode=0o755)
    return file.absolute()


def source_digest(source: Path) -> str:
    """A digest of all that it is made from."""
    parts = [f"{file.name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in sorted(source.glob("*.*"))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _compiled(architecture: str, source: Path, env: Mapping[str, str]) -> bytes:
    from deadweight.toolchain.find import find
    from deadweight.toolchain.golang import go_environment

    go = find("go")
    env = {**env, **go_environment(go), "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": architecture}
    with tempfile.TemporaryDirectory(prefix="deadweight-program-") as name:
        module, program = Path(name) / "module", Path(name) / "program"
        shutil.copytree(source, module)  # nothing is ever written into the installed package
        words = ("build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, ".")
        run([go.path, *words], cwd=module, env=env, timeout=BUILD_SECONDS)
        return program.read_bytes()
