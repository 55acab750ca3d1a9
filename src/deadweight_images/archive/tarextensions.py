"""Extension headers of a tar: GNU long names and pax records, which say of the member behind them what its own header cannot.

What two readers could take in two ways is refused, as in ``tarwalk``.
"""

from __future__ import annotations

from collections.abc import Callable

from deadweight_images.errors import ArchiveError

MAX_FILE = 1 << 44
Fail = Callable[[str], ArchiveError]
"""Makes the error of a problem; it names the tar."""
_PAX_TAKEN = frozenset(
    (b"path", b"linkpath", b"size", b"uid", b"gid", b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name",
     b"GNU.sparse.realsize", b"GNU.sparse.size", b"SCHILY.xattr.security.capability", b"SCHILY.xattr.trusted.overlay.opaque")
)  # fmt: skip
# Overlayfs's own mark. Engines unpack it onto the folder, and the kernel then takes it for an opaque whiteout.
_OPAQUE = b"SCHILY.xattr.trusted.overlay.opaque"
_SPARSE = frozenset((b"GNU.sparse.name", b"GNU.sparse.realsize", b"GNU.sparse.size"))


class Pending:
    """What extension headers say about the member that follows them."""

    __slots__ = ("_size", "capability", "link", "name", "opaque", "owner", "real", "sparse", "taken")

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.real: int | None = None
        self.owner: tuple[int | None, int | None] = (None, None)
        self.capability = self.opaque = self.sparse = False
        self._size: int | None = None
        self.taken: list[int] = []

    def take(self, kind: int, data: bytes, fail: Fail) -> None:
        if kind != 0x67 and kind in self.taken:
            raise fail("two extension headers of the same kind for one member")
        if kind == 0x67 and set(self.taken) - {0x67}:
            raise fail("a global pax header between a member and its name; tools disagree on its name")
        self.taken.append(kind)
        if len(self.taken) > 16:
            raise fail("too many extension headers for one member")
        if kind == 0x4C:
            self._named(data.partition(b"\0")[0], fail)
        elif kind == 0x4B:
            self._linked(data.partition(b"\0")[0], fail)
        else:
            records = dict(_pax_records(data, fail))
            if kind == 0x67:
                if records.keys() & _PAX_TAKEN:
                    raise fail("a global pax header sets names or sizes; tools disagree on what it means")
                return
            self._pax(records, fail)

    def _pax(self, records: dict[bytes, bytes], fail: Fail) -> None:
        if records.keys() & _SPARSE and not _is_sparse(records):
            raise fail("a file is sparse in a way that no tar describes; tools disagree on what it holds")
        self.sparse = bool(records.keys() & _SPARSE)
        name = records.get(b"GNU.sparse.name", records.get(b"path"))
        if name is not None:
            self._named(name, fail)
        if b"linkpath" in records:
            self._linked(records[b"linkpath"], fail)
        if b"size" in records:
            self._size = _decimal(records[b"size"], fail, "pax size")
        real = records.get(b"GNU.sparse.realsize", records.get(b"GNU.sparse.size"))
        if real is not None:
            self.real = _decimal(real, fail, "real size of a sparse file")
            if self.real > MAX_FILE:
                raise fail(f"a member declares {self.real} bytes, more than is allowed")
        owners = [records.get(b"uid"), records.get(b"gid")]
        self.owner = (
            None if owners[0] is None else _decimal(owners[0], fail, "uid"),
            None if owners[1] is None else _decimal(owners[1], fail, "gid"),
        )
        self.capability = b"SCHILY.xattr.security.capability" in records
        self.opaque = records.get(_OPAQUE) == b"y"

    def _named(self, name: bytes, fail: Fail) -> None:
        if self.name is not None and self.name != name:
            raise fail("a GNU and a pax header give a member two different names")
        self.name = name

    def _linked(self, link: bytes, fail: Fail) -> None:
        if self.link is not None and self.link != link:
            raise fail("a GNU and a pax header give a link two different targets")
        self.link = link

    def size(self, header_size: int, fail: Fail) -> int:
        """The member's stored size. A pax size may only say what the header cannot: anything else hides members."""
        if self._size is None or self._size == header_size:
            return header_size
        if self._size > 0o77777777777 and header_size in (0, 0o77777777777):
            return self._size
        raise fail(f"pax says {self._size} bytes and the header {header_size}; tools disagree on what follows")


def _pax_records(data: bytes, fail: Fail) -> list[tuple[bytes, bytes]]:
    """Records ``length SP key = value LF``. A key that is written twice with two values is refused."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        length = int(data[position:space]) if space > position and data[position:space].isdigit() else 0
        record = data[space + 1 : position + length]
        if not length > space - position + 1 > 1 or position + length > len(data) or not record.endswith(b"\n"):
            raise fail("a damaged pax header")
        key, equals, value = record[:-1].partition(b"=")
        if not equals or (key in _PAX_TAKEN and (b"\0" in value or found.get(key, value) != value)):
            raise fail("a pax header that contradicts itself")
        found[key] = value
        position += length
    return list(found.items())


def _is_sparse(records: dict[bytes, bytes]) -> bool:
    """Whether these are the records of a sparse file of the kinds 0.0, 0.1 or 1.0, as Go's ``archive/tar`` tells them apart."""
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    mapped = bool(records.get(b"GNU.sparse.map") or records.get(b"GNU.sparse.offset"))
    return version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0")) or (version == (b"", b"") and mapped)


def _decimal(text: bytes, fail: Fail, what: str) -> int:
    if not text.isdigit() or len(text) > 19:
        raise fail(f"a pax header has {text[:40]!r} where a {what} was expected")
    return int(text)
