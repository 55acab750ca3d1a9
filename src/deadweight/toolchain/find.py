"""Find a tool: the right version on PATH, else our own copy, else an error with the command that gets it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from deadweight._errors import CommandError, DeadweightError, MissingError, quoting, wording
from deadweight._run import run
from deadweight.records import store
from deadweight.toolchain import catalogue, tool_cache
from deadweight.toolchain.catalogue import Program
from deadweight.toolchain.tool_cache import tools_folder

Status = Literal["present", "missing", "wrong_version", "unusable"]

PLUGIN_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)


_seen: ContextVar[dict[str, Look]] = ContextVar("seen")


@dataclass(frozen=True)
class Tool:
    """A usable program. ``ours`` is true for the copy that Deadweight installed, false for one already on the machine."""

    name: str
    path: Path
    version: str
    ours: bool


@dataclass(frozen=True)
class Look:
    """What was seen. ``tool`` is there if and only if the status is ``present``; ``reason`` tells what was passed over, and why."""

    entry: Program
    status: Status
    tool: Tool | None = None
    path: Path | None = None
    version: str | None = None
    reason: str = ""


def find(name: str) -> Tool:
    """The tool of that name, ready to run. Raises MissingError (exit 3), which names the version found and the command that
    installs it."""
    seen = inspect_tool(name)
    if seen.tool is not None:
        return seen.tool
    entry = seen.entry
    program = " ".join(filter(None, (name, entry.pinned or (f"{entry.least} or later" if entry.least else ""))))
    if seen.reason:
        message = wording("toolchain.passed_over", program=program, why=seen.reason)
    else:
        message = wording("toolchain.missing", program=program)
    raise MissingError(message, hint=wording("toolchain.install"))


@contextlib.contextmanager
def cached_lookups() -> Iterator[None]:
    """Within it this thread looks for each tool once: a plan for a thousand variants asks for the same ones, and installs none."""
    before = _seen.set(_seen.get({}))
    try:
        yield
    finally:
        _seen.reset(before)


def inspect_tool(name: str) -> Look:
    """What there is of a tool. Raises UsageError only for a name that the catalogue lacks."""
    seen = _seen.get({})
    if name not in seen:
        seen[name] = _look_up(name)
    return seen[name]


def _look_up(name: str) -> Look:
    entry = catalogue.program(name)
    home = os.environ.get("JAVA_HOME") if entry.name == "java" else None
    promise = ""
    if home and not os.path.isfile(f"{home}/bin/java"):  # noqa: PTH113
        promise = wording("toolchain.no_java_home", folder=home)
    worst: Look | None = None
    for path in _on_machine(entry):
        seen = _probe(entry, path)
        if seen.status == "present":
            return replace(seen, reason=promise)
        worst = worst or seen
    worst = worst or Look(entry, "missing")
    reason = f"{promise}; {worst.reason}" if promise and worst.reason else promise or worst.reason
    copy = None if entry.kind == "system" else tool_cache.program_path(entry)
    mine = _probe(entry, copy, ours=True) if copy and copy.is_file() else None
    return mine if mine and mine.status == "unusable" else replace(mine or worst, reason=reason)


def _probe(entry: Program, path: Path, *, ours: bool = False) -> Look:
    """``ours``: it is our own copy, whose version is the pinned one; only whether it is damaged is asked."""
    answer = ask(path, entry.probe, entry.pattern, _environment(entry))
    if answer.version is None and (ours or entry.least is not None or entry.pinned is not None or not answer.ran):
        return Look(entry, "unusable", None, path, None, answer.problem)
    version = answer.version or "unknown"
    if problem := "" if ours else _refusal(entry, path, version):
        return Look(entry, "wrong_version", None, path, version, problem)
    return Look(entry, "present", Tool(entry.name, path, version, ours), path, version)


def _environment(entry: Program) -> dict[str, str]:
    """Maven is asked with the JDK that it will be run with: one that JAVA_HOME names may not be there."""
    java = inspect_tool("java").tool if entry.name == "mvn" and os.environ.get("JAVA_HOME") else None
    return {"JAVA_HOME": str(java.path.resolve().parent.parent)} if java else {}


def _refusal(entry: Program, path: Path, version: str) -> str:
    """Why this version will not do, or what a program of the right version lacks: a JRE has no compiler, a Docker client no way to
    reach BuildKit. Empty if it will do."""
    if entry.exact and entry.gettable and version != entry.pinned:
        return wording("toolchain.other_version", path=path, version=version, required=entry.pinned)
    if entry.least is not None and number(version) < number(entry.least):
        return wording("toolchain.too_old", path=path, version=version, least=entry.least)
    if entry.name == "java":
        beside = path.resolve().parent
        lacking = [name for name in ("javac", "jlink") if not os.access(beside / name, os.X_OK)]
        return wording("toolchain.no_jdk", path=path, lacking=" and ".join(lacking)) if lacking else ""
    if entry.name == "docker-cli" and number(version) >= (23,) and inspect_tool("buildx").tool is None:
        return wording("toolchain.no_buildx", path=path, version=version)
    return ""


def _on_machine(entry: Program) -> Iterator[Path]:
    """Every place on this machine where the program stands, best first, each once. A folder that cannot be read has none."""
    names = (os.path.join(folder, command) for folder in _folders(entry) for command in entry.commands)  # noqa: PTH118
    return map(Path, filter(os.path.isfile, dict.fromkeys(names)))


def _folders(entry: Program) -> Iterator[str | Path]:
    if entry.name == "java" and os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"]) / "bin"
    if entry.name == "buildx":
        configured = os.environ.get("DOCKER_CONFIG")
        yield (Path(configured) if configured else Path.home() / ".docker") / "cli-plugins"
        yield from PLUGIN_FOLDERS
    yield from filter(None, os.environ.get("PATH", os.defpath).split(os.pathsep))
    if entry.kind == "system":
        # A user's PATH often lacks the administrator's folders, and other folders may shadow the system's own program.
        yield from ("/usr/bin", "/usr/sbin", "/sbin")


# Ask a program for its version, with a time limit; cache the answer by path, modification time and size.
PROBE_SECONDS = 20.0
"""How long a program may take to tell its version. A JVM on a busy machine needs several seconds."""

_guard = threading.Lock()


class Answer(NamedTuple):
    """What a probe gave: a version, or why there is none. ``ran``: the program ran to its end, and told none."""

    version: str | None
    problem: str = ""
    ran: bool = False


def ask(path: Path, arguments: tuple[str, ...], pattern: str, env: Mapping[str, str] | None = None) -> Answer:
    """The version that the program at ``path`` tells. A program that hangs, crashes or says nothing known is no error here."""
    try:
        state = path.stat()
    except OSError as error:
        return Answer(None, wording("toolchain.unreadable", path=path, problem=error.strerror))
    if not os.access(path, os.X_OK):
        return Answer(None, wording("toolchain.not_executable", path=path))
    key, stamp = f"{path} {' '.join(arguments)}", (state.st_mtime_ns, state.st_size)
    known = _remembered().get(key)
    if known is not None and known[:2] == stamp:
        return Answer(known[2])
    answer = _ask_now(path, arguments, pattern, env or {})
    if answer.version is not None:
        with _guard, contextlib.suppress(DeadweightError):  # a cache that cannot be written only costs time
            store.save({**_remembered(), key: (*stamp, answer.version)}, _memory())
    return answer


def number(version: str) -> tuple[int, ...]:
    """A version as a tuple that compares: ``1.26.8`` is (1, 26, 8); what follows the numbers does not count."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def _ask_now(path: Path, arguments: tuple[str, ...], pattern: str, env: Mapping[str, str]) -> Answer:
    try:
        done = run([path, *arguments], timeout=_probe_seconds(), check=False, env={"GOTOOLCHAIN": "local", **env})
    except CommandError as error:
        return Answer(None, quoting(error.reason, f"{path} {error.reason}"))
    except MissingError:
        return Answer(None, wording("toolchain.not_startable", path=path))
    match = re.search(pattern, f"{done.output}\n{done.errors}")
    if match:
        return Answer(match.group(1))
    code = signal.Signals(-done.exit_code).name if done.exit_code < 0 else done.exit_code
    return Answer(None, wording("toolchain.no_version", path=path, code=code), ran=True)


def _probe_seconds() -> float:
    try:
        return float(os.environ["DEADWEIGHT_PROBE_SECONDS"])
    except (KeyError, ValueError):
        return PROBE_SECONDS


def _memory() -> Path:
    return tools_folder() / "versions.json"


def _remembered() -> dict[str, tuple[int, int, str]]:
    return store.load(dict[str, tuple[int, int, str]], _memory()) or {}
