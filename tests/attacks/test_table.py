"""Every payload on two real images, gawk's and busybox's, with all walls down and with all of them up: what must come of each."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight_attacks.load import load_payloads
from deadweight_attacks.outcomes import Matrix, Plan, Progress
from deadweight_attacks.walls import DEFAULT, HARDENED, OPEN, WALLS, only
from deadweight_standins.build_cache import BuildCache
from deadweight_standins.machine import this_machine
from tests.support.attack_grounds import castle, matrix, service_image
from tests.support.caches import local_cache
from tests.support.small_images import Content, program

pytestmark = pytest.mark.tools

WORKS, HELD, NONE = "succeeded", "blocked", "not_applicable"
GAWK_ONLY = {"coprocess", "gawk-extension", "connect", "reverse-shell", "bind-shell", "download-awk"}

THROUGH = {
    "system", "pipe-getline", "print-pipe", "coprocess", "option-injection", "gawk-extension", "read-passwd", "environ",
    "proc-environ", "write-tmp", "interpret-tmp",
}  # fmt: skip
"""What works hardened as well: all else is stopped there, and nothing is where no wall stands."""

MAY_BE_UNMEASURED = {"block-device", "kernel-module", "core-pattern", "endless-loop"}
"""What a machine may lack: a block device that it lets containers read, module loading, a setting to write, a second processor."""


@pytest.fixture(scope="module")
def build_cache(local_source, tmp_path_factory) -> Iterator[BuildCache]:
    """The OS packages and the busybox that the local source works with, on the same disk, so that they are hard links."""
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)
    with tempfile.TemporaryDirectory(prefix="tests-table-", dir=local_source.folder.parent) as folder:
        local_cache(local_source.folder, Path(folder), "busybox")
        yield BuildCache(Path(folder), this_machine(), tmp_path_factory.mktemp("build_cache") / "log")


@pytest.fixture(scope="module")
def results(request, tmp_path_factory, engine, build_cache) -> Iterator[Matrix]:
    """The whole list on one image, once in ``open`` and once in ``hardened``."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    files: dict[str, Content] = {
        "/bin/sh": build_cache.busybox().static,
        "/etc/shadow": b"root:!password-of-nobody:19000::::::\n",
        "/tmp/": b"",
        **(gawk(build_cache) if name == "gawk" else {"/usr/bin/awk": "/bin/sh"}),
    }
    with service_image(engine, folder, f"{name}-service", "src/vulnerable-awk-playground", files) as (archive, image):
        yield matrix(castle(folder, engine, archive, reference=image), load_payloads(packs=["awk"]), OPEN, HARDENED)


def gawk(build_cache: BuildCache) -> dict[str, Content]:
    """Debian's gawk with its extensions and all libraries."""
    files: dict[str, Content] = {**program("true", at="/usr/bin/true"), "/usr/bin/awk": "gawk"}
    for package in ("gawk", "libgmp10", "libmpfr6", "libreadline8", "libsigsegv2", "libtinfo6"):
        root = build_cache.unpacked(package)
        for path in root.rglob("*"):
            place = f"/{path.relative_to(root)}"
            if path.is_dir() or not place.startswith(("/usr/bin/gawk", "/usr/lib/", "/lib/")):
                continue
            files[place] = str(path.readlink()) if path.is_symlink() else Path(path)
    for library in ("libm.so.6", "libc.so.6"):
        (real,) = [path for path in map(Path, ("/lib/x86_64-linux-gnu/", "/lib/aarch64-linux-gnu/")) if path.is_dir()]
        files[f"{real}/{library}"] = (real / library).resolve()
    return files


@pytest.mark.parametrize("results", ["gawk", "busybox"], indirect=True, scope="module")
@pytest.mark.parametrize("payload", [payload.id for payload in load_payloads(packs=["awk"]).payloads])
def test_every_payload_comes_to_what_it_must(request, results, payload):
    """With all walls down it works (here the image has the shell, and the AWK what it needs); hardened it does not, or must."""
    expected = (WORKS, WORKS if payload in THROUGH else HELD)
    expected = (NONE, NONE) if payload in GAWK_ONLY and results.dialect != "gawk" else expected
    cells = [results.cells[posture][payload] for posture in ("open", "hardened")]
    texts = [f"{cell.outcome}: {cell.reason} {cell.evidence}" for cell in cells]
    if payload in MAY_BE_UNMEASURED and cells[0].outcome == "not_measured":
        assert cells[1].outcome == "not_measured", texts
    elif payload == "fork-bomb":  # a Go service that can start no thread any more ends itself
        assert all(cell.outcome in (wanted, "crashed") for cell, wanted in zip(cells, expected, strict=True)), texts
    else:
        assert tuple(cell.outcome for cell in cells) == expected, texts


def test_progress_counts_postures_and_says_them():
    lines: list[str] = []
    progress = Progress(lines.append)
    progress.expect(Plan((OPEN, DEFAULT, HARDENED)), ["apparmor", "image"])
    seccomp = only("seccomp")
    for posture in (OPEN, OPEN.with_shell(), HARDENED, seccomp, seccomp.with_shell(), only("limits")):
        progress(posture)
    walls = [wall for wall in WALLS if wall not in ("apparmor", "image")]
    count = 3 + len(walls) + 1  # the set of capabilities that engines give
    assert lines == [
        f"1/{count}: open (control)", f"1/{count}: open (with shell) (control)", f"2/{count}: hardened",
        f"3/{count}: seccomp alone", f"3/{count}: seccomp alone (with shell)", f"4/{count}: limits alone",
    ]  # fmt: skip
