"""An engine for arm64, as Apple silicon has it, while its client is another machine: what is built, measured and told is arm64's.

QEMU runs its containers, so what QEMU cannot do is not measured.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.toolchain.find import find, inspect_tool
from deadweight_standins.apk_build import file_member, write_package
from tests.support import ROOT, image_samples as samples
from tests.support.docker_registry import crane_registry
from tests.support.java_projects import PROJECT
from tests.support.limited_engine import INVOKE, Limited, document, limited_engine, verified
from tests.support.marks import NEEDS_DOCKERD
from tests.support.scan_samples import write_database
from tests.support.small_images import go_program
from tests.support.trees import written

NEEDS_QEMU = pytest.mark.skipif(
    inspect_tool("qemu-aarch64-static").tool is None, reason="QEMU is not installed (invoke setup --tests)"
)
pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow, NEEDS_DOCKERD, NEEDS_QEMU]
SERVICE = ROOT / "src" / "vulnerable-awk-playground"
SUITE = """\
name: arm
sources: {{source: registry}}
defaults:
  port: 8080
  health: {{path: /version}}
  checks: {{budget: {{layers: {{hard: 5}}}}, layers: {{}}, api: [{{name: named, request: {{path: /version}},
    expect: {{body_contains: playground}}}}]}}
variants:
  plain: {{builder: dockerfile, dockerfile: Dockerfile, source: files}}
  ko: {{builder: ko, source: service, base: "{registry}/base:1"}}
"""
PACKAGED = """\
name: packaged
sources:
  source: mirror
  mirror: {{registries: {{gcr.io: "{registry}"}}, insecure: true, apk: {{wolfi: [apk]}}, apk_keys: [apk/own.rsa.pub]}}
variants:
  apko: {{builder: apko, config: apko.yaml, port: 8080, health: {{path: /version}}, checks: {{layers: {{}}}}}}
  jib: {{builder: jib, source: app, base: "gcr.io/base:1", runnable: false, checks: {{layers: {{}}}}}}
"""
APKO = """contents: {packages: [service]}
accounts: {users: [{username: app, uid: 65534}], groups: [{groupname: app, gid: 65534}], run-as: app}
entrypoint: {command: /app}
"""
DOCKERFILE = 'FROM scratch\nCOPY app /app\nUSER 65534:65534\nENTRYPOINT ["/app"]\n'
BASES = {
    name: samples.oci_members(samples.build(architecture=name), platform=f"linux/{name}") for name in ("amd64", "arm64")
}


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    with limited_engine("arm64") as made:
        yield made


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[str]:
    """It holds a base for both."""
    with crane_registry(tmp_path_factory.mktemp("registry") / "log") as address:
        base = written(tmp_path_factory.mktemp("base"), samples.several(*BASES.values()))
        subprocess.run([find("crane").path, "push", "--index", base, f"{address}/base:1"], check=True)
        yield address


@pytest.fixture(scope="module")
def project(limited, registry) -> Path:
    """One variant for each way to its architecture: the engine builds the first, this machine the other, on a base for both."""
    folder = limited.home / "project"
    written(folder, {"deadweight.yaml": SUITE.format(registry=registry), "Dockerfile": DOCKERFILE, "files/none": ""})
    go_program(SERVICE, folder / "files" / "app", "arm64")
    shutil.copytree(SERVICE, folder / "service")
    shutil.copy(ROOT / "tasks.py", folder)
    write_database(folder / "db")
    limited.owned(folder)
    limited.run(folder, *INVOKE, "build")
    return folder


def test_images_and_our_programs_in_containers_are_for_it(limited, project):
    """Of the base for several, the one that is."""
    limited.run(project, *INVOKE, "report")
    page = json.loads((project / ".deadweight/report/report.json").read_text())["variants"]
    assert {name: variant["image"]["architecture"] for name, variant in page.items()} == dict.fromkeys(page, "arm64")
    (meant,) = samples.entries(BASES["arm64"])
    assert page["ko"]["base"]["digest"] == meant["digest"]
    ours = [path.name.rpartition("-")[2] for path in (limited.home / "cache" / "attacks").iterdir()]
    assert set(ours) == {"arm64"}


def test_checks_pass(limited, project):
    expected = {f"{name}/{check}": "pass" for name in ("plain", "ko") for check in ("runs", "api", "budget", "layers")}
    assert verified(limited, project) == expected


def test_no_attack_counts_as_stopped_that_the_emulator_cannot_carry_out(limited, project):
    words = ("attack", "--posture", "hardened", "--variant", "plain", "--json")
    (row,) = document(limited.run(project, *INVOKE, *words))["evidence"]
    hardened = row["data"]["postures"]["hardened"]
    outcomes = {name: cell["outcome"] for name, cell in hardened.items()}
    unmeasured = {"breach-io-uring", "breach-bpf", "breach-keyring", "breach-user-namespace", "breach-write-root"}
    assert {name: outcomes[name] for name in unmeasured} == dict.fromkeys(unmeasured, "not_measured")
    assert hardened["breach-write-root"]["evidence"]["untried"] == ["user-namespace", "io_uring"]
    stopped = ("breach-memory", "breach-raw-socket", "breach-clock")
    assert {name: outcomes[name] for name in stopped} == dict.fromkeys(stopped, "blocked")


def test_harden_finds_the_limits_and_no_profile(limited, project):
    """A profile is found with this machine's runtime, which is for another processor."""
    found = document(limited.run(project, *INVOKE, "harden", "--variant", "plain", "--json"))
    assert (found["posture"]["read_only"], found["posture"]["cap_drop"]) == (True, ["ALL"])
    assert (found["posture"]["seccomp"], found["broken"]) == ("default", [])
    assert "arm64" in found["no_seccomp"]


def test_a_scan_reads_its_images(limited, project):
    scans = document(limited.run(project, *INVOKE, "scan", "--database", "db", "--json"))["scans"]
    assert [(scan["data"]["languages"], scan["data"]["total"]) for scan in scans] == [({"gobinary": 2}, 1)] * 2


def test_apko_and_jib_make_images_for_it(limited, registry):
    """apko of packages that are for it, checked; Jib on its base, which has no Java to run it with."""
    folder = limited.home / "packaged"
    written(
        folder,
        {"deadweight.yaml": PACKAGED.format(registry=registry), "apko.yaml": APKO, "apk/aarch64/none": "", **PROJECT},
    )
    program = go_program(SERVICE, folder / "service", "arm64").read_bytes()
    place, key, melange = folder / "apk" / "aarch64", folder / "apk" / "own.rsa", find("melange").path
    write_package(place, "service", "aarch64", [file_member("app", program, 0o755)])
    subprocess.run([melange, "keygen", key], check=True)
    words = ["index", "--arch", "aarch64", "--signing-key", key, *(path.name for path in place.glob("*.apk"))]
    subprocess.run([melange, *words], cwd=place, check=True)
    shutil.copy(ROOT / "tasks.py", folder)
    limited.owned(folder)
    limited.run(folder, *INVOKE, "build")
    limited.run(folder, *INVOKE, "report")
    page = json.loads((folder / ".deadweight/report/report.json").read_text())["variants"]
    assert {name: variant["image"]["architecture"] for name, variant in page.items()} == dict.fromkeys(
        ("apko", "jib"), "arm64"
    )
    assert verified(limited, folder) == {"apko/runs": "pass", "apko/layers": "pass", "jib/layers": "pass"}
