"""Building all Go variants: ours against what a good Makefile does (``baseline.sh``), cold, edited, and with nothing changed.

Both work in a copy of this project each, on an engine of the bench's own beside whatever engine there is, with the same tools at
the same paths. Kept in both: bases (pulled beforehand), tools, module caches. Cleared for cold: the engine's build cache, Go's
caches, melange's and apko's. Packages and images that were built go too. The baseline asks every tool every time: melange and ko
know by themselves what is new, and no timestamp of a folder tells it better.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import _bench
from bench._bench import ROOT, WORK, Result, alternate, limit, peak_memory, timed

APP = "src/vulnerable-awk-playground"
HANDLER = f"{APP}/routes.go"
MARK = '"this path takes '
FILES = ("deadweight.yaml", "tasks.py", "ko.yaml", "melange.yaml", "apko.yaml", "apko-alpine.yaml")
FOLDERS = ("build", APP)
BASES = {
    "GO_BASE": "golang:1.21.3-bookworm",
    "UBUNTU": "ubuntu:23.10",
    "ALPINE": "alpine:3.18",
    "CHAINGUARD": "cgr.dev/chainguard/busybox:latest",
    "DISTROLESS": "gcr.io/distroless/static-debian12:nonroot",
}
DOCKERFILES = {
    "all-in-one": {"GO_BASE": "GO_BASE"},
    "multi-stage-ubuntu": {"GO_BASE": "GO_BASE", "BASE": "UBUNTU"},
    "multi-stage-alpine": {"GO_BASE": "GO_BASE", "BASE": "ALPINE"},
    "multi-stage-chainguard": {"GO_BASE": "GO_BASE", "BASE": "CHAINGUARD"},
    "multi-stage-distroless": {"GO_BASE": "GO_BASE", "BASE": "DISTROLESS"},
}
VARIANTS = (*DOCKERFILES, "ko", "apko", "apko-alpine")


@dataclass
class Yard:
    """Two copies of the project, one engine, and the environment that each side runs in."""

    ours: Path
    rival: Path
    shared: dict[str, str]
    baseline: dict[str, str] = field(default_factory=dict)

    def build(self, *flags: str) -> float:
        """Ours: one invocation for all variants."""
        words = [sys.executable, "-m", "invoke", "build", "--variant", ",".join(VARIANTS), *flags]
        return timed(words, self.ours, self.shared)

    def baseline_run(self, what: str = "all") -> float:
        return timed([Path(__file__).with_name("baseline.sh"), what], self.rival, self.baseline)

    def cold(self) -> None:
        """Nothing built, no build cache; bases, tools, module caches and signing keys stay."""
        docker = [self.baseline["DOCKER"]]
        timed([*docker, "builder", "prune", "-af"], ROOT, self.shared)
        listing = subprocess.run(
            [*docker, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
            env={**os.environ, **self.shared},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        built = [name for name in listing if name.startswith(("deadweight/", "baseline/"))]
        if built:
            timed([*docker, "image", "rm", "--force", *built], ROOT, self.shared)
        timed([*docker, "builder", "prune", "-af"], ROOT, self.shared)
        state = self.ours / ".deadweight"
        for name in ("steps", "images", "packages", "cache"):
            _remove(state / name)
        _remove(self.rival / "out")
        for name in ("go-build", "melange", "apk"):
            _remove(self.rival / "cache" / name)


def run() -> list[Result]:
    """All measurements, cold first."""
    with make_yard() as yard:
        return _measured(yard)


def _measured(yard: Yard) -> list[Result]:
    yard.build()  # pulls bases, finds tools, makes keys: what both keep
    yard.baseline_run()
    results = [_cold(yard), _edited(yard), *_unchanged(yard)]
    words = ["build", "--variant", ",".join(VARIANTS)]
    peaks = [peak_memory(words, yard.ours, yard.shared) for _ in range(_bench.ROUNDS)]
    edit(yard.ours)
    peaks.append(peak_memory(words, yard.ours, yard.shared))
    results.append(limit("memory", "peak of our own process, building", [max(peaks)], target=150, unit="MB"))
    return results


def _cold(yard: Yard) -> Result:
    def ours() -> float:
        yard.cold()
        return yard.build()

    def rival() -> float:
        yard.cold()
        return yard.baseline_run()

    return alternate("cold", "all Go variants, cold", ours, rival, target=0.75, rival_name="baseline.sh")


def _edited(yard: Yard) -> Result:
    def ours() -> float:
        edit(yard.ours)
        return yard.build()

    def rival() -> float:
        edit(yard.rival)
        return yard.baseline_run()

    yard.build()
    yard.baseline_run()
    return alternate("edited", "a handler edited, all Go variants", ours, rival, target=0.5, rival_name="baseline.sh")


def _unchanged(yard: Yard) -> list[Result]:
    yard.build()
    yard.baseline_run()
    what = "nothing changed, all Go variants"
    against_all = alternate(
        "unchanged", what, lambda: yard.build(), yard.baseline_run, target=0.1, rival_name="baseline.sh", rounds=5
    )
    yard.baseline_run("bake")
    against_bake = alternate(
        "unchanged-bake",
        f"{what}, against the Dockerfile variants alone",
        lambda: yard.build(),
        lambda: yard.baseline_run("bake"),
        target=1.0,
        rival_name="buildx bake",
        rounds=5,
    )
    return [against_all, against_bake]


def edit(project: Path) -> None:
    """Another text in a handler, one that no earlier round had."""
    path = project / HANDLER
    text = path.read_text()
    head, _, tail = text.partition(MARK)
    rest = tail.partition('"')[2]
    path.write_text(f'{head}{MARK}{uuid.uuid4().hex} "{rest}')


@contextlib.contextmanager
def make_yard() -> Iterator[Yard]:
    """Copies and an engine of our own below the project's state folder; stand-ins and tools are the user's.

    The engine ends with it: another one that is started beside it, a project's own, would set no firewall rules.
    """
    from deadweight.engine.own import engine as own
    from deadweight.records.paths import user_cache

    work, cache = WORK / "builds", WORK / "cache"
    for name in ("ours", "rival"):
        _copy_project(work / name)
    cache.mkdir(parents=True, exist_ok=True)
    shared_cache, before = user_cache(), dict(os.environ)
    for name in ("local", "tools", "go", "buildx"):
        link = cache / name
        if not link.exists() and (shared_cache / name).exists():
            link.symlink_to(shared_cache / name)
    os.environ["DEADWEIGHT_CACHE_DIR"] = str(cache)
    try:
        host = own.start(lambda line: print(f"  {line}", file=sys.stderr))
        shared = {"DEADWEIGHT_CACHE_DIR": str(cache), "DOCKER_HOST": host}
        os.environ.update(shared)
        yard = Yard(work / "ours", work / "rival", shared)
        yard.baseline = _baseline_environment(yard, host)
        yield yard
    finally:
        own.stop()
        os.environ.clear()
        os.environ.update(before)


def _baseline_environment(yard: Yard, host: str) -> dict[str, str]:
    """The same tools, bases and repositories as ours, as the source resolves them."""
    from deadweight.builders.shared import common as _common
    from deadweight.engine.api import Endpoint
    from deadweight.engine.daemon import docker_cli
    from deadweight.project.workspace import Workspace
    from deadweight.toolchain.find import find

    client = docker_cli(Endpoint(host, ours=True))
    plain = ["--progress=plain", *(["--provenance=false"] if client.buildx else [])]
    workspace = Workspace.open(lambda line: print(f"  {line}", file=sys.stderr), yard.ours / "deadweight.yaml")
    workspace.source.prepare(tuple(BASES.values()), apk=True, say=workspace.say)
    bases = {name: _common.pinned(workspace.source.base(reference)) for name, reference in BASES.items()}
    for image in bases.values():  # a build cache that is pruned takes no pulled image along
        timed([find("docker-cli").path, "pull", "--quiet", image], ROOT, yard.shared)
    wolfi, alpine = workspace.source.apk("wolfi"), workspace.source.apk("alpine")
    architecture = _common.architecture()
    (yard.rival / "docker-bake.json").write_text(json.dumps(_bake(bases)))
    buildx = find("buildx").path
    return {
        **yard.shared,
        **client.env,
        **bases,
        "BUILD": " ".join(client.build(*plain)),
        "BUILDX": str(buildx),
        "BUILDX_BUILDER": "default",
        "DOCKER": str(find("docker-cli").path),
        "KO": str(find("ko").path),
        "KO_BASE": bases["CHAINGUARD"],
        "GO_FOLDER": str(find("go").path.parent),
        "MELANGE": str(find("melange").path),
        "APKO": str(find("apko").path),
        "ARCH": architecture.apk,
        "OCI_ARCH": architecture.oci,
        "APK_WOLFI": _absolute(wolfi.repositories[0], yard.ours),
        "APK_ALPINE": _absolute(alpine.repositories[0], yard.ours),
        "APK_KEY": _absolute(wolfi.keyring[0], yard.ours),
    }


def _bake(bases: dict[str, str]) -> dict:
    targets = {
        name: {
            "context": APP,
            "dockerfile": f"../../build/{name}.Dockerfile",
            "args": {argument: bases[base] for argument, base in arguments.items()},
            "tags": [f"baseline/{name}:bake"],
            "attest": ["type=provenance,disabled=true"],
        }
        for name, arguments in DOCKERFILES.items()
    }
    return {"group": {"default": {"targets": list(DOCKERFILES)}}, "target": targets}


def _absolute(name: str, root: Path) -> str:
    return name if "://" in name else str((root / name).resolve())


def _copy_project(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy2(ROOT / name, place / name)
    for name in FOLDERS:
        _remove(place / name)
        shutil.copytree(ROOT / name, place / name)


def _remove(folder: Path) -> None:
    """melange's sandbox leaves folders without permissions; root may remove them all the same, others open them first."""
    if folder.exists():
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False)
        shutil.rmtree(folder)


def main() -> None:
    started = time.monotonic()
    on = _bench.machine()
    _bench.save("builds", run(), on, time.monotonic() - started)


__all__ = ["edit", "make_yard", "run"]

if __name__ == "__main__":
    main()
