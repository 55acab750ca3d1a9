"""Read, write and evaluate seccomp profiles: system calls allowed by name; all others return EPERM.

The format is Docker's (moby, ``profiles/seccomp``), which Podman, CRI-O and containerd read as well.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadweight._errors import UsageError, wording
from deadweight.engine.api import EngineInfo
from deadweight.engine.options import DEFAULT_CAPABILITIES, RunOptions
from deadweight.records.store import write_atomically
from deadweight.toolchain.golang import ARCHITECTURES as GO_ARCHITECTURES

ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


def write(file: Path, content: dict[str, Any]) -> Path:
    write_atomically(file, (json.dumps(content, indent=2) + "\n").encode())
    return file


# A seccomp profile that somebody gives, in Docker's format (moby, ``profiles/seccomp``): what it allows, and with more calls.
PASSING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")


@dataclass(frozen=True)
class Where:
    """What the conditions of a profile's rules go by: Go's name of the architecture, the kernel's release (``6.1.0-13``), and the
    container's capabilities without ``CAP_``."""

    architecture: str
    kernel: str
    capabilities: frozenset[str] = frozenset()


def where(info: EngineInfo, options: RunOptions | None = None) -> Where:
    """Where an engine's containers run, with these options or without capabilities."""
    architecture = GO_ARCHITECTURES.get(info.architecture, "amd64")
    if options is None:
        return Where(architecture, info.kernel)
    base = frozenset() if "ALL" in options.cap_drop else frozenset(DEFAULT_CAPABILITIES) - set(options.cap_drop)
    return Where(architecture, info.kernel, base | set(options.cap_add))


def read_profile(file: Path) -> dict[str, Any]:
    """Raises UsageError for what is no profile."""
    if not file.is_file():
        raise UsageError(wording("seccomp.no_such_file", file=file))
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(wording("seccomp.not_a_profile", file=file, problem=error)) from error
    rules = document.get("syscalls", []) if isinstance(document, dict) else None
    whole = isinstance(rules, list) and all(
        isinstance(rule, dict) and (rule.get("names") or rule.get("name")) for rule in rules
    )
    if not whole or not str(document.get("defaultAction", "")).startswith("SCMP_ACT_"):
        raise UsageError(wording("seccomp.not_a_profile", file=file, problem=wording("seccomp.rules_missing")))
    return dict(document)


def refused(document: Mapping[str, Any], where: Where, *, wholly: bool = False) -> tuple[str, ...]:
    """The calls that it does not allow, or not with every argument (``wholly``: with none), in the order of their numbers."""
    passing = document["defaultAction"] in PASSING
    calls = set() if passing else set(numbers(where.architecture))
    for rule in _rules(document, where):
        if rule.get("action") in PASSING and (wholly or not rule.get("args")):
            calls -= set(_names(rule))
        elif rule.get("action") not in PASSING:
            calls |= set(_names(rule)) & set(numbers(where.architecture))
    return tuple(sorted(calls, key=numbers(where.architecture).__getitem__))


def allowing(document: Mapping[str, Any], more: Collection[str]) -> dict[str, Any]:
    """The same profile with these calls allowed, whatever their arguments."""
    rules = [
        {**{key: value for key, value in rule.items() if key != "name"}, "names": names}
        for rule in document.get("syscalls", ())
        if (names := [name for name in _names(rule) if name not in more])
    ]
    added = [{"names": sorted(more), "action": "SCMP_ACT_ALLOW"}] if more else []
    return {**document, "syscalls": [*rules, *added]}


def logging(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same profile, which logs what no rule of it allows, and lets it pass. What its rules refuse (clone3) stays refused."""
    return {key: value for key, value in document.items() if key != "defaultErrnoRet"} | {
        "defaultAction": "SCMP_ACT_LOG"
    }


def for_runtime(document: Mapping[str, Any], where: Where) -> dict[str, Any]:
    """The same as runtimes take it (OCI runtime specification, ``linux.seccomp``): the engine has judged the conditions by then."""
    kept = ("names", "action", "args", "errnoRet")
    native = ARCHITECTURES[where.architecture]
    maps = [mapping for mapping in document.get("archMap") or () if mapping.get("architecture") == native]
    architectures = [native, *(sub for mapping in maps for sub in mapping.get("subArchitectures") or ())]
    rules = [
        {**{key: rule[key] for key in kept if rule.get(key)}, "names": list(_names(rule))}
        for rule in _rules(document, where)
    ]
    whole = {key: document[key] for key in ("defaultAction", "defaultErrnoRet") if key in document}
    return {**whole, "architectures": document.get("architectures") or architectures, "syscalls": rules}


def _rules(document: Mapping[str, Any], where: Where) -> Iterable[Mapping[str, Any]]:
    """Those whose conditions are met (moby, ``profiles/seccomp/seccomp_linux.go``)."""
    for rule in document.get("syscalls") or ():
        wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
        capabilities = {name.removeprefix("CAP_") for name in wanted.get("caps") or ()}
        excluded = {name.removeprefix("CAP_") for name in unwanted.get("caps") or ()}
        if (
            (not wanted.get("arches") or where.architecture in wanted["arches"])
            and where.architecture not in (unwanted.get("arches") or ())
            and capabilities <= where.capabilities
            and not excluded & where.capabilities
            and _release(str(wanted.get("minKernel") or "0")) <= _release(where.kernel)
        ):
            yield rule


def _release(kernel: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", kernel)[:2])


def _names(rule: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(rule.get("names") or (rule["name"],))


# List Linux system calls by name and number, and those that the running kernel has.
TABLE = Path(__file__).with_name("calls.tsv")
COLUMNS = {"amd64": 1, "arm64": 2}
SYMBOLS = Path("/proc/kallsyms")
_ENTRY = re.compile(r" T __(?:x64|arm64)_sys_(\w+)$", re.MULTILINE)

FAMILIES = {
    1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK", 17: "AF_PACKET", 29: "AF_CAN", 31: "AF_BLUETOOTH",
    38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP",
}  # fmt: skip
"""The families of sockets that are met (linux/socket.h)."""


@functools.cache
def numbers(architecture: str) -> dict[str, int]:
    """By name, for one of Go's architectures (``amd64``, ``arm64``)."""
    column = COLUMNS[architecture]
    return {row[0]: int(row[column]) for row in _rows() if row[column] != "-"}


@functools.cache
def _rows() -> list[list[str]]:
    return [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def of_kernel(architecture: str) -> tuple[str, ...] | None:
    """Those that the running kernel has, of those that we know by name. None where it does not tell (``kptr_restrict``, no
    kallsyms)."""
    try:
        there = set(_ENTRY.findall(SYMBOLS.read_text(encoding="ascii")))
    except OSError:
        return None
    known = tuple(name for name in numbers(architecture) if _SYMBOLS.get(name, name) in there)
    return known if there else None


_SYMBOLS = {
    "stat": "newstat", "fstat": "newfstat", "lstat": "newlstat", "uname": "newuname", "umount2": "umount", "_sysctl": "sysctl",
    "sendfile": "sendfile64",
}  # fmt: skip
"""Where the kernel's function has another name than the call (the same table)."""


def family(number: int) -> str:
    return FAMILIES.get(number, f"family {number}")


# Kinds of system calls, as the table tells them.
def _of_kind(kind: str) -> tuple[str, ...]:
    return tuple(sorted(row[0] for row in _rows() if kind in "".join(row[3:])))


BY_TIMING, CLIENT, EVERYDAY, ATTACKERS = map(_of_kind, "tcea")
STARTERS = (*BY_TIMING, *_of_kind("s"))
"""A search takes these in order: what is needed together first."""
