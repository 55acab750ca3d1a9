"""Find the system call whose refusal by a seccomp profile keeps a container from starting.

It starts containers to find out: it tests the runtime's own calls with the runtime itself, because an engine may hang forever if
its runtime is refused a call, and the program's calls with the engine. So no kernel log of refused calls is needed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import CommandError, DeadweightError, Interrupted, MissingError, wording
from deadweight._run import run
from deadweight.engine.broken_engine import elf
from deadweight.engine.faults import CannotStart, stop_if_cancelled
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import profile as custom_profile
from deadweight.engine.seccomp.profile import BY_TIMING
from deadweight.toolchain.golang import ARCHITECTURES

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.suite.model import Health

CONTAINER_START_SECONDS = 3.0
MOST_CALLS = 4
CHANCES = 3
BUDGET_SECONDS = 120.0
LEAST_SECONDS, FACTOR = 4.0, 4
PURPOSE = "seccomp"
LOADER = (
    "error while loading shared libraries",
    "Error loading shared library",
    "Error relocating",
    "cannot apply additional memory",
)
"""What the loaders of glibc and musl say."""


# The engine's OCI runtime, and a container that it starts without the engine.
KNOWN = ("runc", "crun")


@dataclass(frozen=True)
class Runtime:
    """``path`` is its program on this machine; ``version`` is as it says itself, ``architecture`` by Go's name."""

    name: str
    version: str
    path: str
    architecture: str

    @property
    def full_name(self) -> str:
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
    here = engine.user is not None
    path = _path(name, info if here else {})
    if path is None:
        raise MissingError(wording("seccomp.runtime_missing", name=name))
    runtime = Runtime(name, version_of(path), path, architecture)
    if not here:
        there = (part.get("Version") or "" for part in version.get("Components") or () if part.get("Name") == name)
        _refuse_another(engine, runtime, str(next(there, "")))
    return runtime


def _refuse_another(engine: Engine, runtime: Runtime, remote_version: str) -> None:
    """Raises MissingError where what an engine elsewhere starts containers with, or reads profiles from, is not here."""
    if engine.info.podman:
        raise MissingError(wording("seccomp.profile_elsewhere", host=engine.host))
    host, name, architecture = engine.host, runtime.name, runtime.architecture
    if runtime.version != remote_version:
        version = remote_version or wording("seccomp.unknown_version")
        raise MissingError(
            wording("seccomp.other_runtime", host=host, name=name, version=version, here=runtime.full_name)
        )
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


def _path(name: str, info: Mapping[str, Any]) -> str | None:
    path = str(((info.get("Runtimes") or {}).get(name) or {}).get("path") or name)
    places = (path, f"/usr/libexec/podman/{name}", f"/usr/lib/podman/{name}")
    return next(filter(None, map(shutil.which, places)), None)


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
        lines = (done.errors or done.output).strip().splitlines()
        return (lines[-1] if lines else f"exit code {done.exit_code}")[:300]
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
            "capabilities": {name: [] for name in ("bounding", "effective", "permitted", "ambient")},
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, dev],
        "linux": {"namespaces": [{"type": kind} for kind in kinds], **linux},
    }


# What a profile refuses it, or the program.
class StoppedByProfile(CannotStart):
    """A seccomp profile lets no container start."""


@dataclass(frozen=True)
class Refused:
    """``calls`` are needed by ``whom``; ``problem`` is what else is to be said. ``all_told``: with them it starts."""

    calls: tuple[str, ...]
    whom: str
    problem: str = ""
    all_told: bool = True


def is_file(seccomp: str) -> bool:
    """Whether options name a profile of somebody's own."""
    return seccomp not in ("default", "unconfined")


def check(engine: Engine, options: RunOptions, name: str = "") -> None:
    """See that the engine's runtime starts a container at all under a profile of somebody's own; once for each profile. ``name`` is
    what the profile is called, where the file is one of ours.

    Raises StoppedByProfile with the call, UsageError for a file that is no profile. Says nothing where the runtime cannot be tried
    from here (an engine elsewhere).
    """
    if not is_file(options.seccomp):
        return
    document, where = _profile(engine, options)
    try:
        runtime = runtime_of(engine)
    except DeadweightError:
        return
    refusal = _of_runtime(runtime, json.dumps(document, sort_keys=True), where)
    if refusal is not None:
        raise StoppedByProfile(refusal_text(name or options.seccomp, refusal, advise=not name))


def _profile(engine: Engine, options: RunOptions) -> tuple[dict[str, Any], custom_profile.Where]:
    file = engine.profile(options.seccomp)
    return custom_profile.read_profile(file), custom_profile.where(engine.info, options)


def explained(engine: Engine, image: str, options: RunOptions, health: Health, port: int | None, name: str = "") -> str:
    """Why a service does not come up under a profile of somebody's own; empty where it would not under the engine's either. Takes
    up to two minutes. Raises Interrupted."""
    if not is_file(options.seccomp):
        return ""
    try:
        check(engine, options, name)
        refusal = _OfProgram(engine, image, options.but(host_port=None), health, port).search()
        refusal = refusal or _at_times(engine, options)
    except Interrupted:
        raise
    except StoppedByProfile as stopped:
        return stopped.message
    except DeadweightError:
        return ""
    return refusal_text(name or options.seccomp, refusal, advise=not name) if refusal is not None else ""


def refusal_text(file: str, refusal: Refused, *, advise: bool = False) -> str:
    """One sentence."""
    advice = wording("seccomp.advice") if advise else ""
    if not refusal.calls:
        return wording("seccomp.stops_always", file=file, problem=refusal.problem, advice=advice)
    problem = f" ({refusal.problem})" if refusal.problem else ""
    calls = ", ".join((*refusal.calls, *(() if refusal.all_told else ("…",))))
    return wording("seccomp.stops", file=file, calls=calls, user=refusal.whom, problem=problem, advice=advice)


@functools.cache
def _of_runtime(runtime: Runtime, profile: str, where: custom_profile.Where) -> Refused | None:
    """What it refuses the runtime itself; None where a container starts."""
    document: Mapping[str, Any] = json.loads(profile)
    problem = ""
    with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as name:

        def starts(more: tuple[str, ...]) -> bool:
            nonlocal problem
            stop_if_cancelled()
            allowed = custom_profile.for_runtime(custom_profile.allowing(document, more), where)
            reason = starting_under(runtime, Path(name), allowed)
            problem = reason or problem
            return not reason

        refused = custom_profile.refused(document, where)
        held = _held(runtime, document, where)
        if all(starts(()) or starts(()) for _ in range(CHANCES if held else 1)):  # a busy machine may take its time
            return None
        first = problem
        if held and starts(held):
            return Refused(held, wording("seccomp.runtime_at_times", runtime=runtime.full_name), first)
        if not starts(refused):
            return None  # whatever it is, no call is at fault
        calls, whole = find_missing(refused, starts, MOST_CALLS)
    return Refused(calls, wording("seccomp.runtime_always", runtime=runtime.full_name), first, whole)


def _held(runtime: Runtime, document: Mapping[str, Any], where: custom_profile.Where) -> tuple[str, ...]:
    """Of what a profile refuses, what a runtime written in Go makes or not, as its scheduler wants it: one start passes, the next
    one hangs."""
    refused = custom_profile.refused(document, where, wholly=True)
    return tuple(call for call in refused if call in BY_TIMING) if runtime.name == "runc" else ()


def _at_times(engine: Engine, options: RunOptions) -> Refused | None:
    """Where a container did not start, and the next one does."""
    runtime = runtime_of(engine)
    held = _held(runtime, *_profile(engine, options))
    return Refused(held, wording("seccomp.runtime_at_times", runtime=runtime.full_name)) if held else None


@dataclass
class _OfProgram:
    """What it refuses the image's own program, or who loads it. ``before``: the last start failed in the engine."""

    engine: Engine
    image: str
    options: RunOptions
    health: Health
    port: int | None
    problem: str = ""
    before: bool = False
    ended: float = 0.0

    def search(self) -> Refused | None:
        started = time.monotonic()
        if not self._comes_up(self.options.but(seccomp="default")):
            return None
        took = time.monotonic() - started
        within = min(self.health.within_seconds, max(LEAST_SECONDS, took * FACTOR))
        self.health = self.health.model_copy(update={"within_seconds": within})
        self.ended = time.monotonic() + BUDGET_SECONDS
        document, where = _profile(self.engine, self.options)
        refused = custom_profile.refused(document, where)
        with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as folder:
            file = Path(folder) / "profile.json"

            def works(more: tuple[str, ...]) -> bool:
                if time.monotonic() > self.ended:
                    raise DeadweightError(wording("seccomp.search_too_long"))
                file.write_text(json.dumps(custom_profile.allowing(document, more)), encoding="utf-8")
                return self._comes_up(self.options.but(seccomp=str(file)))

            if works(()):
                return None  # it comes up after all
            if not works(refused):
                return Refused((), "", self.problem)
            calls, whole = find_missing(refused, works, MOST_CALLS)
            self.ended = float("inf")
            by_whom = list(dict.fromkeys(self._needed_by(works, calls, call) for call in calls))
        whom = by_whom[0] if len(by_whom) == 1 else " and ".join(by_whom)
        return Refused(calls, whom, all_told=whole) if calls else None

    def _needed_by(self, works: Callable[[tuple[str, ...]], bool], calls: tuple[str, ...], call: str) -> str:
        works(tuple(other for other in calls if other != call))
        if self.before:
            runtime = "the runtime"
            with contextlib.suppress(DeadweightError):
                runtime = runtime_of(self.engine).full_name
            return wording("seccomp.runtime_for_program", runtime=runtime)
        loader = any(words in self.problem for words in LOADER)
        return wording("seccomp.loader" if loader else "seccomp.program")

    def _comes_up(self, options: RunOptions) -> bool:
        """Whether it gets healthy; else why not is in ``problem``."""
        stop_if_cancelled()
        self.before = False
        try:
            with self.engine.start(self.image, options, purpose=PURPOSE) as container:
                ready = container.wait_healthy(self.health, self.port)
                if not ready.healthy:
                    lines = [line.strip() for line in container.last_output(5) if line.strip()]
                    self.problem = ": ".join([ready.reason, *lines[-1:]])
                return ready.healthy
        except CannotStart as refusal:
            self.problem = str(refusal.fields.get("problem", refusal.message))
            self.before = True
            return False


# Which of many things have to be added for something to work: by halving, for nearly all of them do not matter.
def find_missing(
    candidates: Sequence[str], works: Callable[[tuple[str, ...]], bool], most: int
) -> tuple[tuple[str, ...], bool]:
    """Those without which it does not work, all others given, and whether it works with them alone. With all candidates it does.

    Of the candidates in order, the fewest first ones that do end with one that is needed; so do those before it, with that one; and
    so on, until ``most`` are found.
    """
    needed: tuple[str, ...] = ()
    pool = tuple(candidates)
    while not (done := works(needed)) and len(needed) < most and pool:
        fewest, enough = 0, len(pool)  # with ``fewest`` of them it does not work, with ``enough`` it does
        while enough - fewest > 1:
            middle = (fewest + enough) // 2
            if works((*pool[:middle], *needed)):
                enough = middle
            else:
                fewest = middle
        needed, pool = (pool[enough - 1], *needed), pool[: enough - 1]
    return needed, done
