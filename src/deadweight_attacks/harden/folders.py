"""Which folders a service has to be able to write to, from what its container changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

ADDED = 1
UNPROBED = ((), ("proc",), ("sys",), ("dev",))
"""The root folder itself, and what the engine mounts there."""


@dataclass(frozen=True)
class Written:
    """``exact``: the folders in which files were made or changed. ``lasting``: of each, the one that is there before the service
    starts: a folder that it makes by itself may have another name the next time (``/tmp/tomcat.8080.6949…``). None of either lies
    below another.
    """

    exact: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


NOTHING = Written()


def written(changes: Iterable[Mapping[str, Any]]) -> Written:
    """From the engine's own comparison of a container with its image (``Path``, ``Kind``: 0 changed, 1 added, 2 removed)."""
    kinds = {str(change["Path"]): change.get("Kind") for change in changes if change.get("Kind") in (0, ADDED)}
    parents = {str(parent) for path in kinds for parent in PurePosixPath(path).parents}
    leaves = [PurePosixPath(path) for path in kinds if path not in parents]
    return Written(
        outermost(str(path.parent) for path in leaves if _is_own(path.parent)),
        outermost(_lasting(path, kinds) for path in leaves if _is_own(path.parent)),
    )


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """Without those below another one, in order."""
    return tuple(sorted(covering(set(folders), lambda folder: folder)))


_T = TypeVar("_T")


def covering(items: Collection[_T], place: Any) -> list[_T]:
    """The items whose folder (``place(item)``) lies below no other's."""
    folders = {str(place(item)) for item in items}
    return [item for item in items if not folders & {str(parent) for parent in PurePosixPath(place(item)).parents}]


def _is_own(folder: PurePosixPath) -> bool:
    return folder.parts[1:2] not in UNPROBED


def _lasting(path: PurePosixPath, kinds: Mapping[str, Any]) -> str:
    """The folder of the image in which everything new on the way to ``path`` was made; a new one in the root folder itself."""
    for place in reversed([path, *path.parents]):
        if kinds.get(str(place)) == ADDED:
            return str(place.parent if _is_own(place.parent) else place)
    return str(path.parent)
