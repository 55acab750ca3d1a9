"""The engines that people have: what works with each, tried for real, and the page that says so.

``python -m tests.engines.test_engines`` goes through all of them and writes the results and the page anew.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deadweight.records.paths import user_cache
from tests.engines import from_source
from tests.support import ROOT, TESTS, engine_tour
from tests.support.caches import fresh_cache, linked
from tests.support.small_images import KEPT

pytestmark = pytest.mark.system

RESULTS = TESTS / "data" / "engines.json"
PAGE = ROOT / "docs" / "reference" / "engines.md"
ENGINES = {
    "os": "Debian 12's Docker, overlay2",
    "current": "Docker 29, containerd image store",
    "current-overlay2": "Docker 29, overlay2",
    "podman": "Debian 12's Podman",
}
UNMEASURED = (
    "Docker 25 to 28, Docker Desktop, OrbStack, Colima, Rancher Desktop and Apple's container",
    "Podman 5; remote Podman",
    "cgroup version 2, AppArmor, `userns-remap`, and Docker with nftables instead of iptables",
)
"""What no test starts. Figures that somebody saw there once would stay here for ever."""
SECONDS = 500.0
BUILT = ("current", "current-overlay2")
WITH_BUILDX = "current"
"""The one whose images are built with buildx; the others have Debian's client, which speaks BuildKit by itself."""


def lacking(kind: str) -> str:
    """Why an engine cannot be had here; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return "an engine in a network of its own needs root, unshare and ip"
    if kind == "podman":
        return "" if shutil.which("podman") else "podman is not installed (invoke setup --tests)"
    return ""


def toured(kind: str, folder: Path, *more: str) -> dict[str, str]:
    """What works with an engine. It has a cache, a store and a network namespace of its own, and ends with this."""
    cache = fresh_cache(folder / "cache", programs=True)
    shutil.copytree(user_cache() / "tools", cache / "tools", copy_function=linked)
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copytree(KEPT, cache / "tests" / KEPT.name, copy_function=linked)
    if kind == WITH_BUILDX:
        _add_buildx(cache)
    env = {**os.environ, "DEADWEIGHT_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    if kind in BUILT:
        env["PATH"] = f"{from_source.folder(overlay2=kind != WITH_BUILDX)}{os.pathsep}{env['PATH']}"
    argv = ["unshare", "--net", "--", sys.executable, "-m", "tests.support.engine_tour", kind, str(folder), *more]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tour:
        try:
            out, errors = tour.communicate(timeout=SECONDS)
        finally:
            tour.terminate()  # it ends its engine then
    assert tour.returncode == 0, errors[-2000:]
    results: dict[str, str] = json.loads(out)
    return results


def _add_buildx(cache: Path) -> None:
    """In the usual place all other tests would build with it, and nobody would see what an old client does. So it lies apart; it is
    made once for each user of a machine (143 s of a processor)."""
    apart = user_cache() / "apart"
    script = (
        "import sys, pathlib; from deadweight.toolchain import catalogue, golang; "
        "golang.build(catalogue.program('buildx'), pathlib.Path(sys.argv[1]))"
    )
    apart.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "DEADWEIGHT_CACHE_DIR": str(apart)}
    subprocess.run([sys.executable, "-c", script, str(apart / "buildx.log")], env=env, check=True, capture_output=True)
    shutil.copytree(apart / "tools", cache / "tools", copy_function=linked, dirs_exist_ok=True)


def verdicts(results: dict[str, str]) -> dict[str, str]:
    return {task: result.partition(":")[0] for task, result in results.items() if task != "version"}


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize("kind", ["podman", *(pytest.param(kind, marks=pytest.mark.engines) for kind in BUILT)])
def test_what_the_page_says_of_an_engine_is_what_comes_of_it(kind, tmp_path):
    """All other tests run on the operating system's Docker. Docker 29 is built here, and tried by ``nox -s engines``."""
    problem = lacking(kind)
    if problem:
        pytest.skip(problem)
    results = toured(kind, tmp_path, engine_tour.BRIEF)
    assert verdicts(results) == verdicts(json.loads(RESULTS.read_text())[kind]), results


def test_the_page_of_engines_is_made_of_the_results():
    """Make it anew: python -m tests.engines.test_engines"""
    assert PAGE.read_text() == page(json.loads(RESULTS.read_text()))


HEAD = """\
# Engines

What works with each container engine. One engine ran at a time, as root. Every task was run on a Dockerfile variant
that uses a secret and a cache mount. See [Choose an engine](../how-to/engine.md).
"""
TAIL = """
`nox -s engines` also attacks a service in rootless Docker and Podman, where some attacks are not measured.

## Not measured

Not tested:
"""


def page(results: dict[str, dict[str, str]]) -> str:
    """The page, in Markdown."""
    engines = " | ".join(f"{ENGINES[kind]} ({tour['version']})" for kind, tour in results.items())
    lines = [HEAD, f"| | {engines} |", "| --- |" + " --- |" * len(results)]
    notes: list[str] = []
    for task in (name for name in results["os"] if name != "version"):
        cells = []
        for tour in results.values():
            verdict, _, more = tour[task].partition(": ")
            if more and more not in notes:
                notes.append(more)
            cells.append(f"{verdict} ({notes.index(more) + 1})" if more else verdict)
        lines.append(f"| {task} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), TAIL]
    lines += [*(f"- {name}" for name in UNMEASURED), ""]
    return "\n".join(lines)


def main() -> None:
    results = {}
    for kind in ENGINES:
        with tempfile.TemporaryDirectory(prefix="dw-engines-") as name:
            results[kind] = toured(kind, Path(name))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
