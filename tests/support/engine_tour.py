"""What works with one engine, tried as a user would: a suite of one Dockerfile variant, and each task on it in turn.

``python -m tests.support.engine_tour KIND FOLDER [brief]`` starts an engine of that kind, with a cache, a store and a network
namespace of its own, goes through the tasks and prints one JSON object: what works, with a word on it, or why not. It ends what
it started.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deadweight.engine import api
from deadweight.engine.own import machine
from deadweight.toolchain.find import find
from tests.support import ROOT, TESTS, image_samples as samples
from tests.support.docker_registry import crane_registry
from tests.support.invoking import invoke, start
from tests.support.processes import engine_at
from tests.support.small_images import PASSWD, Content, go_program, placed, program

BRIEF = "brief"


@dataclass
class Tour:
    """``results``: what came of each task, in their order; ``built`` and ``layers`` what those two told of the variant. ``brief``:
    of the attacks on resources, only the one of the gate is tried."""

    folder: Path
    env: Mapping[str, str]
    brief: bool = False
    results: dict[str, str] = field(default_factory=dict)
    built: dict[str, Any] = field(default_factory=dict)
    layers: dict[str, Any] = field(default_factory=dict)

    def invoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        return invoke(self.folder, *words, env=self.env, timeout=240)

    def json(self, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
        done = self.invoke(*words, "--json")
        assert done.returncode in codes, f"exit code {done.returncode}: {done.stderr.strip()[-400:]}"
        return json.loads(done.stdout)

    def succeeds(self, *words: str) -> str:
        done = self.invoke(*words)
        assert done.returncode == 0, done.stderr[-400:]
        return done.stdout + done.stderr

    def reported(self) -> Any:
        """What the report tells of the image."""
        self.succeeds("report")
        image = json.loads((self.folder / ".deadweight/report/report.json").read_text())["variants"]["v"]["image"]
        assert image["size_bytes"], "no size"
        return image

    def step(self, name: str, work: "Callable[[Tour], str | None]") -> None:
        try:
            text = work(self) or ""
            self.results[name] = text if text.startswith("refused: ") else f"ok{': ' if text else ''}{text}"
        except (AssertionError, subprocess.TimeoutExpired, KeyError, TypeError, ValueError) as error:
            self.results[name] = f"fails: {' '.join(str(error).split())[:300]}"


def build(tour: Tour) -> str:
    tour.built = row = tour.json("build")["variants"]["v"]
    assert row["result"] == "built", row["error"]
    kinds = [kind for kind in ("config", "manifest", "index") if row["engine_id"] == row[f"{kind}_digest"]]
    return f"the engine's image ID is the {kinds[0]} digest"


def up_to_date(tour: Tour) -> None:
    assert tour.json("build")["variants"]["v"]["result"] == "cached"


def verify(tour: Tour) -> str:
    checks = ("--check", "runs", "--check", "api", "--check", "budget", "--check", "layers")
    rows = tour.json("verify", *checks, codes=(0, 1))["evidence"]
    bad = [f"{row['check']} {row['status']}: {row['reason']}" for row in rows if row["status"] not in ("pass", "warn")]
    assert not bad, "; ".join(bad)
    return f"{len(rows)} checks"


def scan(tour: Tour) -> None:
    """Of a scan, only whether the scanner reads the image that was built: no database is needed for its list of packages."""
    archive = tour.folder / ".deadweight" / "images" / "v" / "image.tar"
    words = ("--offline-scan", "--skip-version-check", "--list-all-pkgs", "--format", "json", "--scanners", "license")
    places = ("--input", str(archive), "--cache-dir", str(tour.folder / "trivy"))
    argv = [str(find("trivy").path), "image", *words, *places]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-300:]
    assert json.loads(done.stdout)["Metadata"]["ImageID"] == tour.built["config_digest"]


def layers(tour: Tour) -> None:
    tour.layers = kept = tour.json("layers", "--variant", "v")
    direct = tour.json("layers", "--archive", f"docker:{tour.built['reference']}")
    assert kept["config_digest"] == direct["config_digest"] == tour.built["config_digest"]
    assert [layer["diff_id"] for layer in kept["layers"]] == [layer["diff_id"] for layer in direct["layers"]]


def attacks(tour: Tour) -> str:
    words = ("verify", "--check", "attacks") if tour.brief else ("attack", "--posture", "hardened")
    (row,) = tour.json(*words, codes=(0, 1, 3))["evidence"]
    cells = row["data"].get("postures", {}).get("hardened", {})
    assert cells, row["reason"]
    memory = cells["breach-memory"]
    assert memory["outcome"] in ("blocked", "crashed"), memory  # the limit may end the service
    through = sorted(name for name, cell in cells.items() if cell["outcome"] == "succeeded")
    assert "blocked" in [cell["outcome"] for cell in cells.values()], row["reason"]
    return f"attacks that succeed under the `hardened` posture: {', '.join(through) or 'none'}"


def attested(tour: Tour) -> str:
    """Where the engine keeps no statements, the suite that asks for them is refused before anything is built."""
    suite = tour.folder / "deadweight.yaml"
    before = suite.read_text()
    suite.write_text(before.replace("    port: 8080\n", "    port: 8080\n    attest: {provenance: max, sbom: true}\n"))
    try:
        done = tour.invoke("build")
        if done.returncode == 2:
            assert "attest" in done.stderr, done.stderr
            return f"refused: {done.stderr.partition('attest: ')[2].splitlines()[0]}"
        assert done.returncode == 0, done.stderr[-400:]
        image = tour.reported()
        assert image["index_digest"], "no index"
        named = {entry["predicate"]: entry["digest"] for entry in image["attestations"]}
        held = samples.members_of((tour.folder / ".deadweight/images/v/image.tar").read_bytes())
        statement = json.loads(held[f"blobs/{named['https://spdx.dev/Document'].replace(':', '/')}"])
        packages = {package["name"] for package in statement["predicate"]["packages"]}
        assert {"stdlib", "deadweight.dev/vulnerable-awk-playground"} <= packages, packages
        return f"in the archive: {', '.join(sorted(named))}"
    finally:
        suite.write_text(before)


def push(tour: Tour, registry: str) -> str:
    output = tour.succeeds("push", "--variant", "v", "--to", f"{registry}/tour:1")
    same = output.rpartition("@")[2].split()[0] == tour.layers["manifest_digest"]
    return f"pushes {'the manifest that was checked' if same else 'a new manifest, with a different digest'}"


def run_and_logs(tour: Tour) -> None:
    with start(tour.folder, "run", "--variant", "v", env=tour.env, stderr=subprocess.STDOUT) as running:
        try:
            assert running.stdout is not None
            lines = list(itertools.takewhile(lambda line: "press Ctrl-C to stop" not in line, running.stdout))
            assert running.poll() is None, "".join(lines)[-300:]
            tour.succeeds("logs", "--variant", "v")
        finally:
            running.terminate()
            running.wait(30)


def report(tour: Tour) -> None:
    image = tour.reported()
    assert (image["config_digest"], image["engine_id"]) == (tour.built["config_digest"], tour.built["engine_id"])


def clean(tour: Tour) -> None:
    output = tour.succeeds("clean", "--all")
    assert " 0 images" not in output, output


def lay_out(folder: Path) -> None:
    """The project: the demo service with a shell and awk, on nothing."""
    contents: dict[str, Content] = {"/bin/sh": "/usr/bin/dash", "/etc/passwd": PASSWD}
    placed(folder / "files", contents | program("dash") | program("awk") | program("cat"))
    go_program(ROOT / "src" / "vulnerable-awk-playground", folder / "files" / "app")
    shutil.copytree(TESTS / "services" / "tour", folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "tasks.py", folder)


@contextmanager
def engine(kind: str, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """Podman, or the Docker that stands first on PATH, named in ``env``; gives its version."""
    from deadweight.engine import daemon
    from deadweight.engine.own import engine as own

    if kind == "podman":
        with podman(folder, env) as host:
            yield daemon.server_version(api.Endpoint(host, ours=False)) or ""
        return
    env["DOCKER_HOST"] = own.start(lambda line: None)
    try:
        yield daemon.server_version(api.Endpoint(env["DOCKER_HOST"], ours=True)) or ""
    finally:
        own.remove_data()


def podman_words(folder: Path, named: Sequence[str] = ()) -> list[str | Path]:
    """This machine's Podman on a store of its own; ``named`` are more words for it. It uses runc: crun refuses control groups of
    both versions side by side."""
    places: list[str | Path] = ["podman", "--root", folder / "podman", "--runroot", f"/run/dw-tour-{os.getpid()}"]
    return [*places, *named, "--cgroup-manager", "cgroupfs", "--runtime", shutil.which("runc") or "/usr/sbin/runc"]


@contextmanager
def podman(folder: Path, env: dict[str, str], named: Sequence[str] = ()) -> Iterator[str]:
    """Podman's service, with these words."""
    socket = Path(f"/run/dw-tour-{os.getpid()}.sock")
    words = podman_words(folder, named)
    env["DOCKER_HOST"] = f"unix://{socket}"
    try:
        service = [*words, "system", "service", "--time=0", env["DOCKER_HOST"]]
        with engine_at(env["DOCKER_HOST"], service, folder / "podman.log"):
            yield env["DOCKER_HOST"]
    finally:
        subprocess.run([*words, "rm", "--all", "--force", "--time", "0"], capture_output=True, timeout=60)
        for process in machine.everyone():  # its monitors outlive what was run in containers by minutes
            if str(folder / "podman") in process.command and process.pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        machine.unmount_below(folder / "podman")
        shutil.rmtree(f"/run/dw-tour-{os.getpid()}", ignore_errors=True)
        socket.unlink(missing_ok=True)


def main(kind: str, folder: Path, *, brief: bool = False) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        del os.environ[name]
    env: dict[str, str] = {}
    project = folder / "project"
    lay_out(project)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with engine(kind, folder, env) as version, crane_registry(folder / "registry.log") as address:
        tour = Tour(project, env, brief)
        tour.results["version"] = version
        steps: dict[str, Callable[[Tour], str | None]] = {
            "build": build, "second build": up_to_date, "verify: runs, api, budget, layers": verify, "layers": layers,
            "the scanner reads the archive": scan, "attack": attacks, "run, logs": run_and_logs,
            "push": lambda tour: push(tour, address), "report": report, "build attestations": attested, "clean --all": clean,
        }  # fmt: skip
        for name, work in steps.items():
            tour.step(name, work)
    return tour.results


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    sys.stdout.write(json.dumps(main(sys.argv[1], Path(sys.argv[2]), brief=BRIEF in sys.argv[3:]), indent=2) + "\n")
