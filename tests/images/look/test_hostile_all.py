"""All hostile documents and headers of these tests as whole archives, and content made to hurt, looked into in one process.

Each is one clear error or a report, in bounded time; none leaves the process with more than 300 MB of anonymous memory at any time.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.archive.test_archive import HARMS, TWINS, broken
from tests.images.archive.test_tarwalk import HOSTILE
from tests.images.look.test_hostile import DOCUMENTS, LIMIT_MB, WATCH
from tests.support import image_samples as samples

pytestmark = pytest.mark.system

SECONDS = 5.0
"""Of the processor, for any of them: the largest decodes to 96 MB."""
LOOK = (
    WATCH
    + """
from deadweight_images.look.analyse import analyse
from deadweight_images.look.stream import analyse_stream
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    for how in ("file", "stream")[: 1 if path.is_dir() or path.stat().st_size > 40_000 else 2]:
        started = time.process_time()
        try:
            if how == "stream":
                with path.open("rb") as file:
                    report = analyse_stream(file, scan="deep")
            else:
                report = analyse(path, scan="deep")
            told = {"files": report.files, "skipped": [item.reason for item in report.skipped]}
        except DeadweightError as error:
            told = {"error": error.message}
        except BaseException as error:
            told = {"crash": repr(error)}
        found[f"{path.name} {how}"] = {**told, "seconds": time.process_time() - started, "mb": peak}
done = True
watcher.join()
print(json.dumps(found))
"""
)


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
    "beginnings of zip": lambda: b"PK\3\4\x14\0\0\0\x08\0" * 20_000,
    "beginnings of zlib": lambda: b"\0\x78\x9c" * 60_000,
    "beginnings of base64": lambda: b" QUtJQUFLSUFBS0lBQUtJQUFL" * 8_000,
    "beginnings of keys": lambda: b"-----BEGIN PRIVATE KEY-----\n" * 30_000,
    "beginnings of tokens": lambda: b"eyJhbGciOiJIUzI1NiJ9." * 50_000,
    "names without values": lambda: b"password=" * 40_000,
    "a name and quotes": lambda: b"secret = '" + b"'" * 1_000_000,
    "digits as hexadecimal": lambda: b" " + b"41" * 300_000,
    "percents": lambda: b"%41" * 80_000,
    "an unending quine": lambda: _quine(),
    "noise": lambda: random.Random(2).randbytes(4 << 20),
    "spaces between a name and nothing": lambda: (b"api_key" + b" " * 3000 + b"\n") * 500,
}
LINKS: dict[str, Callable[[], list[bytes]]] = {
    "a ring of links": lambda: [
        samples.header(b"l%d" % n, kind=b"2", link=b"l%d/x" % ((n + 1) % 50)) for n in range(50)
    ],
    "hard links in a ring": lambda: [
        samples.header(b"h%d" % n, kind=b"1", link=b"h%d" % ((n + 1) % 50)) for n in range(50)
    ],
    "whiteouts of everything": lambda: [samples.header(b".wh.x%d" % n) for n in range(20_000)],
    "a root that is a file": lambda: [samples.file(b"./", b"x")],
    "one name ten thousand times": lambda: [samples.file(b"same", b"%d" % n) for n in range(10_000)],
}
NAMES = [*HARMS, *TWINS, *HOSTILE, *DOCUMENTS, *CONTENTS, *LINKS]


def _write(folder: Path, work: Path) -> None:
    """One archive or layout folder for each name, by its number."""
    harmless = samples.layer(samples.file(b"a", b"1"))
    for number, name in enumerate(NAMES):
        path = folder / f"{number:03}"
        if name in HARMS:
            (work / str(number)).mkdir()
            broken(work / str(number), HARMS[name][0]).rename(path)
        elif name in DOCUMENTS:
            path.write_bytes(samples.tar_of({"manifest.json": DOCUMENTS[name]}))
        elif name in TWINS:
            samples.docker_save(path, samples.build(harmless, **TWINS[name]))
        else:
            if name in HOSTILE:
                members = [HOSTILE[name][0]]
            else:
                members = LINKS[name]() if name in LINKS else [samples.file(b"x", CONTENTS[name]())]
            samples.docker_save(path, samples.build(samples.layer(*members)))


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder, work = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("work")
    _write(folder, work)
    run = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_archive_is_one_error_or_a_report(name, looked):
    number = NAMES.index(name)
    told = {key: answer for key, answer in looked.items() if key.startswith(f"{number:03} ")}
    assert told
    for answer in told.values():
        assert "crash" not in answer, answer
        assert ("error" in answer) != ("files" in answer)
        assert answer["seconds"] < SECONDS, answer
        assert answer["mb"] <= LIMIT_MB, answer
        if name in {**HARMS, **TWINS, **HOSTILE, **DOCUMENTS}:
            assert answer.get("error"), answer


def test_there_are_sixty_and_more(looked):
    assert len(NAMES) == len(set(NAMES)) >= 80
    slowest = max(looked, key=lambda key: looked[key]["seconds"])
    print(
        f"slowest: {NAMES[int(slowest[:3])]}, {looked[slowest]['seconds']:.2f} s; {max(a['mb'] for a in looked.values())} MB"
    )
