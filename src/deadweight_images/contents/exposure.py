"""List what helps an attacker (shells, package managers, set-uid files) and big files."""

from __future__ import annotations

import heapq
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from deadweight_images.archive import entries as columns
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import shown
from deadweight_images.findings import BY_CONTENT, MAX_FINDINGS, FolderFigure, PathFigure
from deadweight_images.layers.index import BITS, MASK, LayerIndex, split
from deadweight_images.layers.merge import IMPLIED, WHITEOUT, Merged

# What a program can be under another name: shells and package managers, known by what is in them.
#
# A busybox that is called ``awk`` is a shell for whoever starts it as ``sh``. So is any copy of a shell, whatever its name.

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
    names = {SHELL.encode()} if _OPTIND in head else set[bytes]()
    if _MULTI_CALL in head:
        names |= _applets(head) & {*managers, SHELL.encode()}
    return tuple(sorted(name.decode() for name in names))


def _applets(head: bytes) -> set[bytes]:
    """The names in a multi-call program's table: names that end in a zero byte, one after another in the alphabet's order. A name
    that stands between two others in that order is taken for one of it; a text of the C library is not."""
    names, last = [match.group() for match in _NAME.finditer(head)], b""
    applets = set[bytes]()
    for name, following in zip(names, [*names[1:], b""], strict=True):
        if last < name < following:
            applets.add(name)
        last = name
    return applets


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


# Shells and package managers by name.
SHELLS = frozenset(
    b"sh ash bash dash zsh ksh ksh93 mksh lksh pdksh oksh csh tcsh fish yash rc es elvish nu xonsh pwsh rbash "
    b"busybox toybox hush posh sash scponly".split()
)
OS_MANAGERS = frozenset(
    b"apt apt-get aptitude dpkg apk rpm yum dnf dnf5 microdnf tdnf zypper pacman opkg emerge xbps-install nix nix-env "
    b"swupd urpmi brew snap flatpak".split()
)
LANGUAGE_MANAGERS = frozenset(
    b"pip pip3 pipx uv poetry conda mamba npm npx yarn pnpm gem bundle cargo composer cpan".split()
)
MANAGERS = OS_MANAGERS | LANGUAGE_MANAGERS


# ``pip3.11``, ``zsh-5.9``, ``bash-static``: a program beside which the plain name may have been removed.
_VERSION = re.compile(rb"(?:[-.]static|-?[0-9][0-9.]*)\Z")
_NAMED = SHELLS | MANAGERS
_DIGITS = frozenset(b"0123456789")
_BINARIES = frozenset((b"bin", b"sbin", b"libexec"))
# Scripts here are named after the program that they complete, configure, clean up after or show.
_ABOUT = frozenset((b"etc", b"share", b"doc", b"docs", b"examples", b"completion", b"completions"))
HEAVIEST = 25
FOLDERS = 30
_DEPTH = 3


class Tally:
    """Paths that were found: the first ``MAX_FINDINGS`` of them, and how many there are in all."""

    def __init__(self) -> None:
        self.listed: list[PathFigure] = []
        self.count = 0
        self.contents: set[int] = set()
        """The members that hold the programs which were counted."""

    def wants(self) -> bool:
        """Count one more; whether it is still listed."""
        self.count += 1
        return self.count <= MAX_FINDINGS

    def add_others(self, more: Tally, why: str) -> None:
        """What another view shows and this one does not, each with the reason."""
        known = {figure.path for figure in self.listed}
        fresh = [figure for figure in more.listed if figure.path not in known]
        room = max(0, MAX_FINDINGS - len(self.listed))
        self.listed += [replace(figure, why=why) for figure in fresh[:room]]
        self.count = max(self.count + len(fresh), more.count)


class Survey:
    """One walk over the final view. ``names`` are the layers' diff-ids as the image has them: not all are computed yet."""

    def __init__(self, merged: Merged, indices: Sequence[LayerIndex], names: Sequence[str]) -> None:
        self._merged, self._indices, self._names = merged, indices, names
        self.setuid, self.shells, self.managers = Tally(), Tally(), Tally()
        self.files = 0
        self._weights: list[tuple[int, bytes, int]] = []
        self._walk()

    def _walk(self) -> None:
        merged, layers = self._merged, self._merged.layers
        toolboxes = any(index.tools for index in self._indices)
        by_content: list[tuple[bytes, int]] = []
        capabilities = any(layer.capabilities for layer in layers)
        heavy: list[tuple[int, bytes, int]] = []
        for path, value in merged.view.items():
            if value == IMPLIED:
                continue
            entries, member = layers[value >> BITS], value & MASK
            kind = entries.kinds[member]
            if kind == columns.DIRECTORY:
                continue
            self.files += 1
            if kind == columns.FILE and entries.sizes[member] > 4096:
                heavy.append((entries.sizes[member], path, value))
            raised = entries.modes[member] & 0o6000 or (capabilities and member in entries.capabilities)
            if raised and kind in (columns.FILE, columns.HARDLINK) and self.setuid.wants():
                self.setuid.listed.append(self._figure(path, value))
            if known := _known(path[path.rfind(b"/") + 1 :]):
                self._tool(path, known, value)
            elif toolboxes and kind in (columns.FILE, columns.HARDLINK) and entries.modes[member] & 0o111:
                by_content.append((path, value))
        self._weights = heavy
        for path, value in by_content:
            self._toolbox(path, value)

    def add_shown(self, other: Survey, why: str) -> None:
        """Take in what an engine shows although the specification hides it."""
        self.setuid.add_others(other.setuid, why)
        self.shells.add_others(other.shells, why)
        self.managers.add_others(other.managers, why)

    def heaviest(self) -> tuple[PathFigure, ...]:
        """The heaviest files, then the heaviest folders (each with all that is below it)."""
        files = [self._figure(path, value) for _size, path, value in heapq.nlargest(HEAVIEST, self._weights)]
        parents: dict[bytes, int] = {}
        for size, path, _value in self._weights:
            parent = path[: max(0, path.rfind(b"/"))]
            parents[parent] = parents.get(parent, 0) + size
        folders: Counter[bytes] = Counter()
        for parent, size in parents.items():
            parts = parent.split(b"/") if parent else []
            for depth in range(1, min(len(parts), _DEPTH) + 1):
                folders[b"/".join(parts[:depth])] += size
        top = sorted(folders.items(), key=lambda item: (-item[1], item[0]))[:HEAVIEST]
        return (*files, *(PathFigure(shown(path), size, kind="folder") for path, size in top))

    def _figure(self, path: bytes, value: int, kind: str = "file", target: bytes | None = None) -> PathFigure:
        index, member = split(value)
        entries = self._merged.layers[index]
        size, content = 0, self._merged.content(value)
        if content is not None:
            holder, held = split(content)
            size = self._merged.layers[holder].sizes[held]
        return PathFigure(
            path=shown(path),
            size_bytes=size,
            layer=self._names[index],
            kind="file capabilities" if kind == "file" and member in entries.capabilities else kind,
            mode=f"{entries.modes[member]:04o}",
            uid=entries.uids[member],
            gid=entries.gids[member],
            target=None if target is None else shown(target),
        )

    def _tool(self, path: bytes, name: bytes, value: int) -> None:
        """A shell or package manager: something that can be run in the end. Elsewhere than in a folder for programs it must
        begin like a program too, for many a folder or file has the name of one."""
        real = self._merged.resolve(path)
        end = self._merged.view.get(real) if real is not None else None
        if real is None or end is None or end == IMPLIED:
            return
        layer, member = split(end)
        entries = self._merged.layers[layer]
        if entries.kinds[member] not in (columns.FILE, columns.HARDLINK) or not entries.modes[member] & 0o111:
            return
        folders = set(path.split(b"/")[:-1])
        if not folders & _BINARIES and not self._begins_like_a_program(end, folders):
            return
        target = real if real != path else None
        kind = "file" if name in SHELLS else "os" if name in OS_MANAGERS else "language"
        tally = self.shells if name in SHELLS else self.managers
        if (content := self._merged.content(end)) is not None:
            tally.contents.add(content)
        if tally.wants():
            tally.listed.append(self._figure(path, value, kind, target))

    def _toolbox(self, path: bytes, value: int) -> None:
        """What is a shell or package manager under another name (``toolbox``): once, whatever number of names it has."""
        content = self._merged.content(value)
        if content is None:
            return
        layer, member = split(content)
        names = self._indices[layer].tools.get(member, ())
        for tally, there in ((self.shells, SHELL in names), (self.managers, bool({*names} - {SHELL}))):
            if not there or content in tally.contents:
                continue
            tally.contents.add(content)
            if tally.wants():
                tally.listed.append(self._figure(path, value, BY_CONTENT))

    def _begins_like_a_program(self, value: int, folders: set[bytes]) -> bool:
        content = self._merged.content(value)
        if content is None:
            return False
        layer, member = split(content)
        index = self._indices[layer]
        return _holds(index.elf, member) or (not folders & _ABOUT and _holds(index.scripts, member))


def _known(name: bytes) -> bytes:
    """The shell or package manager that a file is named after; empty for almost all files."""
    if name in _NAMED:
        return name
    if name and (name[-1] in _DIGITS or name.endswith(b"static")):
        plain = _VERSION.sub(b"", name)
        return plain if len(plain) > 2 and plain in _NAMED else b""
    return b""


def _holds(members: array[int], member: int) -> bool:
    place = bisect_left(members, member)
    return place < len(members) and members[place] == member


def content_bytes(entries: Entries) -> tuple[int, int]:
    """Bytes and number of files of a layer as an engine counts them: the last member of a name, links once."""
    twice = len(set(entries.paths)) != len(entries)
    last = {path: number for number, path in enumerate(entries.paths)} if twice else {}
    total = files = 0
    for number, (path, kind, size) in enumerate(zip(entries.paths, entries.kinds, entries.sizes, strict=True)):
        if twice and last[path] != number:
            continue
        if kind == columns.FILE and (path.find(WHITEOUT) < 0 or not path[path.rfind(b"/") + 1 :].startswith(WHITEOUT)):
            total += size
            files += 1
        elif kind == columns.SYMLINK:
            total += len(entries.targets[number])
    return total, files


def folders(indices: Sequence[LayerIndex]) -> tuple[FolderFigure, ...]:
    """Per layer the bytes below each folder of the second level (``/usr/lib``), hidden files included; small ones as ``…``."""
    figures: list[FolderFigure] = []
    for number, index in enumerate(indices):
        weights = _by_folder(index.entries)
        top = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
        figures.extend(FolderFigure(number, shown(path), size) for path, size in top[:FOLDERS] if size)
        rest = sum(size for _path, size in top[FOLDERS:])
        if rest:
            figures.append(FolderFigure(number, "…", rest))
    return tuple(figures)


def _by_folder(entries: Entries) -> Counter[bytes]:
    parents: dict[bytes, int] = {}
    for path, kind, size in zip(entries.paths, entries.kinds, entries.sizes, strict=True):
        if kind == columns.FILE and size:
            parent = path[: max(0, path.rfind(b"/"))]
            parents[parent] = parents.get(parent, 0) + size
    weights: Counter[bytes] = Counter()
    for parent, size in parents.items():
        weights[b"/".join(parent.split(b"/", 2)[:2])] += size
    return weights
