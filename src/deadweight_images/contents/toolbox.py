"""What a program can be under another name: shells and package managers, known by what is in them.

A busybox that is called ``awk`` is a shell for whoever starts it as ``sh``. So is any copy of a shell, whatever its name.
"""

from __future__ import annotations

import re
from collections.abc import Collection

LIMIT = 4 << 20
"""So many bytes of a program are looked at: shells and multi-call programs are smaller, or tell it there."""

SHELL = "sh"
_OPTIND = b"OPTIND"
"""The variable of ``getopts``, which every shell of the standard has (POSIX.1-2017, 2.14 and ``getopts``). Of 1,102 programs of
Debian 12 it stood in shells alone: ash (busybox), bash, dash, ksh, lksh, mksh, posh, yash, zsh, and ksh's compiler."""
_MULTI_CALL = b"call binary"
"""What busybox (``multi-call binary``) and toybox (``multicall binary``) say of themselves."""
_NAME = re.compile(rb"(?<=\0)[a-z0-9_.\[-]{1,24}(?=\0)")


def tools(content: memoryview | bytes, managers: Collection[bytes]) -> tuple[str, ...]:
    """The shells (as ``sh``) and ``managers`` that a program can be; empty for almost all programs."""
    head = bytes(content[:LIMIT])
    found = {SHELL.encode()} if _OPTIND in head else set[bytes]()
    if _MULTI_CALL in head:
        found |= _applets(head) & {*managers, SHELL.encode()}
    return tuple(sorted(name.decode() for name in found))


def _applets(head: bytes) -> set[bytes]:
    """The names in a multi-call program's table: names that end in a zero byte, one after another in the alphabet's order. A name
    that stands between two others in that order is taken for one of it; a text of the C library is not."""
    names, last = [match.group() for match in _NAME.finditer(head)], b""
    found = set[bytes]()
    for name, following in zip(names, [*names[1:], b""], strict=True):
        if last < name < following:
            found.add(name)
        last = name
    return found


class InPieces:
    """The same of a program whose pieces come one after another, for it is too big to be held whole."""

    def __init__(self) -> None:
        self._head: bytearray | None = bytearray()

    def take(self, piece: memoryview, at: int, size: int, managers: Collection[bytes]) -> tuple[str, ...]:
        """What is known once there is enough of it, in the piece that begins ``at`` bytes in the file of this size."""
        if self._head is None:
            return ()
        self._head += piece[max(0, len(self._head) - at) : LIMIT - at]
        if len(self._head) < min(size, LIMIT):
            return ()
        head, self._head = bytes(self._head), None
        return tools(head, managers)
