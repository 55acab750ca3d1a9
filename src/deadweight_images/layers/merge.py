"""Merge layers into the file view that a container sees, and record what each layer hides of lower ones.

Source: OCI image-spec v1.1, layer.md ("Whiteouts", "Opaque Whiteout", "Hardlinks"). A whiteout hides entries of lower layers,
never of its own. An opaque whiteout hides all lower content of a folder. An entry of another type replaces what was there. If
the specification is silent, this follows overlay filesystems (the test is the engine's ``export``): an entry below something
that is not a folder in a lower layer turns it into a folder, and a link there is not followed.

They differ in one point: overlayfs never reads the opaque mark of a layer's top folder, so an engine shows what the
specification hides (``Merged.marks_root``). Such an image is merged both ways, and what either shows counts as visible.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deadweight_images.archive import entries as columns
from deadweight_images.archive.entries import Entries, clean
from deadweight_images.archive.model import shown
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.layers.index import BITS, MASK, packed, split

# Where the hard links of one layer lead: each is followed once, however long the chains of them are.
#
# A target is written as a path of the layer. Engines make the link on a file system, so links and ``..`` in the target's folders
# are followed as the kernel would, within the layer (what lies in lower layers is no part of it).

_UNKNOWN, NOWHERE = -2, -1


def contents(entries: Entries, budget: Budget) -> array[int]:
    """For each member the one that holds its bytes: itself, for a hard link where its links end; NOWHERE where that is nothing.

    Raises ArchiveError where the links' targets take more steps than any honest layer needs.
    """
    targets = _targets(entries, budget)
    kinds = entries.kinds
    ends = array("i", [_UNKNOWN]) * len(entries)
    for first in entries.targets:
        chain, member = [], first
        while member >= 0 and ends[member] == _UNKNOWN and kinds[member] == columns.HARDLINK:
            ends[member] = NOWHERE  # whoever comes round to it again goes in circles
            chain.append(member)
            member = targets[member]
        end = NOWHERE if member < 0 else ends[member] if kinds[member] == columns.HARDLINK else member
        for link in chain:
            ends[link] = end
    return ends


def _targets(entries: Entries, budget: Budget) -> array[int]:
    """The member that each hard link names, NOWHERE for all others."""
    places = {path: member for member, path in enumerate(entries.paths)}
    targets = array("i", [NOWHERE]) * len(entries)
    last, named = None, None

    def link_at(path: bytes) -> bytes | None:
        member = places.get(path, -1)
        return entries.targets[member] if member >= 0 and entries.kinds[member] == columns.SYMLINK else None

    for member, target in entries.targets.items():
        if entries.kinds[member] == columns.HARDLINK:
            if target is not last:
                last, path = target, clean(target)
                named = places.get(path) if path is not None else None
                if named is None or b".." in target:
                    path = _followed(target, link_at, budget, last=False)
                    named = places.get(path) if path is not None else None
            if named is not None and named != member:
                targets[member] = named
    return targets


def _followed(
    path: bytes, link_at: Callable[[bytes], bytes | None], budget: Budget, *, last: bool = True
) -> bytes | None:
    """A path with all links in it followed, but for the last part without ``last``. None if it leads nowhere or round in circles.

    ``link_at`` gives the target of the link at a path, None if something else is there; it raises KeyError to end the search.
    """
    pending = [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
    budget.spend(len(pending) + 1)
    current, hops = b"", _HOPS
    while pending:
        part = pending.pop()
        if part == b"..":
            current = current.rpartition(b"/")[0]
            continue
        place = current + b"/" + part if current else part
        try:
            link = link_at(place) if pending or last else None
        except KeyError:
            return None
        if link is None:
            current = place
            continue
        hops -= 1
        budget.spend(_LINK + link.count(b"/"))
        if hops < 0 or len(pending) > 4096:
            return None
        current = b"" if link.startswith(b"/") else current
        pending.extend(part for part in reversed(link.split(b"/")) if part not in (b"", b"."))
    return current


# How many steps may be taken through folders and links: a bound per path would let each link double the work of the last.
_WORK = 50_000_000


class Budget:
    """Steps that may still be taken, one budget for all of a layer or of an image."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, _WORK

    def spend(self, steps: int) -> None:
        """Raises ArchiveError where nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise ArchiveError(wording("layer.too_many_steps", what=self._what))


IMPLIED = -1
WHITEOUT = b".wh."  # sought with ``find``: ``in`` takes twice as long for bytes, which a million paths show
OPAQUE = b".wh..wh..opq"
_HOPS = 40
_LINK = 20  # what following one link counts for: it is that much slower than a step
How = Literal["removed", "replaced", "unreachable"]
_HOWS: tuple[How, ...] = ("removed", "replaced", "unreachable")
REMOVED, REPLACED, UNREACHABLE = range(3)


@dataclass(frozen=True, slots=True)
class Hiding:
    """A member that is no longer seen: ``member`` of ``layer``, hidden by layer ``by``."""

    layer: int
    member: int
    by: int
    how: How


class Merged:
    """The final view. Keys are clean paths; values say which member of which layer is seen (``members.split``), or IMPLIED.

    Without ``root_marks`` an opaque mark in the image's root hides nothing, as on overlayfs. ``marks_root`` lists the layers
    that have such a mark over others. ``beside`` is how many paths another view of the same layers holds.
    """

    def __init__(self, layers: Sequence[Entries], *, root_marks: bool = True, beside: int = 0) -> None:
        self.layers, self.root_marks = layers, root_marks
        self.marks_root: list[int] = []
        self.view: dict[bytes, int] = {}
        self._hidden = array("Q")
        self._hiders = array("H")
        self._hows = bytearray()
        self._folders: dict[bytes, bytes | None] = {}
        self._contents: dict[int, array[int]] = {}
        self._budget = Budget("the image's files")
        held = sum(layer.weight() for layer in {id(layer): layer for layer in layers}.values())
        self.most = (columns.ROOM - held) // columns.VIEW_BYTES - beside  # paths that memory has room for
        for number in range(len(layers)):
            _Application(self, number).apply()

    @property
    def hidden_count(self) -> int:
        """How many members ``hidings`` gives."""
        return len(self._hidden)

    def hidings(self) -> Iterator[Hiding]:
        """All members that were hidden, folders left out, in the order in which it happened."""
        for value, by, how in zip(self._hidden, self._hiders, self._hows, strict=True):
            yield Hiding(*split(value), by, _HOWS[how])

    def kind(self, value: int) -> int:
        """The kind (``entries.FILE`` …) of a value of ``view``."""
        return columns.DIRECTORY if value == IMPLIED else self.layers[value >> BITS].kinds[value & MASK]

    def hide(self, value: int, by: int, how: int) -> None:
        """Note that a member is no longer seen."""
        if self.kind(value) != columns.DIRECTORY:
            self._hidden.append(value)
            self._hiders.append(by)
            self._hows.append(how)

    def resolve(self, path: bytes) -> bytes | None:
        """A path with all links in it followed inside the image; None where it leads nowhere, or round in circles.

        Raises ArchiveError where all such calls together take more steps than any honest image needs.
        """
        return _followed(path, self._link_at, self._budget)

    def folder(self, path: bytes) -> bytes | None:
        """Like ``resolve`` for a folder, remembered."""
        if path not in self._folders:
            self._folders[path] = self.resolve(path)
        return self._folders[path]

    def _link_at(self, path: bytes) -> bytes | None:
        value = self.view[path]
        if value == IMPLIED:
            return None
        entries, member = self.layers[value >> BITS], value & MASK
        return entries.targets[member] if entries.kinds[member] == columns.SYMLINK else None

    def content(self, value: int) -> int | None:
        """The member that holds the bytes of a file: the file itself, or where its hard links lead; None where nowhere."""
        layer, member = split(value)
        if self.layers[layer].kinds[member] != columns.HARDLINK:
            return value
        end = self._ends(layer)[member]
        return None if end < 0 else packed(layer, end)

    def loose(self, layer: int) -> list[int]:
        """The hard links of a layer that lead to no content."""
        entries = self.layers[layer]
        if columns.HARDLINK not in entries.kinds:
            return []
        ends = self._ends(layer)
        return [member for member in entries.targets if ends[member] < 0 and entries.kinds[member] == columns.HARDLINK]

    def _ends(self, layer: int) -> array[int]:
        if layer not in self._contents:
            self._contents[layer] = contents(self.layers[layer], Budget(f"layer {layer + 1}"))
        return self._contents[layer]


class _Application:
    """One layer being put over the view so far."""

    def __init__(self, merged: Merged, number: int) -> None:
        self._merged, self._view, self._number = merged, merged.view, number
        self._entries = merged.layers[number]
        self._mark = packed(number, 0)
        self._folders: set[bytes] = {b""}
        self._what = f"layer {number + 1}"
        self._budget = Budget(self._what)

    def apply(self) -> None:
        self._clear()
        paths, kinds, view = self._entries.paths, self._entries.kinds, self._view
        folders, mark = self._folders, self._mark
        for member, path in enumerate(paths):
            if not member & 0x3FFF and len(view) > self._merged.most:
                raise ArchiveError(wording("tar.memory", megabytes=columns.ROOM // 1_000_000).of(self._what))
            parent = path[: max(0, path.rfind(b"/"))]
            if parent not in folders:
                parent = self._ensured(parent, 0)
                path = (parent + b"/" if parent else b"") + path.rpartition(b"/")[2]
            if not path or (path.find(WHITEOUT) >= 0 and path.rpartition(b"/")[2].startswith(WHITEOUT)):
                if not path and kinds[member] != columns.DIRECTORY:
                    raise ArchiveError(wording("layer.root_replaced", what=self._what))
                continue
            old = view.get(path)
            if kinds[member] == columns.DIRECTORY:
                if old is not None:
                    self._merged.hide(old, self._number, REPLACED)
                folders.add(path)
            elif old is not None:
                self._replace(path, old)
            view[path] = mark | member

    def _clear(self) -> None:
        """Take away what this layer hides of the layers below: all of it before anything of this layer is seen."""
        removed: dict[bytes, int] = {}
        view, kind = self._view, self._merged.kind
        kinds, opaque = self._entries.kinds, self._entries.opaque
        for member, path in enumerate(self._entries.paths):
            if path.find(WHITEOUT) >= 0 and path.rpartition(b"/")[2].startswith(WHITEOUT):
                self._whiteout(path, removed)
            elif kinds[member] != columns.DIRECTORY:
                old = view.get(path)
                if old is not None and kind(old) == columns.DIRECTORY:
                    del view[path]
                    removed[path] = UNREACHABLE
            elif opaque and member in opaque:
                self._opaque(path, removed)
        if removed:
            self._take_below(removed)

    def _whiteout(self, path: bytes, removed: dict[bytes, int]) -> None:
        parent, _, name = path.rpartition(b"/")
        if name == OPAQUE:
            self._opaque(parent, removed)
            return
        target = name[len(WHITEOUT) :]
        if target.startswith(WHITEOUT):
            return  # other .wh..wh. names are an old union filesystem's own records and hide nothing
        if target in (b"", b".", b".."):
            raise ArchiveError(wording("layer.whiteout_nameless", what=self._what, name=shown(path)))
        whole = parent + b"/" + target if parent else target
        old = self._view.pop(whole, None)
        if old is not None:
            self._merged.hide(old, self._number, REMOVED)
            if self._merged.kind(old) == columns.DIRECTORY:
                removed[whole] = REMOVED

    def _opaque(self, folder: bytes, removed: dict[bytes, int]) -> None:
        if not folder:
            if self._number and self._number not in self._merged.marks_root:
                self._merged.marks_root.append(self._number)
            if not self._merged.root_marks:
                return
        removed[folder] = REMOVED

    def _take_below(self, removed: dict[bytes, int]) -> None:
        """Hide everything below these folders, in one pass over the view."""
        self._budget.spend(len(self._view))
        prefixes = tuple(folder + b"/" if folder else b"" for folder in removed)
        if len(prefixes) <= 16:
            victims = [path for path in self._view if path.startswith(prefixes)]
        else:
            victims = [path for path in self._view if _ancestor(path, removed) is not None]
        for path in victims:
            folder = _ancestor(path, removed)
            self._merged.hide(self._view.pop(path), self._number, REMOVED if folder is None else removed[folder])

    def _replace(self, path: bytes, old: int) -> None:
        """Something that is no folder comes where something is already."""
        self._merged.hide(old, self._number, REPLACED)
        if self._merged.kind(old) == columns.DIRECTORY:
            self._take_below({path: UNREACHABLE})
            self._folders.clear()
            self._folders.add(b"")

    def _ensured(self, parent: bytes, hops: int) -> bytes:
        """Makes sure that a member's parent is a folder in the view; answers where that folder really is."""
        current = b""
        self._budget.spend(parent.count(b"/") + 1)
        for part in parent.split(b"/"):
            path = current + b"/" + part if current else part
            value = self._view.get(path)
            if value is None:
                self._budget.spend(len(path))  # by its length: one name of many parts makes a folder of each
                self._view[path] = IMPLIED
            elif self._merged.kind(value) == columns.SYMLINK and value >> BITS == self._number and value != IMPLIED:
                path = self._linked(path, value, hops)
            elif self._merged.kind(value) != columns.DIRECTORY:
                self._merged.hide(value, self._number, REPLACED)
                self._view[path] = IMPLIED
            current = path
        if current == parent:
            self._folders.add(parent)
        return current

    def _linked(self, path: bytes, value: int, hops: int) -> bytes:
        """A link to a folder within the same layer: the engine follows it there, never out of the layer."""
        if hops > _HOPS:
            raise ArchiveError(wording("archive.link_loop", what=self._what, name=shown(path)))
        target = self._entries.targets[value & MASK]
        self._budget.spend(_LINK + target.count(b"/"))
        parts = [] if target.startswith(b"/") else [part for part in path.rpartition(b"/")[0].split(b"/") if part]
        for part in target.split(b"/"):
            if part == b"..":
                del parts[-1:]
            elif part not in (b"", b"."):
                parts.append(part)
        return self._ensured(b"/".join(parts), hops + 1) if parts else b""


def _ancestor(path: bytes, removed: dict[bytes, int]) -> bytes | None:
    """The folder among ``removed`` that a path lies below."""
    place = path.rfind(b"/")
    while place >= 0:
        folder = path[:place]
        if folder in removed:
            return folder
        place = path.rfind(b"/", 0, place)
    return b"" if b"" in removed else None
