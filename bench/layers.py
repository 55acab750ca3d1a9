"""Time the layer reader on an archive of 1 GB beside Trivy (and dive, gitleaks and kingfisher, if they are on PATH).

    python bench/layers.py --base IMAGE.tar [--archive FILE] [--work DIR] [--rounds 5] [--trivy PATH] [--dive PATH] [--engine]
                           [--gitleaks PATH] [--kingfisher PATH] [--registry HOST:PORT/NAME:TAG --crane PATH]

The archive is the base image (the golang stand-in) with layers of real package files of this machine on top, and a secret that
one layer adds and a later one removes. gitleaks and kingfisher are asked to look into archives. Rows of a "registry" are
``invoke layers`` as typed and ``crane export`` of the same image, which must be there. "engine" rows read the engine's own store
(root), "saved" the stream of ``docker image save``; ``bench/engines.py`` has other engines. Every figure is the wall time of a
whole process, page cache warm, result caches cleared before each cold run, rules compiled beforehand. Programs take turns, so that
other load on the machine meets all of them. Memory is the peak of anonymous memory, summed over the program's processes, sampled
every 10 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TARGET_BYTES = 1_060_000_000
LAYER_BYTES = 250_000_000
ROOTS = ("/usr/lib", "/usr/share", "/usr/bin", "/usr/include")
# Wall time in proportion to Trivy's, which decodes nothing and looks at fewer files.
LIMITS = {"plain": 0.6, "deep": 0.9, "hidden": 0.35, "known": 0.05, "plain, engine": 0.4, "deep, engine": 0.4}
REGISTRY_LIMIT = 1.1  # crane export's wall time
MEMORY_LIMIT_MB = 300
GOLANG = "golang:1.21.3-bookworm"
IMAGE = "bench:1"
LOOK = str(Path(__file__).with_name("_look.py"))


@dataclass(frozen=True)
class Run:
    """One process: wall and CPU seconds, peak anonymous memory in MB."""

    wall: float
    cpu: float
    anon_mb: float


def package_files() -> Iterator[Path]:
    """Files that this machine's packages installed, in a stable order."""
    for listing in sorted(Path("/var/lib/dpkg/info").glob("*.list")):
        for line in listing.read_text(errors="replace").splitlines():
            path = Path(line)
            if line.startswith(ROOTS) and path.is_file() and not path.is_symlink():
                yield path


def pad_layer(files: Iterator[Path], target: Path, size: int) -> bool:
    """A layer of package files of about ``size`` bytes. False when the files ran out before the first."""
    written = 0
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in files:
            info = tar.gettarinfo(path, arcname=str(path).lstrip("/"))
            info.type, info.linkname, info.size, info.mtime = tarfile.REGTYPE, "", path.stat().st_size, 0
            with path.open("rb") as file:
                tar.addfile(info, file)
            written += info.size
            if written >= size:
                break
    return written > 0


def small_layer(target: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(target, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def make_archive(base: Path, target: Path, size: int = TARGET_BYTES) -> None:
    """The base (a docker-save archive with plain layers), padded to about ``size`` bytes, with a removed secret."""
    work = target.with_suffix(".parts")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with tarfile.open(base) as tar:
        item = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(item["Config"]))
        layers = []
        for number, name in enumerate(item["Layers"]):
            layers.append(work / f"base{number}.tar")
            with layers[-1].open("wb") as out:
                shutil.copyfileobj(tar.extractfile(name), out, 1 << 20)
    key = hashlib.sha256(b"bench").hexdigest()
    small_layer(work / "secret.tar", {"etc/secret.txt": f"aws_secret_access_key = {key[:40]}\n".encode()})
    small_layer(work / "gone.tar", {"etc/.wh.secret.txt": b""})
    layers.append(work / "secret.tar")
    files, number = package_files(), 0
    while sum(path.stat().st_size for path in layers) < size:
        left = size - sum(path.stat().st_size for path in layers)
        number += 1
        if not pad_layer(files, work / f"pad{number}.tar", min(LAYER_BYTES, left)):
            files = package_files()
            continue
        layers.append(work / f"pad{number}.tar")
    layers.append(work / "gone.tar")
    save(config, layers, target)
    shutil.rmtree(work)


def save(config: dict, layers: list[Path], target: Path) -> None:
    """A docker-save archive of the old layout."""
    config["rootfs"] = {"type": "layers", "diff_ids": []}
    config["history"] = [{"created_by": f"bench: {path.stem}"} for path in layers]
    names = []
    for path in layers:
        with path.open("rb") as file:
            config["rootfs"]["diff_ids"].append("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
    raw = json.dumps(config).encode()
    digest = hashlib.sha256(raw).hexdigest()
    with tarfile.open(target, "w") as tar:
        for number, path in enumerate(layers):
            names.append(f"{number:064x}/layer.tar")
            tar.add(path, names[-1])
        for name, content in (
            (f"{digest}.json", raw),
            (
                "manifest.json",
                json.dumps([{"Config": f"{digest}.json", "RepoTags": ["bench:1"], "Layers": names}]).encode(),
            ),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def make_layout(archive: Path, target: Path) -> None:
    """An image of ``make_archive`` as an OCI layout folder with gzip layers, as a registry has them."""
    shutil.rmtree(target, ignore_errors=True)
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    with tarfile.open(archive) as tar:
        item = json.load(_member(tar, "manifest.json"))[0]
        config = put(_member(tar, item["Config"]).read(), "config.v1+json")
        layers = [put(_gzipped(_member(tar, name)), "layer.v1.tar+gzip") for name in item["Layers"]]
    kind = "manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"application/vnd.oci.image.{kind}",
        "config": config,
        "layers": layers,
    }
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), kind)]}
    (target / "index.json").write_text(json.dumps(index))
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    assert file is not None, name
    return file


def _gzipped(file: IO[bytes]) -> bytes:
    packer = zlib.compressobj(6, wbits=31)
    return b"".join([*map(packer.compress, iter(lambda: file.read(1 << 20), b"")), packer.flush()])


def _typed(work: Path, archive: str) -> Run:
    """``invoke layers`` as a user types it, with nothing kept from an earlier look."""
    from deadweight.records.paths import user_cache

    own = (work / "user-cache").absolute()
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    for name in ("tools", "secrets"):
        (own / name).symlink_to(user_cache() / name)
    words = ["-m", "invoke", "layers", "--archive", archive]
    return timed([sys.executable, *words], good=(0, 1), env={"DEADWEIGHT_CACHE_DIR": str(own)})


def timed(
    argv: list[str],
    stdin: Callable[[], subprocess.Popen | None] = lambda: None,
    good: Container[int] = (0, 1),
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Run:
    """Run a process; its own failure stops the bench (exit 1 is a finding, not a failure).

    Python keeps its compiled modules, as it does by default and as an installation has them.
    """
    source = stdin()
    started = time.perf_counter()
    process = subprocess.Popen(
        argv,
        stdin=source.stdout if source else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_clean() | (env or {}),
        cwd=cwd,
    )
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _pid, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    if source:
        source.wait()
    if process.returncode not in good:
        sys.exit(f"{argv[0]} failed with {process.returncode}:\n{output.decode(errors='replace')[-3000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, peak[0])


def _clean() -> dict[str, str]:
    """As ``_bench.clean``, which this file cannot import where it is run by itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONDONTW", "PYTHONPYC"))}


def _watch(process: subprocess.Popen, peak: list[float]) -> None:
    while process.returncode is None:
        total = 0
        for pid in _family(process.pid):
            try:
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        total += int(line.split()[1])
            except OSError:
                continue
        peak[0] = max(peak[0], total / 1024)
        time.sleep(0.01)


def _family(pid: int) -> list[int]:
    pids = [pid]
    for one in pids:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                pids.extend(int(child) for child in (task / "children").read_text().split())
        except OSError:
            continue
    return pids


def docker(verb: str, form: str, *arguments: str) -> str:
    return subprocess.run(
        ["docker", verb, "-f", form, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@dataclass(frozen=True)
class Rivals:
    """Their programs; None where there is none."""

    trivy: str
    dive: str | None = None
    gitleaks: str | None = None
    kingfisher: str | None = None
    crane: str | None = None


def rows(
    archive: Path, work: Path, rivals: Rivals, image: str | None, registry: str | None = None
) -> dict[str, Callable[[], Run]]:
    """What takes turns, by name."""
    cache, trivy_cache = work / "cache", work / "trivy-cache"

    def ours(scan: str, *, known: bool = False) -> Run:
        if not known:
            shutil.rmtree(cache, ignore_errors=True)
        return timed([sys.executable, LOOK, str(archive), scan, str(cache)])

    def trivys(*target: str) -> Run:
        shutil.rmtree(trivy_cache, ignore_errors=True)
        flags = ["--scanners", "secret", "--cache-dir", str(trivy_cache), "--quiet", "--format", "json"]
        return timed([rivals.trivy, "image", *flags, "--skip-version-check", "--disable-telemetry", *target])

    def engine_save() -> subprocess.Popen:
        return subprocess.Popen(["docker", "image", "save", str(image)], stdout=subprocess.PIPE)

    programs = {
        "trivy": lambda: trivys("--input", str(archive)),
        "plain": lambda: ours("plain"),
        "deep": lambda: ours("deep"),
        "deep, as typed": lambda: _typed(work, str(archive)),
        "deep, nothing known": lambda: ours("deep, nothing known"),
        "known": lambda: ours("deep", known=True),
        "hidden": lambda: ours("hidden"),
    }
    if dive := rivals.dive:
        programs["dive"] = lambda: timed([dive, "--ci", f"docker-archive://{archive}"])
    if gitleaks := rivals.gitleaks:
        words = ["dir", str(archive), "--max-archive-depth", "8", "--no-banner", "--exit-code", "0"]
        programs["gitleaks"] = lambda: timed([gitleaks, *words])
    if kingfisher := rivals.kingfisher:
        words_ = ["scan", str(archive), "--no-validate", "--no-update-check", "--no-limits", "--quiet"]
        programs["kingfisher"] = lambda: timed([kingfisher, *words_], good=range(256))
    if registry and (crane := rivals.crane):
        programs["deep, registry"] = lambda: _typed(work, f"oci://{registry}")
        programs["crane, registry"] = lambda: timed(["sh", "-c", f'exec "{crane}" export "{registry}" - > /dev/null'])
    if image:
        programs["trivy, engine"] = lambda: trivys("--image-src", "docker", image)
        image_id, root = docker("inspect", "{{.Id}}", image), docker("info", "{{.DockerRootDir}}")
        programs["plain, engine"] = lambda: timed([sys.executable, LOOK, image_id, "plain", "-", root])
        programs["deep, engine"] = lambda: timed([sys.executable, LOOK, image_id, "deep", "-", root])
        programs["saved, engine"] = lambda: timed([sys.executable, LOOK, "-", "deep", "-"], engine_save)
    return programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="docker-save archive of the golang stand-in")
    parser.add_argument("--archive", type=Path, help="time this archive instead of one of 1 GB")
    parser.add_argument("--work", type=Path, default=Path(".deadweight/bench/layers"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trivy", default=shutil.which("trivy"))
    parser.add_argument("--dive", default=shutil.which("dive"))
    parser.add_argument("--gitleaks", default=shutil.which("gitleaks"))
    parser.add_argument("--kingfisher", default=shutil.which("kingfisher"))
    parser.add_argument("--crane", default=shutil.which("crane"))
    parser.add_argument("--registry", help="the same image in a registry (pushed before)")
    parser.add_argument("--engine", action="store_true", help="also through the engine (loads the archive, as bench:1)")
    given = parser.parse_args()
    if not given.trivy:
        given.trivy = _pinned_trivy()
    given.work.mkdir(parents=True, exist_ok=True)
    archive = given.archive or given.work / "1gb.tar"
    if not archive.exists():
        if given.base is None:
            parser.error("--base is needed to make the archive")
        make_archive(given.base, archive)
    if given.engine and archive.is_dir():
        parser.error("an engine loads no layout folder: give an archive for --engine")
    rivals = Rivals(given.trivy, given.dive, given.gitleaks, given.kingfisher, given.crane)
    with loaded("docker", archive) if given.engine else nullcontext():
        programs = rows(archive, given.work, rivals, IMAGE if given.engine else None, given.registry)
        results = measured(programs, archive, given.rounds)
    show(archive, results)


@contextmanager
def loaded(cli: str, archive: Path) -> Iterator[None]:
    """The archive in the engine, under the tag of this bench, whatever its own is; what was not there before goes again."""

    def call(*words: str) -> list[str]:
        return subprocess.run([cli, *words], check=True, capture_output=True, text=True).stdout.splitlines()

    form = "{{.Repository}}:{{.Tag}}"
    before = {*call("image", "ls", "--format", form), *call("image", "ls", "--quiet", "--no-trunc")}
    name = call("load", "-i", str(archive))[-1].partition(": ")[2].strip()
    call("tag", name, IMAGE)
    try:
        yield
    finally:
        for tag in dict.fromkeys((IMAGE, name)):
            if tag not in before:
                call("image", "rm", tag)


def run() -> list:
    """For ``python -m bench layers``: the base is the golang stand-in of this project's source, and the engine is its own."""
    from bench._bench import ROUNDS, WORK

    work = WORK / "layers"
    work.mkdir(parents=True, exist_ok=True)
    with _engine() as cli:
        archive, golang, packed = work / "1gb.tar", work / "golang.tar", work / "golang-gzip"
        if not archive.exists() or not golang.exists():
            base = _golang(work, cli)
            make_archive(base, archive)
            make_archive(base, golang, 0)
        if not (packed / "oci-layout").exists():
            make_layout(golang, packed)
        rivals = Rivals(_pinned_trivy(), *(shutil.which(name) for name in RIVALS))
        measures = {
            path: measured(rows(path, work, Rivals(rivals.trivy), None), path, ROUNDS) for path in (golang, packed)
        }
        with loaded(cli, archive):
            measures[archive] = measured(rows(archive, work, rivals, IMAGE), archive, ROUNDS)
    kinds = {archive: "", golang: "golang", packed: "golang, gzip"}
    results = [
        _result(name, runs, kinds[path]) for path, runs in measures.items() for name in (*OURS, *RIVALS) if name in runs
    ]
    peak = max(run.anon_mb for runs in measures.values() for name in OURS for run in runs.get(name, ()))
    return [*results, _memory(peak)]


RIVALS = ("dive", "gitleaks", "kingfisher")
DEEP = ("deep", "deep, as typed", "deep, nothing known")
OURS = ("plain", *DEEP, "hidden", "known", "plain, engine", "deep, engine", "saved, engine")


def measured(programs: dict[str, Callable[[], Run]], archive: Path, rounds: int) -> dict[str, list[Run]]:
    """Every program once a round, in turn."""
    timed([sys.executable, LOOK, str(archive), "deep", "-"])  # warms page cache and compiled rules
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for _round in range(rounds):
        for name, program in programs.items():
            runs[name].append(program())
    return runs


def _result(name: str, runs: dict[str, list[Run]], image: str) -> Any:
    from bench._bench import Result

    rival = "trivy, engine" if name.endswith("engine") else "trivy"
    ours, other = (tuple(round(run.wall, 3) for run in runs[which]) for which in (name, rival))
    mine, theirs = statistics.median(ours), statistics.median(other)
    looked = {"": "an image of 1 GB", "golang": "a golang image", "golang, gzip": "a golang image with gzip layers"}[
        image
    ]
    what = f"secrets of {looked}, {name}" if name in OURS else f"the same image, {name} instead of ours"
    title = f"{image}: {name}" if image else name
    return Result(
        *(title, what, mine, theirs, round(mine / theirs, 3), LIMITS.get(name)), rival_name=rival, runs=(ours, other)
    )


def _memory(peak: float) -> Any:
    from bench._bench import Result

    return Result("memory", "peak of any of these, all processes", peak, None, peak, MEMORY_LIMIT_MB, "MB")


@contextmanager
def _engine() -> Iterator[str]:
    """The project's engine for all programs of the bench; gives its command line."""
    from deadweight.project.workspace import Workspace
    from deadweight.toolchain.find import find

    cli = find("docker-cli").path
    with Workspace.open(print) as workspace:
        added = {"DOCKER_HOST": workspace.endpoint.host, "PATH": f"{cli.parent}{os.pathsep}{os.environ['PATH']}"}
        before = {name: os.environ.get(name) for name in added}
        os.environ.update(added)
        try:
            yield str(cli)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _golang(work: Path, cli: str) -> Path:
    """The golang base of this project as a docker-save archive, through the engine."""
    from deadweight.project.workspace import Workspace

    with Workspace.open(print) as workspace:
        workspace.source.prepare((GOLANG,), apk=False, say=print)
        image = workspace.source.base(GOLANG).resolved
        path = work / "base.tar"
        subprocess.run([cli, "pull", "--quiet", image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([cli, "image", "save", "--output", str(path), image], check=True)
    return path


def _pinned_trivy() -> str:
    from deadweight.toolchain.find import find

    return str(find("trivy").path)


def show(archive: Path, results: dict[str, list[Run]]) -> None:
    reference = statistics.median(run.wall for run in results["trivy"])
    size = sum(path.stat().st_size for path in (archive, *archive.rglob("*")) if path.is_file())
    print(f"{size / 1e9:.2f} GB, median of {len(results['trivy'])} (min-max), ratio to trivy of the same kind")
    for name, runs in results.items():
        walls = [run.wall for run in runs]
        own = reference
        for kind, rival in (("engine", "trivy, engine"), ("registry", "crane, registry")):
            if name.endswith(kind):
                own = statistics.median(run.wall for run in results[rival])
        limit = REGISTRY_LIMIT if name == "deep, registry" else LIMITS.get(name)
        ratio = statistics.median(walls) / own
        verdict = "" if limit is None else f"  limit {limit}: {'met' if ratio <= limit else 'MISSED'}"
        print(
            f"{name:19} {statistics.median(walls):6.2f} s ({min(walls):.2f}-{max(walls):.2f})"
            f"  cpu {statistics.median(r.cpu for r in runs):6.2f} s"
            f"  anon {max(r.anon_mb for r in runs):6.0f} MB  ratio {ratio:5.2f}{verdict}"
        )


if __name__ == "__main__":
    main()
