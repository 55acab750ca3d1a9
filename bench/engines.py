"""Time ``invoke layers --archive docker:IMAGE`` beside ``trivy image --image-src docker``, on an engine that is started for it.

    unshare --net -- python -m bench.engines KIND ARCHIVE [ROUNDS]

KIND is ``os`` (Debian's Docker), ``current`` (Docker 29, built by tests/engines) or ``current-overlay2``. The
engine has a store, a cache and a network of its own and ends with this. Both programs begin with nothing kept
from an earlier look; what ``invoke`` takes to start is in its figure.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.layers import LIMITS, Run, timed
from deadweight.records.paths import user_cache
from deadweight.toolchain.find import find
from tests.engines import from_source
from tests.support import ROOT, engine_tour


def main(kind: str, archive: Path, rounds: int) -> None:
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        del os.environ[name]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if kind != "os":
        os.environ["PATH"] = f"{from_source.folder(overlay2=kind != 'current')}{os.pathsep}{os.environ['PATH']}"
    compiled, trivy, cli = user_cache() / "secrets", str(find("trivy").path), str(find("docker-cli").path)
    with tempfile.TemporaryDirectory(prefix="deadweight-bench-") as work:
        folder = Path(work)
        shutil.copytree(user_cache() / "tools", folder / "cache" / "tools", copy_function=os.link)
        (folder / "cache" / "secrets").symlink_to(compiled)
        os.environ["DEADWEIGHT_CACHE_DIR"] = str(folder / "cache")
        env: dict[str, str] = {}
        with engine_tour.engine(kind, folder, env) as version:
            os.environ |= env
            loaded = subprocess.run(
                [cli, "load", "-i", str(archive)], check=True, capture_output=True, text=True
            ).stdout
            image = loaded.rpartition(": ")[2].strip()
            runs = measured(folder, trivy, image, rounds)
    show(f"{kind} ({version})", runs)


def measured(folder: Path, trivy: str, image: str, rounds: int) -> dict[str, list[Run]]:
    """Each once a round, in turn; the first round only warms."""
    runs: dict[str, list[Run]] = {"trivy": [], "deep": [], "plain": []}
    flags = ["--image-src", "docker", "--scanners", "secret", "--quiet", "--format", "json", "--skip-version-check"]
    for number in range(rounds + 1):
        for name, taken in runs.items():
            if name == "trivy":
                shutil.rmtree(folder / "trivy", ignore_errors=True)
                run = timed(
                    [trivy, "image", *flags, "--disable-telemetry", "--cache-dir", str(folder / "trivy"), image]
                )
            else:
                shutil.rmtree(folder / "cache" / "layers", ignore_errors=True)
                words = ["layers", "--archive", f"docker:{image}", "--scan", name]
                run = timed([sys.executable, "-m", "invoke", *words], cwd=ROOT)
            if number:
                taken.append(run)
    return runs


def show(engine: str, runs: dict[str, list[Run]]) -> None:
    rival = statistics.median(run.wall for run in runs["trivy"])
    for name, taken in runs.items():
        wall = statistics.median(run.wall for run in taken)
        limit = LIMITS.get(f"{name}, engine")
        verdict = "" if limit is None else f"  limit {limit}: {'met' if wall / rival <= limit else 'MISSED'}"
        walls = ", ".join(f"{run.wall:.2f}" for run in taken)
        print(
            f"{engine:32} {name:6} {wall:6.2f} s ({walls})  cpu {statistics.median(run.cpu for run in taken):5.2f} s"
            f"  ratio {wall / rival:5.2f}{verdict}"
        )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
