"""Record what one pass over a layer found, and convert it to and from its cached form on disk."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from deadweight_images.archive.compression import cut, plain_pieces
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import Compression

# A member of a layer as one number: views of millions of members hold these, where pairs would take several times the memory.
#
# Loops over all members of an image shift and mask by themselves, since a call for each would be felt.

BITS = 32
MASK = (1 << BITS) - 1


def packed(layer: int, member: int) -> int:
    """The number of the layer's member; both count from 0, and a layer has less than 2^32 members."""
    return layer << BITS | member


def split(value: int) -> tuple[int, int]:
    """Layer and member of a number."""
    return value >> BITS, value & MASK


# Bytes of members of a layer: of a plain layer in place, of a compressed one in one pass over it.


def members_pieces(
    view: memoryview, compression: Compression, entries: Entries, members: Iterable[int]
) -> Iterator[tuple[int, bytes]]:
    """The stored content of several members, one after the other in the layer's order, in pieces that say whose they are.

    A member without content has no piece.
    """
    position, data, pieces = 0, b"", plain_pieces(cut(view), compression, "the layer")
    for member in sorted(set(members)):
        start = entries.offsets[member]
        stop = start + entries.stored(member)
        if compression == "none":
            yield from ((member, bytes(piece)) for piece in cut(view[start:stop], 1 << 20))
            continue
        while start < stop:
            if position + len(data) <= start:
                position += len(data)
                data = next(pieces, b"")
                if not data:
                    return
                continue
            piece = data[start - position : stop - position]
            yield member, piece
            start += len(piece)


_T = TypeVar("_T")

FORMAT = 10
_DIGESTS, _NUMBERS = ("digest", "diff_id"), ("tar_bytes", "stored_bytes", "unlisted")
MOST = 20_000  # secrets that are kept of one layer, and things in it that were not looked at; the rest is counted


@dataclass(frozen=True, slots=True)
class GoProgram:
    """Build information of a Go binary: its main package's path, module and version, and the modules linked in."""

    go_version: str
    path: str
    module: str
    version: str
    modules: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Jar:
    """A Java archive. ``inner`` names the place in an outer archive, ``size_bytes`` is what it takes there."""

    name: str
    version: str
    inner: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in a layer. ``member`` is the index of its file, -1 for bytes of the layer that belong to no file."""

    member: int
    rule: str
    description: str
    inner: str
    offset: int | None
    line: int | None
    redacted: str
    fingerprint: str
    confidence: str = "high"


@dataclass(frozen=True, slots=True)
class Skip:
    """Something that was not looked at, and why. ``member`` as in ``Secret``. Where it is not ``unread``, secrets were looked for
    in it all the same and something else is missing."""

    member: int
    inner: str
    reason: str
    size_bytes: int
    unread: bool = True


@dataclass(slots=True)
class LayerIndex:
    """One layer, read once. ``digest`` and ``diff_id`` are computed from its bytes, None where verification was left out.

    ``captured`` holds the package databases that were in it, by member. ``elf`` and ``scripts`` are the executable members that
    begin like a program and with ``#!``, in ascending order. ``tools`` are the shells and package managers that a program can be
    by its content (``toolbox``), by member. ``unlisted`` is how many secrets and skipped things are too many to
    be kept. Sizes in bytes.
    """

    entries: Entries
    digest: str | None = None
    diff_id: str | None = None
    tar_bytes: int = 0
    stored_bytes: int = 0
    captured: dict[int, bytes] = field(default_factory=dict)
    programs: dict[int, GoProgram] = field(default_factory=dict)
    jars: dict[int, tuple[Jar, ...]] = field(default_factory=dict)
    secrets: list[Secret] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    checksums: dict[int, int] = field(default_factory=dict)
    elf: array[int] = field(default_factory=lambda: array("I"))
    scripts: array[int] = field(default_factory=lambda: array("I"))
    tools: dict[int, tuple[str, ...]] = field(default_factory=dict)
    unlisted: int = 0

    def take(self, secrets: Iterable[Secret], skipped: Iterable[Skip], unlisted: int = 0) -> None:
        """Add what a look at a part of the layer gave and is not there yet; ``unlisted`` counts what that left out."""
        self.unlisted += unlisted
        known = {_place(item) for item in self.secrets}
        self._add(self.secrets, (item for item in secrets if _place(item) not in known))
        skips = set(self.skipped)
        self._add(self.skipped, (item for item in skipped if item not in skips))

    def take_of(self, members: bytearray, secrets: Iterable[Secret], skipped: Iterable[Skip], unlisted: int) -> None:
        """Like ``take``, for a look at some members only, those with a byte that is not 0: of what was found beside them nothing
        is added. What was not looked at and is no single file's may be theirs."""
        self.take(
            (item for item in secrets if item.member >= 0 and members[item.member]),
            (item for item in skipped if item.member < 0 or members[item.member]),
            unlisted,
        )

    def _add(self, items: list[_T], more: Iterable[_T]) -> None:
        for item in more:
            if len(items) < MOST:
                items.append(item)
            else:
                self.unlisted += 1

    def dump(self) -> bytes:
        """JSON for the cache."""
        data = {
            "format": FORMAT,
            "entries": self.entries.dump(),
            **{name: getattr(self, name) for name in (*_DIGESTS, *_NUMBERS)},
            "captured": [[key, value.decode("utf-8", "surrogateescape")] for key, value in self.captured.items()],
            "programs": [[key, asdict(value)] for key, value in self.programs.items()],
            "jars": [[key, [asdict(jar) for jar in value]] for key, value in self.jars.items()],
            "found": [asdict(item) for item in self.secrets],
            "skipped": [asdict(item) for item in self.skipped],
            "checksums": list(self.checksums.items()),
            "elf": list(self.elf),
            "scripts": list(self.scripts),
            "tools": list(self.tools.items()),
        }
        return json.dumps(data, separators=(",", ":")).encode("ascii")

    @classmethod
    def load(cls, raw: bytes) -> LayerIndex | None:
        """A layer back from the cache, None where the file is of another format or damaged: it is then read again."""
        try:
            data: dict[str, Any] = json.loads(raw)
            if data["format"] != FORMAT:
                return None
            plain: dict[str, Any] = {name: data[name] for name in _DIGESTS}
            plain |= {name: int(data[name]) for name in _NUMBERS}
            return cls(
                entries=Entries.load(data["entries"]),
                **plain,
                captured={int(key): value.encode("utf-8", "surrogateescape") for key, value in data["captured"]},
                programs={int(key): _program(value) for key, value in data["programs"]},
                jars={int(key): tuple(Jar(**jar) for jar in value) for key, value in data["jars"]},
                secrets=[Secret(**item) for item in data["found"]],
                skipped=[Skip(**item) for item in data["skipped"]],
                checksums={int(key): int(value) for key, value in data["checksums"]},
                elf=array("I", data["elf"]),
                scripts=array("I", data["scripts"]),
                tools={int(key): tuple(map(str, names)) for key, names in data["tools"]},
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None


def _place(item: Secret) -> tuple[int, str, int | None, str]:
    return item.member, item.fingerprint, item.offset, item.inner


def _program(data: dict[str, Any]) -> GoProgram:
    return GoProgram(**{**data, "modules": tuple((str(path), str(version)) for path, version in data["modules"])})
