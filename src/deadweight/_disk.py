"""Detect a full disk behind a failed program or write, name it, and say how to free space."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from deadweight._errors import wording

FULL = re.compile(r"no space left on device|disk quota exceeded|not enough (?:free )?(?:disk )?space", re.IGNORECASE)
"""How programs say ENOSPC and EDQUOT."""

_PATH = re.compile(r"(?<![\w.:/])/[^\s:'\"),\]]+")
_CACHES = ("GOCACHE", "GOTMPDIR", "GOMODCACHE", "DEADWEIGHT_CACHE_DIR", "TMPDIR")
_NAMING = (*_CACHES, "XDG_CACHE_HOME", "HOME")
_NO_ROOM_BYTES = 64 * 2**20
_NOTHING_BYTES = 2**20


def met(output: str, env: Mapping[str, str] | None = None) -> bool:
    """Whether a program that failed met a full disk. Not all say so: Go says that its own packages are not there."""
    if FULL.search(output):
        return True
    given = {**os.environ, **(env or {})}
    rooms = (_room(given[name]) for name in _CACHES if os.access(given.get(name) or "/nowhere", os.W_OK))
    return any(room is not None and room < _NOTHING_BYTES for room in rooms)


def hint_of(error: OSError, place: object = None) -> str | None:
    """The same for an error of ours, which names no file where a write failed: ``place`` does; None where it is another."""
    return hint(str(error.filename or place or "")) if error.errno in (errno.ENOSPC, errno.EDQUOT) else None


def no_temporary(error: OSError) -> bool:
    """Whether it is Python's word that no temporary folder can be written to, as where the one disk of a machine is full."""
    return error.errno == errno.ENOENT and "No usable temporary directory" in str(error)


def hint(text: str, env: Mapping[str, str] | None = None) -> str:
    """What to do about the disk that a program found full: the fullest of those that it named or was to use."""
    named = _PATH.findall(text)
    given = {**os.environ, **(env or {})}
    # not tempfile.gettempdir(), which fails where all disks are full
    used = [given.get("TMPDIR") or "/tmp", os.getcwd(), *(given[name] for name in _NAMING if given.get(name))]  # noqa: PTH109, S108
    place = _fullest(named) or _fullest(used)
    return wording("run.disk_full_at", place=place) if place else wording("run.disk_full")


def _fullest(places: Iterable[str]) -> str | None:
    """The place with the least room; None where there is room on all of them."""
    rooms = [(room, place) for place in dict.fromkeys(places) if (room := _room(place)) is not None]
    room, place = min(rooms, default=(_NO_ROOM_BYTES, ""), key=lambda pair: pair[0])
    return place if room < _NO_ROOM_BYTES else None


def _room(place: str) -> int | None:
    """Free bytes where a path is or would be, 0 where no inode is free; None where nothing can be told or written."""
    path = Path(place)
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        facts = os.statvfs(path)
        if not facts.f_blocks or facts.f_flag & os.ST_RDONLY:  # /proc and its like; a CD has no room by nature
            return None
        if facts.f_files and not facts.f_favail:
            return 0
        return shutil.disk_usage(path).free
    except OSError:
        return None
