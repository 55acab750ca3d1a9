"""Run Go, and build Go tools from pinned modules."""

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
from deadweight.toolchain import tool_cache
from deadweight.toolchain.catalogue import Program
from deadweight.toolchain.find import Tool, find

BUILD_SECONDS = 1800.0
COLLECT_PERCENT = "400"
"""For compilers: they collect garbage less often, which takes a sixth of their processor time away, for more memory."""
STRIPPED = ("build", "-trimpath", "-gcflags=all=-dwarf=false")
"""How Go is asked for a program without what only debuggers read, which ``-s -w`` leaves out anyhow: it compiles in four fifths of
the time. The same for all programs, since they share compiled packages only where their flags are the same."""
OFFLINE_HINT = "modules come from GOPROXY (see go env GOPROXY): check that it can be reached"


def go_environment(go: Tool | None = None) -> dict[str, str]:
    """Environment for every ``go`` that builds a program of ours.

    The compile cache is one of our own, so that clearing it harms nobody, and shared by them all; a service has another one.
    Downloaded modules stay in the user's module cache, unless Go itself is our copy. Raises MissingError where there is no Go.
    """
    go = go or find("go")
    cache = user_cache() / "go"
    given = {"GOCACHE": str(cache / "build"), "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    given["GOGC"] = COLLECT_PERCENT
    if go.ours:
        given |= {
            "GOMODCACHE": str(cache / "mod"),
            "GOPATH": str(cache),
            "GOENV": "off",
            "GOROOT": str(go.path.parents[1]),
        }
    return given


def fetch(entry: Program, log: Path) -> None:
    """Download the modules that a tool's build needs, and only these, without compiling: the compiler may be busy meanwhile."""
    _run_go(entry, log, "list", "-deps", "-f", "")


def build(entry: Program, log: Path, *, anew: bool = False) -> Path:
    """Build a Go tool from its ``go.mod`` and ``go.sum`` into our copies; returns the program.

    Raises MissingError without Go; CommandError if a module is not in reach, has another hash, or does not compile.
    """
    flags = f"-s -w {entry.ldflags.format(version=entry.pinned)}".strip()
    words = (*STRIPPED, f"-ldflags={flags}", "-o")
    return tool_cache.make(entry, lambda folder, _: _run_go(entry, log, *words, folder / entry.file), anew=anew)


def _run_go(entry: Program, log: Path, *words: str | Path) -> None:
    """Run Go on a copy of the module's files, so that nothing is ever written into the installed package."""
    go = find("go")
    # Where the module asks for a newer Go, this one fetches it, as a module.
    env = go_environment(go) | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto"}
    with tempfile.TemporaryDirectory(prefix=f"deadweight-{words[0]}-{entry.name}-") as module:
        for part in entry.module_files:
            shutil.copyfile(part, Path(module) / part.name)
        argv = [go.path, *words, entry.source]
        run(argv, cwd=Path(module), env=env, log=log, timeout=BUILD_SECONDS, hint=OFFLINE_HINT)


# Compile our own small Go programs that run in containers, on first use, and keep them in the user's cache.
PROGRAM_SECONDS = 300.0
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""An engine's names, and ours, as Go calls them."""
APK_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
"""Go's names as apk calls them."""

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
    file = program_file(architecture, source)
    with _one_at_a_time:
        if not file.exists():
            write_atomically(file, _compiled(architecture, source, env or {}), mode=0o755)
    return file.absolute()


def program_file(architecture: str, source: Path) -> Path:
    """Where ``built`` keeps the program, whether or not it is there."""
    return user_cache() / "attacks" / f"{source.name}-{source_digest(source)[:16]}-{architecture}"


def source_digest(source: Path) -> str:
    """A digest of all that it is made from."""
    parts = [f"{file.name}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n" for file in sorted(source.glob("*.*"))]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _compiled(architecture: str, source: Path, env: Mapping[str, str]) -> bytes:
    go = find("go")
    env = {**env, **go_environment(go), "CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": architecture}
    with tempfile.TemporaryDirectory(prefix="deadweight-program-") as name:
        module, program = Path(name) / "module", Path(name) / "program"
        shutil.copytree(source, module)  # nothing is ever written into the installed package
        words = (*STRIPPED, "-buildvcs=false", "-ldflags=-s -w", "-o", program, ".")
        run([go.path, *words], cwd=module, env=env, timeout=PROGRAM_SECONDS)
        return program.read_bytes()
