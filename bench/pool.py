"""A pool against ``docker buildx bake``: 60 Dockerfile variants of 12 services on three BuildKit daemons of half a core each.

Both have the same daemons, new for each run: behind mutual TLS, each in a network and a control group of its own. Bake has them as
the three nodes of one builder (driver ``remote``). Both leave an archive of each image. A service's variants share a stage that
works for a while, as a compiler would; each variant then works for a while on its own. The rival is never disturbed; of ours, one
daemon is killed in the second measurement once a third of the images is there.

    python -m bench pool

``DEADWEIGHT_BENCH_POOL=SERVICESxVARIANTS`` is for trying it out on fewer; where three rounds would take longer than
``DEADWEIGHT_BENCH_SECONDS``, there are two.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import _bench
from bench._bench import ROOT, Result, timed
from deadweight.toolchain.find import find
from tests.support.buildkit_world import Daemon, daemons
from tests.support.pool_project import endpoint
from tests.support.small_images import go_program

NAMES = ("a", "b", "c")
SHARED, OWN = 5000, 1000
"""Rounds of work: about 2.5 and 0.5 seconds of a core."""


def run() -> list[Result]:
    """Cold, and cold with one endpoint lost; the rival's figures are the same for both."""
    services, variants = map(int, os.environ.get("DEADWEIGHT_BENCH_POOL", "12x5").split("x"))
    what = f"{services * variants} variants of {services} services on three endpoints of half a core"
    seconds: dict[str, list[float]] = {"whole": [], "lost": [], "bake": []}
    facts: dict[str, list[Built]] = {"whole": [], "lost": []}
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-pool-") as name:
        yard = Yard(Path(name), services, variants)
        yard.write()
        started, most = time.monotonic(), float(os.environ.get("DEADWEIGHT_BENCH_SECONDS", "inf"))
        for number in range(_bench.ROUNDS):
            if number > 1 and (time.monotonic() - started) * (number + 1) / number > most:
                break
            for kind in ("whole", "lost"):
                seconds[kind].append(round(yard.ours(kill=kind == "lost"), 2))
                facts[kind].append(yard.built())
            seconds["bake"].append(round(yard.bake(), 2))
            print("  pool:", {kind: times[-1] for kind, times in seconds.items()}, file=sys.stderr, flush=True)
    rival = "docker buildx bake"
    return [
        _result("pool", what, seconds["whole"], seconds["bake"], 0.6, rival, facts["whole"]),
        _result(
            "pool-lost", f"{what}, one killed at a third", seconds["lost"], seconds["bake"], 0.8, rival, facts["lost"]
        ),
    ]


Built = dict[str, int]
"""How many builds were begun on which endpoint, and ``again`` for those that were begun on a second one."""


def _result(
    name: str, what: str, ours: list[float], bake: list[float], target: float, rival: str, facts: list[Built]
) -> Result:
    mine, other = statistics.median(ours), statistics.median(bake)
    runs = tuple(ours), tuple(bake)
    return Result(name, what, mine, other, round(mine / other, 3), target, "s", rival, runs, {"begun": facts})


@dataclass(frozen=True)
class Yard:
    """Where both work."""

    root: Path
    services: int
    variants: int

    @property
    def project(self) -> Path:
        return self.root / "project"

    def write(self) -> None:
        """One project for both: its suite, and a bake file that says the same."""
        burn = go_program(ROOT / "tests/services/burn", self.root / "burn")
        suite: dict[str, object] = {}
        targets: dict[str, object] = {}
        for service in range(self.services):
            folder = self.project / f"s{service}"
            folder.mkdir(parents=True)
            shutil.copy(burn, folder / "burn")
            (folder / "go.sum").write_text(f"what service {service} depends on\n")
            for variant in range(self.variants):
                (folder / f"{variant}.Dockerfile").write_text(
                    "FROM scratch AS build\n"
                    "COPY burn go.sum /\n"
                    f'RUN ["/burn", "{SHARED}", "/built"]\n'
                    "FROM scratch\n"
                    "COPY --from=build /burn /built /\n"
                    f'RUN ["/burn", "{OWN}", "/variant-{variant}"]\n'
                )
                name, file = f"s{service}-{variant}", f"s{service}/{variant}.Dockerfile"
                suite[name] = {"builder": "dockerfile", "source": f"s{service}", "dockerfile": file, "runnable": False}
                output = [f"type=docker,dest={self.root}/out/{name}.tar"]
                targets[name] = {"context": f"s{service}", "dockerfile": f"{variant}.Dockerfile", "output": output}
        (self.root / "out").mkdir()
        (self.project / "deadweight.yaml").write_text(
            yaml.safe_dump({"name": "bench", "defaults": {"port": 8080}, "variants": suite})
        )
        (self.project / "tasks.py").write_text("from deadweight.tasks import namespace as ns\n")
        (self.project / "bake.json").write_text(
            json.dumps({"group": {"default": {"targets": sorted(targets)}}, "target": targets})
        )

    def ours(self, *, kill: bool = False) -> float:
        """One ``invoke build``; with ``kill`` an endpoint dies when a third of the images is there."""
        shutil.rmtree(self.project / ".deadweight", ignore_errors=True)
        with self.endpoints() as nodes:
            pool = self.root / "pool.yaml"
            pool.write_text(yaml.safe_dump({"endpoints": {name: endpoint(daemon) for name, daemon in nodes.items()}}))
            done = threading.Event()
            killer = threading.Thread(target=self._kill, args=(nodes["b"], done))
            if kill:
                killer.start()
            try:
                words = [sys.executable, "-m", "invoke", "build"]
                return timed(words, self.project, {"DEADWEIGHT_POOL": str(pool), "DEADWEIGHT_SOURCE": "registry"})
            finally:
                done.set()
                if kill:
                    killer.join()

    def built(self) -> Built:
        """Where the last run's builds were begun, by the pool's own log."""
        log = (self.project / ".deadweight/logs/pool.log").read_text()
        begun = re.findall(r" (\S+): goes to (\S+)", log)
        again = len(begun) - len({variant for variant, _ in begun})
        return {**Counter(place for _, place in begun), "again": again}

    def _kill(self, daemon: Daemon, done: threading.Event) -> None:
        images = self.project / ".deadweight" / "images"
        while len(list(images.glob("*/built.json"))) < self.services * self.variants / 3:
            if done.wait(0.2):
                raise AssertionError("it was over before a third was")
        daemon.kill()

    def bake(self) -> float:
        """One ``buildx bake`` over the three."""
        buildx = str(find("buildx").path)
        config = self.root / "buildx"
        shutil.rmtree(config, ignore_errors=True)
        env = {
            "BUILDX_CONFIG": str(config),
            "BUILDX_METADATA_PROVENANCE": "disabled",
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
        }
        with self.endpoints() as nodes:
            for number, daemon in enumerate(nodes.values()):
                certificates = daemon.certificates
                options = f"cacert={certificates}/ca.pem,cert={certificates}/client.pem,key={certificates}/client.key"
                more = ["--append"] if number else []
                words = [
                    buildx,
                    "create",
                    "--name",
                    "three",
                    *more,
                    "--driver",
                    "remote",
                    "--driver-opt",
                    options,
                    daemon.address,
                ]
                subprocess.run(words, env={**os.environ, **env}, check=True, capture_output=True)
            words = [buildx, "bake", "--builder", "three", "--file", "bake.json", "--progress", "plain"]
            seconds = timed([*words, "--allow", f"fs={self.root}"], self.project, env)
        made = len(list((self.root / "out").glob("*.tar")))
        assert made == self.services * self.variants, f"bake left {made} archives"
        for archive in (self.root / "out").iterdir():
            archive.unlink()
        return seconds

    @contextlib.contextmanager
    def endpoints(self) -> Iterator[dict[str, Daemon]]:
        """Three new daemons of half a core each."""
        with tempfile.TemporaryDirectory(dir=self.root) as folder, contextlib.ExitStack() as stack:
            groups = {name: stack.enter_context(half_core(f"deadweight-bench-{os.getpid()}-{name}")) for name in NAMES}
            nodes = stack.enter_context(daemons(Path(folder), NAMES))
            for name, daemon in nodes.items():
                daemon.cgroup = groups[name]
                daemon.start()
            for daemon in nodes.values():
                daemon.ready()
            time.sleep(0.5)
            yield nodes


@contextlib.contextmanager
def half_core(name: str) -> Iterator[Path]:
    """A control group whose processes have half a core together, of either version."""
    old = Path("/sys/fs/cgroup/cpu").is_dir()
    folder = Path("/sys/fs/cgroup/cpu" if old else "/sys/fs/cgroup", name)
    folder.mkdir()
    try:
        if old:
            (folder / "cpu.cfs_quota_us").write_text("50000")
        else:
            (folder / "cpu.max").write_text("50000 100000")
        yield folder
    finally:
        for group in (folder, *Path("/sys/fs/cgroup").glob(f"*/{name}")):  # runc makes one in each hierarchy
            _remove_group(group)


def _remove_group(folder: Path) -> None:
    for _ in range(50):  # the last process may be on its way
        with contextlib.suppress(OSError):
            for below in sorted(folder.rglob("*"), reverse=True):
                if below.is_dir():
                    below.rmdir()
            folder.rmdir()
            return
        if not folder.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    print("python -m bench pool", _bench.machine())
