"""List Linux system calls by name and number, and those that the running kernel has."""

from __future__ import annotations

import functools
import re
from pathlib import Path

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


BY_TIMING, CLIENT, LENIENT = map(_of_kind, "tcl")
HELD, STARTERS = (
    (*BY_TIMING, *_of_kind(kind)) for kind in "hs"
)  # a search takes these in order: what is needed together first
