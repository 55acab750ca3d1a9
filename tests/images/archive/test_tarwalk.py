"""The tar walker: what honest programs write is read as they meant it, what could be read in two ways is refused."""

import base64
import contextlib
import io
import json
import random
import shutil
import struct
import subprocess
import tarfile
from typing import Any

import pytest
from hypothesis import given, strategies as st

from deadweight._errors import ArchiveError
from deadweight_images.archive.entries import Entries, clean
from deadweight_images.archive.model import shown
from deadweight_images.errors import wording
from deadweight_images.layers.indexing import Indexer
from tests.support import TESTS, image_samples as samples
from tests.support.codes import raises
from tests.support.image_samples import walked
from tests.support.small_images import go_program


def in_pieces(data: bytes, size: int) -> Entries:
    with Indexer() as indexer:
        return indexer.compressed(iter([data[at : at + size] for at in range(0, len(data), size)]), "none", "x").entries


def test_links_to_one_file_hold_its_name_once():
    """600,000 of them took 378 MB."""
    links = (samples.header(b"l%d" % number, kind=b"1", link=b"base") for number in range(99))
    many = walked(samples.layer(samples.file(b"base"), *links))
    assert (len(many.targets), len({id(target) for target in many.targets.values()})) == (99, 1)


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=120)
members = st.lists(
    st.tuples(names.filter(lambda name: name not in (".", "..")), st.binary(max_size=1500), st.integers(0, 0o7777)),
    max_size=12,
)


@given(members, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.integers(1, 4000))
def test_reads_what_tarfile_writes(content, form, size):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data, mode in content:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), mode, 3_000_000_000
            tar.addfile(info, io.BytesIO(data))
    raw = buffer.getvalue()
    expected = [(name.encode(), data, mode) for name, data, mode in content]
    for entries in (walked(raw), in_pieces(raw, size)):
        assert expected == [(e.path, raw[e.offset : e.offset + e.stored_bytes], e.mode) for e in entries]
        assert all(entry.uid == 3_000_000_000 for entry in entries)


@pytest.mark.parametrize("field", [100, 108, 124, 148, 156, 300])
def test_a_checksum_that_was_right_once_is_looked_at_again(field):
    """Sums are remembered by their field; what they are the sum of is not."""
    whole = bytearray(samples.layer(samples.file(b"a"), samples.file(b"a"), samples.file(b"a")))
    assert len(walked(bytes(whole))) == 3
    whole[1024 + field] ^= 1
    for read in (walked, lambda raw: in_pieces(raw, 700)):
        with pytest.raises(ArchiveError) as caught:
            read(bytes(whole))
        assert caught.value.code in ("tar.checksum", "tar.not_a_header")


CLEAN = {
    b"a": b"a", b"./a": b"a", b"/a": b"a", b"a/": b"a", b"a//b": b"a/b", b"a/./b": b"a/b", b"a/../b": b"b", b".a": b".a",
    b"a/.b": b"a/.b", b"a/..b": b"a/..b", b"./": b"", b".": b"", b"a/.": b"a",
}  # fmt: skip


def test_names_are_clean_whichever_way_a_header_is_read():
    plain = [samples.file(name) for name in CLEAN]
    longer = [samples.pax(path=name.decode()) + samples.file(b"x") for name in CLEAN]
    assert [walked(samples.layer(*files)).paths for files in (plain, longer)] == [[*CLEAN.values()]] * 2


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_any_damage_is_an_error_or_a_reading(noise, place):
    members = (samples.file(b"a", b"x" * 600), samples.pax(path="b" * 200), samples.file(b"c", b"y"))
    whole = bytearray(samples.layer(*members))
    whole[place : place + len(noise)] = noise
    with contextlib.suppress(ArchiveError):
        assert all(entry.offset + entry.stored_bytes <= len(whole) for entry in walked(bytes(whole)))


def test_a_name_that_is_no_text_is_shown_with_its_bytes():
    assert [shown(entry.path) for entry in walked(samples.layer(samples.file(b"\xff\xfe")))] == ["/\\xff\\xfe"]


def test_a_slash_at_the_end_makes_a_folder_only_of_what_has_no_kind():
    """As Go's ``archive/tar`` and Python's ``tarfile`` take it."""
    entries = walked(samples.layer(samples.file(b"f/", b"x"), samples.header(b"d/", kind=b"\0")))
    assert [(entry.path, entry.kind) for entry in entries] == [(b"f", "file"), (b"d", "directory")]


def test_gnu_sparse_files_tell_both_sizes():
    block = bytearray(samples.header(b"s", 512, b"S", magic=b"ustar  \0"))
    block[386:410] = b"%011o\0%011o\0" % (0, 512)
    block[483:495] = b"%011o\0" % 1_000_000
    entries = walked(samples.layer(samples.summed(block) + bytes(512), samples.file(b"after", b"z")))
    assert [(e.path, e.size_bytes, e.stored_bytes) for e in entries] == [(b"s", 1_000_000, 512), (b"after", 1, 1)]


def test_what_is_no_time_in_a_gnu_header_is_a_prefix():
    """As Go's ``archive/tar`` reads it, which wrote such headers once; the engine unpacks the file there."""
    places = (b"very/long", b"00000000000\0no octal at all", b"00000000000\x0000000000000\0", b"\xe9")
    headers = (samples.header(b"n", magic=b"ustar  \0", prefix=place) for place in places)
    assert walked(samples.layer(*headers)).paths == [b"very/long/n", b"00000000000/n", b"n", b"n"]


def endless_sparse() -> bytes:
    block = bytearray(GNU_SPARSE)
    block[482] = 1
    return samples.summed(block) + (bytes(504) + b"\1" + bytes(7)) * 5000


def gnu(kind: bytes) -> bytes:
    """GNU's own header for a long name (``L``) or target (``K``)."""
    return samples.header(b"l", 2, kind) + samples.padded(b"a\0")


X = samples.file(b"x")
FULL = samples.file(b"x", b"a" * 512)
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
GNU_SPARSE = samples.header(b"s", 0, b"S", magic=b"ustar  \0")
GLOBAL_COMMENT = samples.pax_raw(samples.pax_record(b"comment", b"c"), b"g")
HOSTILE: dict[str, tuple[Any, ...]] = {
    "a name of 8 GiB": (samples.header(b"x", b"\x80" + (8 << 30).to_bytes(11, "big"), b"L"), "tar.extension_too_large"),
    "a pax header of 7 GiB": (samples.header(b"x", b"77777777777\0", b"x"), "tar.extension_too_large"),
    "a file larger than the layer": (samples.header(b"x", 10_000) + bytes(512), "tar.truncated"),
    "a file of an absurd size": (samples.header(b"x", b"\x80" + (1 << 60).to_bytes(11, "big")), "tar.member_too_large"),
    "a negative size": (samples.header(b"x", b"\xff" * 12), "tar.number_negative"),
    "a size that is no number": (samples.header(b"x", b"12x45678901\0"), "tar.number", {"field": "size", "value": b"12x45678901"}),
    "a wrong checksum": (samples.header(b"x", fix=False), "tar.checksum"),
    "no header at all": (b"\x01" * 1024, "tar.not_a_header"),
    "pax and header sizes that disagree": (
        samples.pax(size="1024") + FULL + samples.file(b"hidden", b"b" * 512), "tar.pax_size", {"pax": 1024, "header": 512},
    ),
    "pax size 0 over a real one": (samples.pax(size="0") + FULL, "tar.pax_size"),
    "a pax size beyond all bounds": (samples.pax(size="9" * 30) + X, "tar.number", {"field": "pax size"}),
    "two pax headers": (samples.pax(path="a") + samples.pax(path="b") + X, "tar.extension_twice"),
    "two names": (gnu(b"L") + samples.pax(path="b") + X, "tar.two_names"),
    "two names, the pax header's first": (samples.pax(path="b") + gnu(b"L") + X, "tar.two_names"),
    "two targets, the pax header's first": (
        samples.pax(linkpath="b") + gnu(b"K") + samples.header(b"x", kind=b"2", link=b"c"), "tar.two_targets",
    ),
    "the name of a sparse file without a map": (samples.pax(**{"GNU.sparse.name": "hidden"}) + samples.file(b"x", b"a"),
        "tar.sparse_unknown"),
    "a sparse file of two kinds": (samples.pax(**SPARSE, **{"GNU.sparse.name": "x"}) + GNU_SPARSE, "tar.sparse_twice"),
    "a global pax header between a name and its member": (samples.pax(path="a") + GLOBAL_COMMENT + X, "tar.global_between"),
    "a global pax header with a path": (samples.pax_raw(samples.pax_record(b"path", b"a"), b"g") + X, "tar.global_names"),
    "a pax record that is too long": (samples.pax_raw(b"99 path=a\n") + X, "tar.pax_damaged"),
    "a pax record without a length behind one with": (
        samples.pax_raw(samples.pax_record(b"a", b"b") + b"no length here, and more\n") + X, "tar.pax_damaged",
    ),
    "a pax record without end": (samples.pax_raw(b"11 path=abcd") + X, "tar.pax_damaged"),
    "a pax name with a zero byte": (samples.pax_raw(samples.pax_record(b"path", b"a\0b")) + X, "tar.pax_contradiction"),
    "a sparse map that never ends": (endless_sparse(), "tar.sparse_map_endless"),
    "a sparse size beyond all bounds": (
        samples.pax(**SPARSE, **{"GNU.sparse.realsize": "9" * 18}) + X, "tar.member_too_large",
        {"size": 999_999_999_999_999_999},
    ),
    "an old folder with content, which others read as members": (
        samples.header(b"d/", 1536, b"\0") + samples.file(b"etc/hidden", b"b" * 512) + bytes(512), "tar.folder_with_content",
    ),
    "a lone empty block": (X + bytes(512) + samples.file(b"hidden", b"b"), "tar.empty_block"),
    "a name that points outside the image": (samples.file(b"../../etc/passwd", b"x"), "tar.name_outside"),
    "a hidden way out": (samples.file(b"a/../../x", b"x"), "tar.name_outside"),
    "an owner beyond 32 bits": (samples.pax(uid="99999999999") + X, "tar.number_too_large",
        {"field": "owner id", "value": 99_999_999_999}),
    "an extension header at the end": (samples.pax(path="x"), "tar.member_missing"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_one_clear_error(case):
    data, code, *fields = HOSTILE[case]
    for read in (walked, lambda raw: in_pieces(raw, 700)):
        with raises(ArchiveError, code, **dict(*fields)):
            read(data + samples.END)


def test_data_after_the_end_marker_is_told():
    data = samples.layer(samples.file(b"a")) + samples.file(b"hidden", b"b")
    with Indexer() as indexer:
        for read in (indexer.blob(memoryview(data), "none", "x"), indexer.compressed(iter([data]), "none", "x")):
            assert [skip.reason for skip in read.skipped] == [wording("skip.behind_end")]


COUNT = 12_000
NAMES = [b"a", b"b/c", b"d/", b"e//f", b"./g", b"n" * 100, b"x" * 99 + b"/", b"\xff", b"", b"h\0i"]
SIZES: list[int | bytes] = [
    0, 0, 1, 512, 513, b"\x80" + bytes(10) + b"\5", b"0000000005 ", b"     5\0     ", b"5" + bytes(11),
]  # fmt: skip
KINDS = [b"0", b"0", b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"Z", b" "]
MAGICS = [b"ustar\x0000"] * 4 + [b"ustar  \0", bytes(8)]
RECORDS = {
    b"path": [b"px", b"p/y/", b"", b"a"], b"linkpath": [b"lx", b""], b"size": [b"0", b"1", b"512", b""],
    b"uid": [b"5", b"", b"-1"], b"comment": [b"c"], b"SCHILY.xattr.user.a": [b"v"], b"hdrcharset": [b"BINARY"],
    b"GNU.sparse.major": [b"1", b"0"], b"GNU.sparse.minor": [b"0", b"1"], b"GNU.sparse.name": [b"sp"],
    b"GNU.sparse.realsize": [b"9"], b"GNU.sparse.map": [b"0,1"],
}  # fmt: skip
KIND_NAMES = ("file", "hardlink", "symlink", "chardevice", "blockdevice", "directory", "fifo")
OURS = dict(zip(KIND_NAMES, "0123456", strict=True))


def odd_member(rng: random.Random) -> bytes:
    kind, size = rng.choice(KINDS), rng.choice(SIZES)
    prefix = b"" if kind == b"S" else rng.choice([b"", b"", b"", b"pre", b"p/q", b"P" * 155])
    link, mode = rng.choice([b"", b"t", b"../u"]), rng.choice([0o644, 0o4755])
    name, magic = rng.choice(NAMES), rng.choice(MAGICS)
    header = samples.header(name, size, kind, link=link, mode=mode, magic=magic, prefix=prefix)
    return header + samples.padded(b"c" * (size if isinstance(size, int) else 5))


def extension(rng: random.Random) -> bytes:
    kind = rng.choice([b"x", b"x", b"x", b"g", b"L", b"K"])
    if kind in b"LK":
        data = rng.choice([b"long\0", b"lo/ng/\0", b"a", b"\0", b""])
        return samples.header(b"l", len(data), kind) + samples.padded(data)
    keys = rng.sample(sorted(RECORDS), rng.choice([0, 1, 1, 2, 3]))
    return samples.pax_raw(b"".join(samples.pax_record(key, rng.choice(RECORDS[key])) for key in keys), kind)


def odd_tar(rng: random.Random) -> bytes:
    parts = []
    for _member in range(rng.randint(1, 3)):
        parts += [extension(rng) for _header in range(rng.choice([0, 0, 1, 1, 2]))]
        parts.append(odd_member(rng))
    return b"".join(parts) + bytes(rng.choice([0, 1024, 2048]))


def ours(data: bytes) -> list[tuple] | None:
    with contextlib.suppress(ArchiveError):
        entries = walked(data)
        return [shape(e.path, OURS.get(e.kind, "?"), e.size_bytes, e.target or b"", e.mode, e.uid) for e in entries]
    return None


def theirs(line: str) -> list[tuple] | None:
    """None where Go takes the tar for damaged: we may be of another mind, an engine would load no such image."""
    if (members := json.loads(line)) is None:
        return None
    texts = [(clean(base64.b64decode(m["Name"])), base64.b64decode(m["Link"] or "")) for m in members]
    pairs = zip(members, texts, strict=True)
    return [shape(name, m["Kind"], m["Size"], link, m["Mode"], m["UID"]) for m, (name, link) in pairs]


def shape(path: bytes | None, kind: str, size: int, link: bytes, mode: int, uid: int) -> tuple:
    """What of a odd_member must be the same. Kinds that no engine knows are one; only files have a size, and links a target."""
    kind = "0" if kind in "07S" else kind if kind in "123456" else "?"
    return path, kind, size if kind == "0" else 0, link if kind in "12" else b"", mode, uid


@pytest.mark.slow
@pytest.mark.tools
def test_odd_tars_are_read_as_go_reads_them_or_refused(tmp_path):
    program = go_program(shutil.copytree(TESTS / "data" / "tar-reader", tmp_path / "reader"), tmp_path / "program")
    rng = random.Random(5)
    accepted = [(data, shapes) for data in (odd_tar(rng) for _ in range(COUNT)) if (shapes := ours(data)) is not None]
    given = b"".join(struct.pack(">I", len(data)) + data for data, _shapes in accepted)
    done = subprocess.run([program], input=given, capture_output=True, check=True, timeout=120)
    answers = done.stdout.decode().splitlines()
    assert len(answers) == len(accepted) > COUNT // 5
    read = [(shapes, theirs(line)) for (_data, shapes), line in zip(accepted, answers, strict=True)]
    read_by_both = [(shapes, expected) for shapes, expected in read if expected is not None]
    assert len(read_by_both) > COUNT // 6
    assert [pair for pair in read_by_both if pair[0] != pair[1]] == []


@pytest.mark.parametrize("text", [b"-0000001", b"+0000001", b"000_0001", b"0o000001", b"\t0000001"])
@pytest.mark.parametrize(("field", "width"), [(100, 8), (108, 8), (116, 8), (124, 12)])
@pytest.mark.parametrize("name", [b"a", b"a/" * 60 + b"long"])
def test_numbers_that_only_python_reads_are_refused(text, field, width, name):
    block = bytearray(samples.header(name[-90:], prefix=name[:20]) if len(name) > 90 else samples.header(name))
    block[field : field + width] = text.ljust(width, b"\0")
    with raises(ArchiveError, "tar.number", field={100: "mode", 108: "owner", 116: "group", 124: "size"}[field]):
        walked(samples.layer(samples.summed(block)))
