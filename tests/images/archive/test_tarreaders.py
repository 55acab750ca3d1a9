"""Odd tars side by side with Go's ``archive/tar``, which engines read layers with: the same members, or an error of ours."""

from __future__ import annotations

import base64
import json
import random
import shutil
import struct
import subprocess

import pytest

from deadweight._errors import ArchiveError
from deadweight_images.archive.entries import Entries, clean
from deadweight_images.archive.tarwalk import TarWalker
from tests.support import TESTS
from tests.support import image_samples as samples
from tests.support.small_images import go_program

COUNT = 12_000
NAMES = [b"a", b"b/c", b"d/", b"e//f", b"./g", b"n" * 100, b"x" * 99 + b"/", b"\xff", b"", b"h\0i"]
SIZES: list[int | bytes] = [
    0,
    0,
    1,
    512,
    513,
    b"\x80" + bytes(10) + b"\5",
    b"0000000005 ",
    b"     5\0     ",
    b"5" + bytes(11),
]
KINDS = [b"0", b"0", b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"Z", b" "]
MAGICS = [b"ustar\x0000"] * 4 + [b"ustar  \0", bytes(8)]
RECORDS = {
    b"path": [b"px", b"p/y/", b"", b"a"], b"linkpath": [b"lx", b""], b"size": [b"0", b"1", b"512", b""],
    b"uid": [b"5", b"", b"-1"], b"comment": [b"c"], b"SCHILY.xattr.user.a": [b"v"], b"hdrcharset": [b"BINARY"],
    b"GNU.sparse.major": [b"1", b"0"], b"GNU.sparse.minor": [b"0", b"1"], b"GNU.sparse.name": [b"sp"],
    b"GNU.sparse.realsize": [b"9"], b"GNU.sparse.map": [b"0,1"],
}  # fmt: skip
OURS = {
    "file": "0",
    "hardlink": "1",
    "symlink": "2",
    "chardevice": "3",
    "blockdevice": "4",
    "directory": "5",
    "fifo": "6",
}


def member(rng: random.Random) -> bytes:
    kind, size = rng.choice(KINDS), rng.choice(SIZES)
    prefix = b"" if kind == b"S" else rng.choice([b"", b"", b"", b"pre", b"p/q", b"P" * 155])
    link, mode = rng.choice([b"", b"t", b"../u"]), rng.choice([0o644, 0o4755])
    header = samples.header(
        rng.choice(NAMES), size, kind, link=link, mode=mode, magic=rng.choice(MAGICS), prefix=prefix
    )
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
        parts.append(member(rng))
    return b"".join(parts) + bytes(rng.choice([0, 1024, 2048]))


def ours(data: bytes) -> list[tuple] | None:
    entries = Entries()
    try:
        TarWalker(entries, "x").walk(memoryview(data), 0, final=True)
    except ArchiveError:
        return None
    return [shape(e.path, OURS.get(e.kind, "?"), e.size_bytes, e.target or b"", e.mode, e.uid) for e in entries]


def theirs(line: str) -> list[tuple] | None:
    """None where Go takes the tar for damaged: we may be of another mind, an engine would load no such image."""
    found = json.loads(line)
    if found is None:
        return None
    return [
        shape(
            clean(base64.b64decode(each["Name"])), each["Kind"], each["Size"], base64.b64decode(each["Link"] or ""),
            each["Mode"], each["UID"],
        )
        for each in found
    ]  # fmt: skip


def shape(path: bytes | None, kind: str, size: int, link: bytes, mode: int, uid: int) -> tuple:
    """What of a member must be the same. Kinds that no engine knows are one; only files have a size, and links a target."""
    kind = "0" if kind in "07S" else kind if kind in "123456" else "?"
    return path, kind, size if kind == "0" else 0, link if kind in "12" else b"", mode, uid


@pytest.mark.slow
@pytest.mark.tools
def test_odd_tars_are_read_as_go_reads_them_or_refused(tmp_path):
    source = shutil.copytree(TESTS / "data" / "tar-reader", tmp_path / "reader")
    program = go_program(source, tmp_path / "program")
    rng = random.Random(5)
    accepted = [(data, found) for data in (odd_tar(rng) for _ in range(COUNT)) if (found := ours(data)) is not None]
    given = b"".join(struct.pack(">I", len(data)) + data for data, _found in accepted)
    answers = (
        subprocess.run([program], input=given, capture_output=True, check=True, timeout=120)
        .stdout.decode()
        .splitlines()
    )
    assert len(answers) == len(accepted) > COUNT // 5
    pairs = [(found, theirs(line)) for (_data, found), line in zip(accepted, answers, strict=True)]
    read_by_both = [(found, expected) for found, expected in pairs if expected is not None]
    assert len(read_by_both) > COUNT // 6
    for found, expected in read_by_both:
        assert found == expected
