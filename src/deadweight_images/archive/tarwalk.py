"""Parse the tar headers of a layer in place: ustar, GNU long names and sparse files, pax.

The standard library's reader is not used on foreign archives: it allocates what a header declares, it is slow, and its extraction
has been exploited repeatedly. Here every declared size is checked before anything is read. An archive that two readers could read
differently is refused: a scan must not skip what another program would run.

Sources: POSIX.1-2017 pax; GNU tar manual, "Basic Tar Format" and "Storing Sparse Files"; CVE-2025-62518 (pax and ustar sizes
disagree), CVE-2025-58183 (unbounded sparse maps), CVE-2023-25153 (unbounded metadata).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from deadweight_images.archive.compression import adler32
from deadweight_images.archive.entries import Entries
from deadweight_images.errors import ArchiveError, Message, wording

# Extension headers of a tar: GNU long names and pax records, which say of the member behind them what its own header cannot.
#
# What two readers could take in two ways is refused, as in ``tarwalk``.

MAX_FILE = 1 << 44
Fail = Callable[[Message], ArchiveError]
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
            raise fail(wording("tar.extension_twice"))
        if kind == 0x67 and set(self.taken) - {0x67}:
            raise fail(wording("tar.global_between"))
        self.taken.append(kind)
        if len(self.taken) > 16:
            raise fail(wording("tar.too_many_extensions"))
        if kind == 0x4C:
            self._named(data.partition(b"\0")[0], fail)
        elif kind == 0x4B:
            self._linked(data.partition(b"\0")[0], fail)
        else:
            records = dict(_pax_records(data, fail))
            if kind == 0x67:
                if records.keys() & _PAX_TAKEN:
                    raise fail(wording("tar.global_names"))
                return
            self._pax(records, fail)

    def _pax(self, records: dict[bytes, bytes], fail: Fail) -> None:
        if records.keys() & _SPARSE and not _is_sparse(records):
            raise fail(wording("tar.sparse_unknown"))
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
                raise fail(wording("tar.member_too_large", size=self.real))
        owners = [records.get(b"uid"), records.get(b"gid")]
        self.owner = (
            None if owners[0] is None else _decimal(owners[0], fail, "uid"),
            None if owners[1] is None else _decimal(owners[1], fail, "gid"),
        )
        self.capability = b"SCHILY.xattr.security.capability" in records
        self.opaque = records.get(_OPAQUE) == b"y"

    def _named(self, name: bytes, fail: Fail) -> None:
        if self.name is not None and self.name != name:
            raise fail(wording("tar.two_names"))
        self.name = name

    def _linked(self, link: bytes, fail: Fail) -> None:
        if self.link is not None and self.link != link:
            raise fail(wording("tar.two_targets"))
        self.link = link

    def size(self, header_size: int, fail: Fail) -> int:
        """The member's stored size. A pax size may only say what the header cannot: anything else hides members."""
        if self._size is None or self._size == header_size:
            return header_size
        if self._size > 0o77777777777 and header_size in (0, 0o77777777777):
            return self._size
        raise fail(wording("tar.pax_size", pax=self._size, header=header_size))


def _pax_records(data: bytes, fail: Fail) -> list[tuple[bytes, bytes]]:
    """Records ``length SP key = value LF``. A key that is written twice with two values is refused."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        length = int(data[position:space]) if space > position and data[position:space].isdigit() else 0
        record = data[space + 1 : position + length]
        if not length > space - position + 1 > 1 or position + length > len(data) or not record.endswith(b"\n"):
            raise fail(wording("tar.pax_damaged"))
        key, equals, value = record[:-1].partition(b"=")
        if not equals or (key in _PAX_TAKEN and (b"\0" in value or records.get(key, value) != value)):
            raise fail(wording("tar.pax_contradiction"))
        records[key] = value
        position += length
    return list(records.items())


def _is_sparse(records: dict[bytes, bytes]) -> bool:
    """Whether these are the records of a sparse file of the kinds 0.0, 0.1 or 1.0, as Go's ``archive/tar`` tells them apart."""
    version = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    mapped = bool(records.get(b"GNU.sparse.map") or records.get(b"GNU.sparse.offset"))
    return version in ((b"0", b"0"), (b"0", b"1"), (b"1", b"0")) or (version == (b"", b"") and mapped)


def _decimal(text: bytes, fail: Fail, what: str) -> int:
    if not text.isdigit() or len(text) > 19:
        raise fail(wording("tar.number", field=what, value=text))
    return int(text)


BLOCK = 512
MAX_NAME = 64 * 1024
MAX_PAX = 1024 * 1024
MAX_SPARSE_BLOCKS = 2048
_ZERO = bytes(BLOCK)
_OCTAL = b"01234567 \0"  # what mode, owners and size are made of, unless they are in base 256 or wrong
_HEADER_ONLY = frozenset(b"123456")
_fields = Struct(
    "100s36s12x8sB100s88xB"
).unpack_from  # name, mode to size, checksum, kind, link, the prefix's first byte
_PLAIN = 65520  # adler32 counts modulo 65521
_sums: dict[bytes, int] = {}
"""What the low half of a block's adler32 is where the checksum in its header is right, by that field: a few thousand values."""
_MOST_SUMS = 20_000


class TarWalker:
    """Reads headers out of consecutive regions of one tar and appends what it finds to ``entries``.

    ``walk`` is given a region (any buffer) and the offset in the tar where it starts; it answers with the offset up to which
    it understood the tar, always the start of a member. The next region must start there, or later within the content of a
    member that is bigger than the region. ``ended`` is set once the end marker was read.
    """

    def __init__(self, entries: Entries, what: str) -> None:
        self.entries = entries
        self.what = what
        self.ended = False

    def walk(self, view: memoryview, base: int, *, final: bool) -> int:
        """Read all members whose headers lie in ``view``. ``final`` says that nothing follows it. Raises ArchiveError."""
        position, limit = 0, len(view)
        add, fail, checksum = self.entries.add_plain, self.fail, adler32()
        while position + BLOCK <= limit:
            block = view[position : position + BLOCK]
            name, numbers, sum_field, kind, link, prefix = _fields(block)
            if not name[0] and block == _ZERO:
                return self._end(view, position, base, final)
            declared = _sums.get(sum_field)
            if declared is None or (checksum(block) - declared) & 0xFFFF:  # or its sum is beyond what that tells
                _verified(bytes(block), self, base + position)
            if kind in b"LKxgS" or prefix or numbers.translate(None, _OCTAL):
                taken = self._unusual(view, position, bytes(block), base, final)
                if taken is None:
                    return base + position
                position = taken
                continue
            size = _octal(numbers[24:], self, "size") if kind not in _HEADER_ONLY else 0
            position += BLOCK
            add(fail, name, kind, size, numbers, base + position, link if kind in b"12" else None)
            position += (size + 511) & ~511
        return self._rest(view, position, base, final)

    def fail(self, problem: Message, offset: int | None = None) -> ArchiveError:
        """An error that names the tar and, if known, the offset in it."""
        return ArchiveError(problem.of(self.what if offset is None else f"{self.what} at byte {offset}"))

    def _end(self, view: memoryview, position: int, base: int, final: bool) -> int:
        if len(view) - position < 2 * BLOCK and not final:
            return base + position
        follower = bytes(view[position + BLOCK : position + 2 * BLOCK])
        if follower.strip(b"\0"):
            raise self.fail(wording("tar.empty_block"), base + position)
        self.ended = True
        return base + min(position + 2 * BLOCK, len(view))

    def _rest(self, view: memoryview, position: int, base: int, final: bool) -> int:
        if final and position != len(view):
            # Padding of the very last member may be missing; content may not.
            if position > len(view) and self.entries.last_end() <= base + len(view):
                return base + len(view)
            raise self.fail(wording("tar.truncated"), base + len(view))
        return base + position

    def _unusual(self, view: memoryview, position: int, header: bytes, base: int, final: bool) -> int | None:
        """A member with extension headers, a prefix, big numbers or a sparse map. None: not all of it is in the region yet."""
        pending = Pending()
        while True:
            kind = _verified(header, self, base + position)
            position += BLOCK
            if kind in b"LKxg":
                size = _number(header[124:136], self, "size")
                if size > (MAX_PAX if kind in b"xg" else MAX_NAME):
                    raise self.fail(wording("tar.extension_too_large", size=size), base + position)
                after = position + ((size + 511) & ~511)
                if after + BLOCK > len(view):
                    if final:
                        raise self.fail(wording("tar.truncated"), base + len(view))
                    return None
                pending.take(kind, bytes(view[position : position + size]), self.fail)
                position = after
                header = bytes(view[position : position + BLOCK])
                if header == _ZERO:
                    if kind == 0x67:
                        return position
                    raise self.fail(wording("tar.member_missing"), base + position)
                continue
            return self._member(view, position, header, kind, pending, base, final)

    def _member(
        self, view: memoryview, position: int, header: bytes, kind: int, pending: Pending, base: int, final: bool
    ) -> int | None:
        stored = _number(header[124:136], self, "size")
        stored = pending.size(stored, self.fail)
        if kind in _HEADER_ONLY:
            stored = 0
        real = stored
        if kind == 0x53:
            if pending.sparse:
                raise self.fail(wording("tar.sparse_twice"), base + position)
            sparse = self._old_sparse(view, position, header, base, final)
            if sparse is None:
                return None
            position, real = sparse
        if stored > MAX_FILE or real > MAX_FILE:
            raise self.fail(wording("tar.member_too_large", size=max(stored, real)), base + position)
        for start, what, value in (
            (100, "mode", None),
            (108, "owner", pending.owner[0]),
            (116, "group", pending.owner[1]),
        ):
            if value is None:
                _number(header[start : start + 8], self, what)
        name = pending.name or _ustar_name(header)
        target = (pending.link or header[157:257].partition(b"\0")[0]) if kind in b"12" else None
        if pending.real is not None:
            real = pending.real
        self.entries.add(
            self.fail, name, kind, real, stored, header, base + position, target, pending.owner, pending.capability
        )
        if pending.opaque:
            self.entries.opaque.add(len(self.entries) - 1)
        return position + ((stored + 511) & ~511)

    def _old_sparse(
        self, view: memoryview, position: int, header: bytes, base: int, final: bool
    ) -> tuple[int, int] | None:
        real = _number(header[483:495], self, "real size")
        extended, blocks = header[482], 0
        while extended:
            blocks += 1
            if blocks > MAX_SPARSE_BLOCKS:
                raise self.fail(wording("tar.sparse_map_endless"), base + position)
            if position + BLOCK > len(view):
                if final:
                    raise self.fail(wording("tar.truncated"), base + position)
                return None
            extended = view[position + 504]
            position += BLOCK
        return position, real


def is_header(block: bytes) -> bool:
    """Whether these 512 bytes are a member's header by their checksum alone, as in tars older than the magic number."""
    try:
        expected = int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    return len(block) == BLOCK and sum(block) - sum(block[148:156]) + 256 == expected


def _verified(header: bytes, walker: TarWalker, offset: int) -> int:
    """The member's kind (as the byte it is written as), once the header's checksum holds."""
    declared = header[148:156].strip(b" \0")
    try:
        expected = int(declared, 8)
    except ValueError:
        raise walker.fail(wording("tar.not_a_header"), offset) from None
    # adler32's low half is 1 + the sum of the bytes, modulo 65521: ten times as fast as sum().
    own = sum(header[148:156])
    if 0 <= expected + own - 256 < _PLAIN and len(_sums) < _MOST_SUMS:
        _sums[header[148:156]] = expected + own - 255
    if ((adler32()(header) & 0xFFFF) - 1 - own + 256 - expected) % 65521:
        total = sum(header) - sum(header[148:156]) + 256
        signed = total - 256 * sum(1 for byte in header[:148] + header[156:] if byte > 127)
        if signed != expected:
            raise walker.fail(wording("tar.checksum"), offset)
    return header[156]


def _octal(field: bytes, walker: TarWalker, what: str) -> int:
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return _number(field, walker, what)


def _number(field: bytes, walker: TarWalker, what: str) -> int:
    """A numeric header field: octal, or base 256 where the first bit is set (GNU). Raises ArchiveError for anything else."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    elif field[0] > 0x80:
        raise walker.fail(wording("tar.number_negative", field=what))
    else:
        text = field.partition(b"\0")[0].strip(b" ")
        if text.strip(b"01234567"):
            raise walker.fail(wording("tar.number", field=what, value=text))
        value = int(text or b"0", 8)
    if value >= 1 << 62:
        raise walker.fail(wording("tar.number_too_large", field=what, value=value))
    return value


def _ustar_name(header: bytes) -> bytes:
    """A member's name with the prefix in front, if it has one.

    GNU headers hold times in that place. Where those are no numbers, engines take them for a prefix: Go's ``archive/tar`` wrote
    such headers before its version 1.8.
    """
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and prefix:
        return prefix + b"/" + name
    gnu = header[257:265] == b"ustar  \0" and not (_is_number(header[345:357]) and _is_number(header[357:369]))
    return prefix + b"/" + name if gnu and prefix and prefix.isascii() else name


def _is_number(field: bytes) -> bool:
    return bool(field[0] & 0x80) or not field.strip(b" \0").partition(b"\0")[0].strip(b"01234567")
