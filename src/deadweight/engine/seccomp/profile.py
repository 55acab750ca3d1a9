"""A seccomp profile as engines and kubelets take it: what is allowed by name; all else is answered with EPERM.

The format is Docker's (moby, ``profiles/seccomp``), which Podman, CRI-O and containerd read as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deadweight.records.store import write_atomically

ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}
EPERM, ENOSYS = 1, 38
NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW* (clone(2)): an engine's own profile lets a service make processes, and no namespaces."""
PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
"""Those that an engine's own profile lets through (personality(2))."""


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


def write(file: Path, content: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, (json.dumps(content, indent=2) + "\n").encode())
    return file
