"""Go's build information in binaries that come in pieces: wherever it lies, and never outside what Go itself reads."""

import random
import struct
import time

import pytest

from deadweight_images.contents.gobuild import MAGIC, InPieces, program

OVERLAP = 64 << 10
PIECE = 4 << 20


def text(value: bytes) -> bytes:
    """A string with its length in front, as Go writes it."""
    size, length = len(value), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return length + bytes([size]) + value


def information(modules: int) -> bytes:
    lines = "".join(f"dep\texample.org/module{number}\tv1.0.{number}\n" for number in range(modules))
    said = f"path\texample.org/shop\nmod\texample.org/shop\tv1\n{lines}".encode()
    return MAGIC + b"\x08\x02" + bytes(16) + text(b"go1.27.2") + text(bytes(16) + said + bytes(16))


def binary(place: int, info: bytes, *, segment: int, wide: bool = True, size: int = 3 * PIECE) -> bytes:
    """An ELF file whose writable segment begins at ``segment``, with the information at ``place``."""
    head = bytearray(64)
    head[:6] = b"\x7fELF" + bytes([2 if wide else 1, 1])
    struct.pack_into("<Q" if wide else "<I", head, 0x20 if wide else 0x1C, 64)
    struct.pack_into("<HH", head, 0x36 if wide else 0x2A, 56 if wide else 32, 2)
    listed = [(1, 5, 0, segment), (1, 6, segment, size - segment)]
    for kind, flags, at, held in listed:
        if wide:
            head += struct.pack("<IIQQQQQQ", kind, flags, at, at, at, held, held, 4096)
        else:
            head += struct.pack("<IIIIIIII", kind, at, at, at, held, held, flags, 4096)
    content = bytearray(random.Random(1).randbytes(size))
    content[: len(head)] = head
    content[place : place + len(info)] = info
    return bytes(content)


def found(content: bytes):
    seeker, start, told = InPieces(), 0, None
    while told is None and start < len(content):
        told = seeker.take(memoryview(content)[start : start + PIECE], start)
        start += PIECE - OVERLAP
    return told


PLACES = (1 << 20, PIECE - 20, PIECE - 3, PIECE - OVERLAP + 1, 2 * PIECE - OVERLAP - 7, 3 * PIECE - 40_000)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("modules", [3, 500])
def test_it_is_found_wherever_pieces_are_cut(place, modules):
    program = found(binary(place, information(modules), segment=4096))
    assert (program.module, program.go_version, len(program.modules)) == ("example.org/shop", "go1.27.2", modules)


def test_more_of_it_than_two_pieces_share_is_put_together():
    program = found(binary(PIECE - 100, information(5000), segment=4096))
    assert len(program.modules) == 5000
    assert len(information(5000)) > 2 * OVERLAP


@pytest.mark.parametrize("wide", [True, False])
def test_it_is_sought_where_go_seeks_it(wide):
    info = information(3)
    assert found(binary(2 * PIECE, info, segment=PIECE, wide=wide)).module == "example.org/shop"
    assert found(binary(PIECE // 2, info, segment=PIECE, wide=wide)) is None


@pytest.mark.parametrize("head", [b"MZ", b"\x7fELF\x02\x01" + b"\xff" * 90], ids=["another kind", "damaged"])
def test_without_a_list_of_segments_all_of_it_is_looked_at(head):
    content = bytearray(binary(2 * PIECE, information(3), segment=4096))
    content[: len(head)] = head
    assert found(bytes(content)).module == "example.org/shop"


@pytest.mark.parametrize("table", [0, 64, 1 << 63, (1 << 64) - 64])
@pytest.mark.parametrize("names", [64, 1 << 63, (1 << 64) - 1])
def test_sections_that_lie_nowhere_are_no_build_information(table, names):
    head = bytearray(b"\x7fELF\x02\x01" + bytes(400))
    struct.pack_into("<Q", head, 0x28, table)
    struct.pack_into("<HHH", head, 0x3A, 64, 1, 0)
    struct.pack_into("<IIQQQQ", head, 64, 0, 0, 0, 0, names, names)
    assert program(memoryview(head)) is None


@pytest.mark.parametrize(("size", "count"), [(0, 65535), (56, 65535), (56, 1000), (1, 1000)])
def test_segments_one_over_another_are_looked_at_once(size, count):
    """One table entry, taken again and again, would have all of the file looked at as often."""
    content = bytearray(binary(2 * PIECE, b"", segment=4096))
    struct.pack_into("<HH", content, 0x36, size, count)
    entry = struct.pack("<IIQQQQQQ", 1, 6, 0, 0, 0, 3 * PIECE, 3 * PIECE, 4096)
    content[64 : 64 + 56 * 1000] = entry * 1000
    began = time.thread_time()
    assert found(bytes(content)) is None
    assert time.thread_time() - began < 1


def test_marks_without_information_cost_no_more_than_the_rest():
    content = bytearray(binary(3 * PIECE - 40_000, information(3), segment=4096))
    for place in range(1 << 20, (1 << 20) + 40 * 64, 64):
        content[place : place + 16] = MAGIC + b"\x08\x02"
    assert found(bytes(content)).module == "example.org/shop"
