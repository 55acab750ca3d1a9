"""Find the system calls that a container's runtime itself makes once it has put the filter on, by starting containers.

Not through an engine: a runtime that is refused a call may hang for ever, and with it whoever waits for it. The runtime's own
program (runc, crun) is run on a bundle of one program that does nothing but end, and ended with it where it does not answer.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deadweight._errors import DeadweightError
from deadweight.engine.seccomp.profile import ARCHITECTURES, BY_TIMING, STARTERS, numbers
from deadweight.engine.seccomp.refused_calls import CONTAINER_START_SECONDS, Runtime, starting_under
from deadweight.records import store
from deadweight.records.paths import user_cache
from deadweight_attacks.walls import wording

T = TypeVar("T")

PATIENT_SECONDS = 12.0
PROOFS = 5
GROUP = 12
EDITION = 2
EPERM, ENOSYS = 1, 38
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW* (clone(2)): an engine's own profile lets a service make processes, and no namespaces."""
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
"""Those that an engine's own profile lets through (personality(2))."""


@dataclass(frozen=True)
class Floor:
    """``needed``: without any of these a container does not start. ``held``: those that Go's run-time may want at any time,
    so that no single start tells whether one can be left out.

    ``runtime`` is its name and version, ``kernel`` the release it was tried on, ``starts`` how many containers that took.
    """

    runtime: str
    architecture: str
    kernel: str
    needed: tuple[str, ...]
    held: tuple[str, ...]
    starts: int
    edition: int = EDITION

    @property
    def calls(self) -> tuple[str, ...]:
        return tuple(sorted({*self.needed, *self.held}))


def kept_floor(runtime: Runtime) -> Floor | None:
    """Of this runtime, on this kernel, as found before on this machine."""
    known = store.load(Floor, _file(runtime))
    return known if known is not None and known.edition == EDITION else None


def keep_floor(runtime: Runtime, floor: Floor) -> None:
    store.save(floor, _file(runtime))


def _file(runtime: Runtime) -> Path:
    name = f"floor-{runtime.name}-{runtime.version}-{runtime.architecture}-{platform.release()}.json"
    return user_cache() / "seccomp" / name.replace("/", "_")


def find_floor(runtime: Runtime) -> Floor:
    """By starting containers. Raises DeadweightError where none starts with everything allowed, or what was found does not last."""
    starts = fewest_yet = 0
    with tempfile.TemporaryDirectory(prefix="deadweight-floor-") as name:
        bundle = Path(name)
        everything = tuple(numbers(runtime.architecture))
        held = tuple(sorted(set(BY_TIMING) & set(everything))) if runtime.name == "runc" else ()

        def works(allowed: Sequence[str]) -> bool:
            nonlocal starts, fewest_yet
            starts += 1
            problem = starting(runtime, bundle, (*allowed, *held))
            if problem and len(allowed) == fewest_yet - 1:  # one call, and perhaps but a busy machine
                starts += 1
                problem = starting(runtime, bundle, (*allowed, *held), PATIENT_SECONDS)
            fewest_yet = fewest_yet if problem else len(allowed)
            return not problem

        if problem := starting(runtime, bundle, everything):
            raise DeadweightError(wording("seccomp.runtime_cannot_start", runtime=runtime.full_name, problem=problem))
        searched = [call for call in everything if call not in held]
        likely = [call for call in STARTERS if call in searched]
        needed = find_fewest(likely if works(likely) else searched, works, GROUP)
        floor = Floor(runtime.full_name, runtime.architecture, platform.release(), tuple(sorted(needed)), held, starts)
        for _ in range(PROOFS):
            if problem := starting(runtime, bundle, floor.calls):
                raise DeadweightError(
                    wording("seccomp.runtime_inconsistent", runtime=runtime.full_name, problem=problem)
                )
    return floor


def starting(runtime: Runtime, bundle: Path, allowed: Sequence[str], seconds: float = CONTAINER_START_SECONDS) -> str:
    """Why a container does not start with these calls alone; empty where it does, and its program ends well."""
    return starting_under(runtime, bundle, document(allowed, range(64), runtime.architecture), seconds)


def find_fewest(
    items: Sequence[T],
    works: Callable[[tuple[T, ...]], bool],
    group: int = 0,
) -> tuple[T, ...]:
    """Those that cannot be left out, in order. All together are known to work; so does what is given back.

    Groups of ``group`` (default: all at once) are left out; where that does not work, each half of the group, down to one.
    None of what is given back can be left out alone: each was tried, with what was kept then.
    """
    kept = list(items)

    def leave_out(some: Sequence[T]) -> None:
        rest = tuple(member for member in kept if member not in some)
        if works(rest):
            kept[:] = rest
        elif len(some) > 1:
            half = len(some) // 2
            leave_out(some[:half])
            leave_out(some[half:])

    size = group or len(items)
    for start in range(0, len(items), max(1, size)):
        leave_out(items[start : start + size])
    return tuple(kept)


def document(allowed: Iterable[str], families: Iterable[int], architecture: str) -> dict[str, Any]:
    """``families`` are those that ``socket`` may be asked for, by number.

    What a service may ask of ``clone`` and ``personality`` is what the engine's own profile allows. ``clone3`` hides what it asks
    for behind a pointer, so it is answered as by a kernel that does not have it, and libraries take ``clone``.
    """
    names = sorted(set(allowed))
    special = {"clone", "clone3", "personality", "socket"}
    rules: list[dict[str, Any]] = [_rule([name for name in names if name not in special])]
    if "clone" in names:
        masked = {"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append(_rule(["clone"], [masked]))
    if "personality" in names:
        rules += [_rule(["personality"], [_equal(value)]) for value in PERSONALITIES]
    if "socket" in names:
        rules += [_rule(["socket"], [_equal(family)]) for family in sorted(families)]
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [ARCHITECTURES[architecture]],
        "syscalls": rules,
    }


def _rule(names: list[str], words: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW"} | ({"args": words} if words else {})


def _equal(value: int) -> dict[str, Any]:
    return {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}
