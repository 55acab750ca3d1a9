"""Archives made to hurt: each is one clear error or a correct reading, within 300 MB of memory, in a process of its own."""

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from deadweight_images.errors import wording
from tests.images.archive.test_archive import HARMS, TWINS, broken
from tests.images.archive.test_tarwalk import HOSTILE
from tests.support import image_samples as samples
from tests.support.secret_samples import github_token
from tests.support.trees import written, zipped

pytestmark = pytest.mark.system

LIMIT_MB, MB_HERE = 300, 140

SECONDS = 5.0
"""Of the processor, for any archive of many that are looked at in one process: the largest decodes to 96 MB."""
LOOK = """
import json, sys, threading, time
from pathlib import Path
from deadweight._errors import DeadweightError
from deadweight_images.inspect.analyse import analyse
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.errors import wording
peak = 0

def watch():
    global peak
    while True:
        for line in open("/proc/self/status"):
            if line.startswith("RssAnon:"):
                peak = max(peak, int(line.split()[1]) // 1024)
        time.sleep(0.005)

def look(path, scan, how):
    if how == "file":
        return analyse(Path(path), scan=scan, cache_dir=Path(path + ".cache"))
    with open(path, "rb") as file:
        return analyse_stream(file, scan=scan)

threading.Thread(target=watch, daemon=True).start()
answers = []
for asked in json.load(sys.stdin):
    started = time.process_time()
    try:
        report = look(*asked)
        answer = {"files": report.files, "hidden": report.hidden_files, "size": report.size_bytes,
                  "listed": len(report.hidden), "skipped": [item.reason for item in report.skipped]}
    except DeadweightError as error:
        answer = {"error": error.code, "what": str(error.fields["what"])}
    except BaseException as error:
        answer = {"crash": repr(error)}
    answers.append({**answer, "seconds": time.process_time() - started, "mb": peak})
print(json.dumps(answers))
"""
"""Looks at archives, each given as path, scan and way, and notes the most memory in MB that it had so far."""


def looked_all(asked: list[tuple[str, str, str]], seconds: int = 100) -> list[dict]:
    """What the reader makes of archives in a process of its own; fails on a crash and on too much time."""
    words, given = [sys.executable, "-c", LOOK], json.dumps(asked)
    run = subprocess.run(words, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    answers = json.loads(run.stdout)
    assert not [answer for answer in answers if "crash" in answer]
    return answers


def looked(path: Path, scan: str = "deep", how: str = "file", seconds: int = 100, most_mb: int = LIMIT_MB) -> dict:
    """The same of one archive; fails on too much memory."""
    (answer,) = looked_all([(str(path), scan, how)], seconds)
    assert answer["mb"] <= most_mb, answer
    return answer


def with_digest(folder: Path, packed: bytes, diff_id: str) -> Path:
    """An image with one packed layer, whose content nobody has to hold."""
    return samples.saved(folder, packed, rootfs={"type": "layers", "diff_ids": [diff_id]})


@pytest.mark.slow
def test_hundreds_of_thousands_of_empty_files_that_are_removed(tmp_path):
    """In so little memory that a million of them would fit into 300 MB too."""
    files = samples.layer(*(samples.header(b"f/%07d" % number) for number in range(350_000)))
    answer = looked(samples.saved(tmp_path, files, samples.layer(samples.file(b".wh.f"))), "plain", most_mb=MB_HERE)
    assert (answer["files"], answer["hidden"], answer["listed"]) == (0, 350_000, 5000)
    assert wording("skip.unlisted", count=345_000, what="hidden files") in answer["skipped"]


def bomb(compression: str, size: int) -> tuple[bytes, str]:
    """A packed layer with one file of zeros, and the digest of the plain tar."""
    digest, out = hashlib.sha256(), []
    gzipped = zlib.compressobj(9, zlib.DEFLATED, 31)
    packer = gzipped if compression == "gzip" else zstandard.ZstdCompressor().compressobj()
    for part in (samples.header(b"zeros", size), *([bytes(1 << 20)] * (size >> 20)), samples.END):
        digest.update(part)
        out.append(packer.compress(part))
    return b"".join((*out, packer.flush())), "sha256:" + digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file", "stream"])
def test_a_gzip_bomb_is_read_in_little_memory(tmp_path, how):
    packed, diff_id = bomb("gzip", 256 << 20)
    assert len(packed) * 100 < 256 << 20
    answer = looked(with_digest(tmp_path, packed, diff_id), "deep", how)
    assert (answer["files"], answer["size"]) == (1, 256 << 20)
    assert wording("skip.in_pieces") in answer["skipped"]


@pytest.mark.slow
def test_a_zstd_bomb_is_refused(tmp_path):
    assert looked(with_digest(tmp_path, *bomb("zstd", 1200 << 20)), "no")["error"] == "compression.bomb"


@pytest.mark.slow
def test_a_bomb_in_the_archives_own_compression(tmp_path):
    packed = gzip.compress(samples.layer(samples.file(b"x/layer.tar", bytes(128 << 20))))
    path = written(tmp_path, {"x.tar.gz": packed}) / "x.tar.gz"
    assert looked(path, "deep", "stream")["error"] == "archive.not_an_image"


@pytest.mark.slow
def test_archives_in_archives_that_fill_every_step_between(tmp_path):
    """Each step decodes to all that is held of one, with the next step at its end; two threads meet such files at a time."""
    chain = gzip.compress(b"x=1\n")
    for _level in range(10):
        chain = gzip.compress(bytes(15 << 20) + chain + bytes(1 << 20), 6)
    noise = random.Random(1).randbytes(17 << 20)
    files = [samples.file(b"c%d.gz" % number, chain) + samples.file(b"n%d" % number, noise) for number in range(4)]
    answer = looked(samples.saved(tmp_path, samples.layer(*files)), "deep", "stream")
    assert answer["skipped"] == [wording("skip.encoded_too_deep", depth=10)] * 4


@pytest.mark.slow
def test_small_bombs_by_the_hundred_share_one_limit(tmp_path):
    """300 files of 200 bytes that would decode to 12 GB."""
    packed = bz2.compress(bytes(40 << 20), 9)
    files = [samples.file(b"%d.bz2" % number, packed) for number in range(300)]
    answer = looked(samples.saved(tmp_path, samples.layer(*files)))
    assert answer["skipped"].count(wording("skip.too_much_encoded")) > 270


@pytest.mark.slow
def test_a_jar_whose_names_all_point_at_one_bomb(tmp_path):
    """Half a megabyte that says that it holds 300 GB."""
    content, count = bytes(32 << 20), 10_000
    body = zlib.compress(content, 9, -15)
    sizes = (zlib.crc32(content), len(body), len(content), 5)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, *sizes, 0) + b"a.jar" + body
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, *sizes, *[0] * 6) + b"a.jar"
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(entry) * count, len(local), 0)
    data = samples.honest_layer({"x.jar": local + entry * count + end, "y.txt": b"y"})
    answer = looked(samples.saved(tmp_path, data), "no")
    assert (answer["files"], answer["skipped"]) == (2, [wording("skip.jars_unnamed")])


_INNERMOST = zipped({"META-INF/MANIFEST.MF": b"Implementation-Version: 1\n"})


DAMAGED = _INNERMOST.replace(b"PK\1\2", b"PK\1\1")
TOO_DEEP = zipped({"a.jar": zipped({"b.jar": zipped({"c.jar": _INNERMOST})})})
JARS = [
    zipped({"a.jar": _INNERMOST}), zipped({"a.jar": b"no archive"}),  # whole, and another file of that name
    zipped({"a.jar": DAMAGED}), DAMAGED, _INNERMOST[:-22], TOO_DEEP, zipped({"a.jar": bytes(33 << 20)}),
]  # fmt: skip
"""Two jars of which all can be named, and five of which not."""


def test_a_jar_that_is_passed_over_is_told(tmp_path):
    layers = [samples.honest_layer({"x.jar": content}) for content in JARS]
    paths = [samples.saved(tmp_path, data, name=str(number)) for number, data in enumerate(layers)]
    answers = looked_all([(str(path), "no", "file") for path in paths])
    assert [answer["skipped"] for answer in answers] == [[]] * 2 + [[wording("skip.jars_unnamed")]] * 5


@pytest.mark.slow
def test_more_secrets_than_anyone_reads_are_counted(tmp_path):
    """The same one many times is told and counted; of different ones only so many are named, for each costs its fingerprint."""
    rng, count = random.Random(4), 20_500
    same = samples.file(b"same", b"k = " + github_token(rng) + b"\n")
    answer = looked(samples.saved(tmp_path, samples.layer(same * count)), "plain")
    assert wording("skip.unlisted_secrets", count=500) in answer["skipped"]
    files = samples.honest_layer({f"f{number}": b"k = " + github_token(rng) + b"\n" for number in range(1_000)})
    answer = looked(samples.saved(tmp_path, files, name="y.tar"), "plain")
    assert answer["skipped"] == [wording("skip.too_many_secrets", most=400)]


@pytest.mark.slow
def test_empty_files_whose_names_are_candidates(tmp_path):
    """A candidate between the files must not make the reader walk back over all the empty ones before it."""
    names = samples.layer(*[samples.header(b"f%06d" % number) for number in range(150_000)])
    marked = samples.layer(*[samples.header(b"f%06d k=ghp_" % number + b"a" * 36) for number in range(3_000)])
    assert looked(samples.saved(tmp_path, names[:-1024] + marked), "plain", seconds=40)["files"] == 153_000


@pytest.mark.slow
def test_names_without_end_are_refused(tmp_path):
    """1,800 members with names of 60 KB each, which compress to nothing."""
    long_name = samples.header(b"l", 60_000, b"L") + samples.padded(b"n" * 60_000) + samples.file(b"x")
    answer = looked(with_digest(tmp_path, gzip.compress(long_name * 1_800), "sha256:" + "0" * 64), "no")
    assert answer["error"] == "tar.too_many_members"


DOCUMENTS = {
    "lists of lists": b"[" + b"[]," * 1_300_000 + b"[]]", "a config of long numbers": b'{"a":' + b"9" * 100_000 + b"}",
    "many layers": samples.listed("c", *["l"] * 5000)["manifest.json"],
    "layers that are numbers": b'[{"Config":"c","Layers":[1,2]}]',
    "a config that leads outside": b'[{"Config":"../../etc/passwd","Layers":[]}]', "nothing": b"null",
    "no JSON": b"\xff\xfe\x00",
}  # fmt: skip


def test_invalid_names_devices_and_odd_links_are_read(tmp_path):
    links = {b"up": b"2../../../../etc/shadow", b"a": b"1b", b"b": b"1a", b"out": b"1../../etc/shadow"}
    links |= {b"dev/sda": b"4", b"dev/null": b"3", b"pipe": b"6"}
    headers = [samples.header(name, kind=target[:1], link=target[1:]) for name, target in links.items()]
    odd = samples.header(b"odd", kind=b"Z", size=3) + samples.padded(b"xyz")
    files = samples.file(b"bad\xff\xfename", b"1"), samples.file(b"/abs/olute", b"2")
    answer = looked(samples.saved(tmp_path, samples.layer(*files, *headers, odd)))
    assert (answer["files"], answer["skipped"].count(wording("skip.loose_link"))) == (10, 3)


@pytest.mark.slow
def test_a_stack_of_folders_replaced_again_and_again_ends(tmp_path):
    folder = samples.header(b"d/", kind=b"5") + samples.file(b"d/x") + samples.file(b"d")
    answer = looked(samples.saved(tmp_path, samples.layer(folder * 20_000)), "no", seconds=60)
    assert answer.get("files") == 1 or answer["error"] == "layer.too_many_steps"


def _quine() -> bytes:
    """Gzip members that each hold the next one and noise: none ends what it begins."""
    data = random.Random(1).randbytes(5000)
    for _ in range(30):
        data = gzip.compress(data)[:-9] + data[:100]
    return data


ZEROS = 24 << 20
CONTENTS: dict[str, Callable[[], bytes]] = {
    "gzip bomb in a file": lambda: gzip.compress(bytes(ZEROS), 9) * 4,
    "bzip2 bomb in a file": lambda: bz2.compress(bytes(ZEROS), 9) * 2,
    "xz bomb in a file": lambda: lzma.compress(bytes(ZEROS)),
    "zlib bomb in a file": lambda: b"\0" + zlib.compress(bytes(ZEROS), 9),
    "bomb in base64": lambda: b"x " + base64.b64encode(gzip.compress(bytes(ZEROS), 9)),
    "beginnings of gzip": lambda: b"\x1f\x8b\x08\0\0\0\0\0\0\3" * 20_000,
    "beginnings of zip": lambda: b"PK\3\4\x14\0\0\0\x08\0" * 20_000, "beginnings of zlib": lambda: b"\0\x78\x9c" * 60_000,
    "beginnings of base64": lambda: b" QUtJQUFLSUFBS0lBQUtJQUFL" * 8_000,
    "beginnings of keys": lambda: b"-----BEGIN PRIVATE KEY-----\n" * 30_000,
    "beginnings of tokens": lambda: b"eyJhbGciOiJIUzI1NiJ9." * 50_000,
    "names without values": lambda: b"password=" * 40_000, "a name and quotes": lambda: b"secret = '" + b"'" * 1_000_000,
    "digits as hexadecimal": lambda: b" " + b"41" * 300_000, "percents": lambda: b"%41" * 80_000,
    "an unending quine": lambda: _quine(), "noise": lambda: random.Random(2).randbytes(4 << 20),
    "spaces between a name and nothing": lambda: (b"api_key" + b" " * 3000 + b"\n") * 500,
}  # fmt: skip


def ring(kind: bytes, target: bytes) -> list[bytes]:
    return [samples.header(b"l%d" % n, kind=kind, link=target % ((n + 1) % 50)) for n in range(50)]


LINKS: dict[str, Callable[[], list[bytes]]] = {
    "a ring of links": lambda: ring(b"2", b"l%d/x"), "hard links in a ring": lambda: ring(b"1", b"l%d"),
    "whiteouts of everything": lambda: [samples.header(b".wh.x%d" % n) for n in range(20_000)],
    "a root that is a file": lambda: [samples.file(b"./", b"x")],
    "one name ten thousand times": lambda: [samples.file(b"same", b"%d" % n) for n in range(10_000)],
}  # fmt: skip
NAMES = [*HARMS, *TWINS, *HOSTILE, *DOCUMENTS, *CONTENTS, *LINKS]


def _write(name: str, path: Path, work: Path) -> None:
    """The archive or layout folder of that name."""
    harmless = samples.layer(samples.file(b"a", b"1"))
    if name in HARMS:
        broken(work, HARMS[name][0]).rename(path)
    elif name in DOCUMENTS:
        samples.tar(path, {"manifest.json": DOCUMENTS[name]})
    elif name in TWINS:
        samples.docker_save(path, samples.build(harmless, **TWINS[name]))
    else:
        members = [HOSTILE[name][0]] if name in HOSTILE else LINKS[name]() if name in LINKS else []
        samples.docker_save(path, samples.build(samples.layer(*members or [samples.file(b"x", CONTENTS[name]())])))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """By name what came of an archive as a file and, where it is small, as a stream: all in one process."""
    assert len(NAMES) == len(set(NAMES)) >= 80
    folder, asked = tmp_path_factory.mktemp("hostile"), []
    for number, name in enumerate(NAMES):
        path = folder / str(number)
        _write(name, path, tmp_path_factory.mktemp("work"))
        once = path.is_dir() or path.stat().st_size > 40_000
        asked += [(name, str(path), how) for how in ("file", "stream")[: 1 if once else 2]]
    by_name: dict[str, list[dict]] = {name: [] for name in NAMES}
    answers = looked_all([(path, "deep", how) for _, path, how in asked], 300)
    for (name, where, how), answer in zip(asked, answers, strict=True):
        by_name[name].append({**answer, "path": where if how == "file" else ""})
    return by_name


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_archive_is_one_error_or_a_report(name, answers):
    """Each is one clear error or a report, in bounded time; none leaves the process with more than 300 MB at any time."""
    assert answers[name]
    for answer in answers[name]:
        assert ("error" in answer) != ("files" in answer)
        assert answer["seconds"] < SECONDS, answer
        assert answer["mb"] <= LIMIT_MB, answer
        assert name in {**CONTENTS, **LINKS} or answer["what"].startswith(answer["path"]), answer
