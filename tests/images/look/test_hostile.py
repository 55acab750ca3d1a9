"""Archives made to hurt: each is one clear error or a correct reading, within 300 MB of memory, in a process of its own."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
import zstandard

from tests.support import image_samples as samples

pytestmark = pytest.mark.system

LIMIT_MB = 300

WATCH = """
import json, sys, threading, time
from pathlib import Path
from deadweight._errors import DeadweightError
peak, done = 0, False

def watch():
    global peak
    while not done:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon:"):
                peak = max(peak, int(line.split()[1]) // 1024)
        time.sleep(0.005)

watcher = threading.Thread(target=watch)
watcher.start()
"""
"""The beginning of a program that looks at images: it notes the most memory in MB that it had, in ``peak``."""
LOOK = (
    WATCH
    + """
answer = {}
try:
    if sys.argv[3] == "stream":
        from deadweight_images.look.stream import analyse_stream
        with open(sys.argv[1], "rb") as file:
            report = analyse_stream(file, scan=sys.argv[2])
    else:
        from deadweight_images.look.analyse import analyse
        report = analyse(Path(sys.argv[1]), scan=sys.argv[2], cache_dir=Path(sys.argv[1] + ".cache"))
    answer = {"files": report.files, "hidden": report.hidden_files, "size": report.size_bytes,
              "listed": len(report.hidden), "skipped": [item.reason for item in report.skipped]}
except DeadweightError as error:
    answer = {"error": error.message}
finally:
    done = True
watcher.join()
print(json.dumps({**answer, "mb": peak}))
"""
)


def looked(path: Path, scan: str = "deep", how: str = "file", seconds: int = 100) -> dict:
    """What the reader makes of an archive in a process of its own; fails on a crash, on too much memory, on too much time."""
    run = subprocess.run(
        [sys.executable, "-c", LOOK, str(path), scan, how], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    answer = json.loads(run.stdout)
    assert answer["mb"] <= LIMIT_MB, answer
    return answer


def empty_files(path: Path, count: int) -> None:
    """A layer of many empty files. One header is made by hand and only its name and checksum change."""
    base = bytearray(samples.header(b"f/0000000"))
    plain = sum(base) - sum(base[148:156]) + 8 * 32 - sum(b"0000000")
    with path.open("wb") as out:
        for number in range(count):
            name = b"%07d" % number
            base[2:9] = name
            base[148:156] = b"%06o\0 " % (plain + sum(name))
            out.write(base)
        out.write(samples.END)


def save_files(path: Path, layers: list[Path], diff_ids: list[str] | None = None) -> Path:
    """A docker-save archive of layers that lie on disk."""
    found = []
    for file in layers:
        with file.open("rb") as content:
            found.append("sha256:" + hashlib.file_digest(content, "sha256").hexdigest())
    config = json.dumps({"rootfs": {"diff_ids": diff_ids or found}, "os": "linux", "architecture": "amd64"}).encode()
    with tarfile.open(path, "w") as tar:
        for number, file in enumerate(layers):
            tar.add(file, f"{number}.tar")
        manifest = [
            {"Config": "c.json", "RepoTags": None, "Layers": [f"{number}.tar" for number in range(len(layers))]}
        ]
        for name, data in (("c.json", config), ("manifest.json", json.dumps(manifest).encode())):
            (path.parent / name).write_bytes(data)
            tar.add(path.parent / name, name)
    return path


@pytest.fixture(scope="module")
def million(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("million")
    empty_files(folder / "layer.tar", 1_050_000)
    gone = folder / "gone.tar"
    gone.write_bytes(samples.layer(samples.file(b".wh.f")))
    path = save_files(folder / "x.tar", [folder / "layer.tar", gone])
    (folder / "layer.tar").unlink()
    return path


def test_more_than_a_million_empty_files_that_are_removed(million):
    answer = looked(million, "plain")
    assert (answer["files"], answer["hidden"], answer["listed"]) == (0, 1_050_000, 5000)
    assert "1045000 more hidden files are not listed" in answer["skipped"]


def bomb(compression: str, size: int) -> tuple[bytes, str]:
    """A packed layer with one file of zeros, and the digest of the plain tar."""
    digest, out = hashlib.sha256(), []
    packer = (
        zlib.compressobj(9, zlib.DEFLATED, 31) if compression == "gzip" else zstandard.ZstdCompressor().compressobj()
    )
    zeros = bytes(1 << 20)
    parts = [samples.header(b"zeros", size), *([zeros] * (size >> 20)), samples.END]
    for part in parts:
        digest.update(part)
        out.append(packer.compress(part))
    out.append(packer.flush())
    return b"".join(out), "sha256:" + digest.hexdigest()


@pytest.mark.parametrize("how", ["file", "stream"])
def test_a_gzip_bomb_is_read_in_little_memory(tmp_path, how):
    packed, diff_id = bomb("gzip", 256 << 20)
    assert len(packed) * 100 < 256 << 20
    (tmp_path / "layer").write_bytes(packed)
    path = save_files(tmp_path / "x.tar", [tmp_path / "layer"], [diff_id])
    answer = looked(path, "deep", how)
    assert (answer["files"], answer["size"]) == (1, 256 << 20)
    assert any("too large to be held whole" in reason for reason in answer["skipped"])


def test_a_zstd_bomb_is_refused(tmp_path):
    packed, diff_id = bomb("zstd", 1200 << 20)
    (tmp_path / "layer").write_bytes(packed)
    answer = looked(save_files(tmp_path / "x.tar", [tmp_path / "layer"], [diff_id]), "no")
    assert "decompression bomb" in answer["error"]


def test_a_bomb_in_the_archives_own_compression(tmp_path):
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", 9) as out:
        out.write(samples.header(b"x/layer.tar", 128 << 20))
        for _part in range(128):
            out.write(bytes(1 << 20))
        out.write(samples.END)
    assert "not an image archive" in looked(path, "deep", "stream")["error"]


def test_archives_in_archives_that_fill_every_step_between(tmp_path):
    """Each step decodes to all that is held of one, with the next step at its end; two threads meet such files at a time."""
    chain = gzip.compress(b"x=1\n")
    for _level in range(10):
        chain = gzip.compress(bytes(15 << 20) + chain + bytes(1 << 20), 6)
    noise = random.Random(1).randbytes(17 << 20)
    files = [samples.file(b"c%d.gz" % number, chain) + samples.file(b"n%d" % number, noise) for number in range(4)]
    path = samples.docker_save(tmp_path / "x.tar", samples.build(samples.layer(*files)))
    answer = looked(path, "deep", "stream")
    assert answer["skipped"] == ["encoded too deep"] * 4


def test_small_bombs_by_the_hundred_share_one_limit(tmp_path):
    """300 files of 200 bytes that would decode to 75 GB."""
    packed = bz2.compress(bytes(250 << 20), 9)
    files = [samples.file(b"%d.bz2" % number, packed) for number in range(300)]
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(samples.layer(*files))))
    assert answer["skipped"].count("too much encoded content") > 290


def test_a_jar_whose_names_all_point_at_one_bomb(tmp_path):
    """2 MB that say that they hold 1.2 TB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body, crc, count = packer.compress(bytes(32 << 20)) + packer.flush(), zlib.crc32(bytes(32 << 20)), 40_000
    sizes = (crc, len(body), 32 << 20, 5)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, *sizes, 0) + b"a.jar" + body
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, *sizes, *[0] * 6) + b"a.jar"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, len(local), 0)
    data = samples.layer(samples.file(b"x.jar", local + entry * count + end), samples.file(b"y.txt", b"y"))
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(data)), "no")
    assert (answer["files"], answer["skipped"]) == (2, ["jars in it are not all named"])


def _zip(name: str, content: bytes) -> bytes:
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


_INNERMOST = _zip("META-INF/MANIFEST.MF", b"Implementation-Version: 1\n")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(_zip("a.jar", _INNERMOST), False, id="whole"),
        pytest.param(_zip("a.jar", b"no archive"), False, id="another file of that name"),
        pytest.param(_zip("a.jar", _INNERMOST.replace(b"PK\1\2", b"PK\1\1")), True, id="damaged inside"),
        pytest.param(_INNERMOST.replace(b"PK\1\2", b"PK\1\1"), True, id="damaged"),
        pytest.param(_INNERMOST[:-22], True, id="cut short"),
        pytest.param(_zip("a.jar", _zip("b.jar", _zip("c.jar", _INNERMOST))), True, id="too deep"),
        pytest.param(_zip("a.jar", bytes(33 << 20)), True, id="too big"),
    ],
)
def test_a_jar_that_is_passed_over_is_told(tmp_path, content, told):
    data = samples.layer(samples.file(b"x.jar", content))
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(data)), "no")
    assert answer["skipped"] == (["jars in it are not all named"] if told else [])


TOKENS = random.Random(4)


def token() -> bytes:
    return b"ghp_" + "".join(TOKENS.choices("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=36)).encode()


def test_more_secrets_than_anyone_reads_are_counted(tmp_path):
    """The same one many times is told and counted; of different ones only so many are named, for each costs its fingerprint."""
    same, count = samples.file(b"same", b"k = " + token() + b"\n"), 30_000
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(samples.layer(same * count))), "plain")
    assert "10000 more secrets and things that were not looked at are not listed" in answer["skipped"]
    files = [samples.file(b"f%d" % number, b"k = " + token() + b"\n") for number in range(4_000)]
    answer = looked(samples.docker_save(tmp_path / "y.tar", samples.build(samples.layer(*files))), "plain")
    assert [reason.partition(" in ")[0] for reason in answer["skipped"]] == ["more than 400 secrets"]


def test_empty_files_whose_names_are_candidates(tmp_path):
    """A candidate between the files must not make the reader walk back over all the empty ones before it."""
    names = samples.layer(*[samples.header(b"f%06d" % number) for number in range(150_000)])
    marked = samples.layer(*[samples.header(b"f%06d k=ghp_" % number + b"a" * 36) for number in range(20_000)])
    path = samples.docker_save(tmp_path / "x.tar", samples.build(names[:-1024] + marked))
    assert looked(path, "plain", seconds=60)["files"] == 170_000


def test_names_without_end_are_refused(tmp_path):
    """1,800 members with names of 60 KB each, which compress to nothing."""
    packer, out = zlib.compressobj(9, zlib.DEFLATED, 31), []
    long_name = samples.header(b"l", 60_000, b"L") + samples.padded(b"n" * 60_000) + samples.file(b"x")
    for _number in range(1_800):
        out.append(packer.compress(long_name))
    (tmp_path / "layer").write_bytes(b"".join(out) + packer.flush())
    answer = looked(save_files(tmp_path / "x.tar", [tmp_path / "layer"], ["sha256:" + "0" * 64]), "no")
    assert "bytes of names" in answer["error"]


DOCUMENTS = {
    "lists of lists": b"[" + b"[]," * 1_300_000 + b"[]]",
    "a config of long numbers": b'{"a":' + b"9" * 100_000 + b"}",
    "many layers": json.dumps([{"Config": "c", "RepoTags": [], "Layers": ["l"] * 5000}]).encode(),
    "layers that are numbers": b'[{"Config":"c","Layers":[1,2]}]',
    "a config that leads outside": b'[{"Config":"../../etc/passwd","Layers":[]}]',
    "nothing": b"null",
    "no JSON": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_hostile_manifests(tmp_path, case):
    path = tmp_path / "x.tar"
    path.write_bytes(samples.tar_of({"manifest.json": DOCUMENTS[case]}))
    assert looked(path, "no")["error"].startswith(str(path))


def test_invalid_names_devices_and_odd_links_are_read(tmp_path):
    data = samples.layer(
        samples.file(b"bad\xff\xfename", b"1"),
        samples.header(b"dev/sda", kind=b"4"),
        samples.header(b"dev/null", kind=b"3"),
        samples.header(b"pipe", kind=b"6"),
        samples.header(b"up", kind=b"2", link=b"../../../../etc/shadow"),
        samples.header(b"a", kind=b"1", link=b"b"),
        samples.header(b"b", kind=b"1", link=b"a"),
        samples.header(b"out", kind=b"1", link=b"../../etc/shadow"),
        samples.file(b"/abs/olute", b"2"),
        samples.header(b"odd", kind=b"Z", size=3) + samples.padded(b"xyz"),
    )
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(data)))
    assert answer["files"] == 10
    assert answer["skipped"].count("a hard link that leads to no file of its layer") == 3


def test_a_stack_of_folders_replaced_again_and_again_ends(tmp_path):
    members = [
        samples.header(b"d/", kind=b"5") + samples.file(b"d/x") + samples.file(b"d") for _number in range(20_000)
    ]
    answer = looked(samples.docker_save(tmp_path / "x.tar", samples.build(samples.layer(*members))), "no", seconds=60)
    assert answer.get("files") == 1 or "too many steps" in answer["error"]
