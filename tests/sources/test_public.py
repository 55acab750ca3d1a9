"""The registry, mirror and auto sources against real servers under the public host names, with TLS from a private CA."""

import base64
import json
import sys

import pytest

from deadweight._errors import wording
from deadweight.records.paths import State
from deadweight.records.reference import parse
from deadweight.sources.network import bundle
from deadweight.toolchain.find import find
from deadweight_standins.machine import this_machine
from tests.support.docker_registry import PASSWORD, USER
from tests.support.image_samples import honest_layer, saved
from tests.support.public_world import ABSENT, DEAF, LOCKED, MIRROR, PLAIN, World
from tests.support.trees import shell_script, written

pytestmark = pytest.mark.tools

BASES = ("golang:1.21.3-bookworm", "cgr.dev/chainguard/busybox:latest", "gcr.io/distroless/static-debian12:nonroot")
PUSHED = (
    "library/golang:1.21.3-bookworm", "chainguard/busybox:latest", "distroless/static-debian12:nonroot",
    "hub/library/golang:1.21.3-bookworm", "everything/cgr.dev/chainguard/busybox:latest",
)  # fmt: skip
SNIPPET = """
import json, os, sys, time
from pathlib import Path
from deadweight._errors import DeadweightError
from deadweight.records.paths import State
from deadweight.sources import remote
from deadweight.sources.remote import choose
from deadweight.project.load_suite import load_suite
root, name, apk, references = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "apk", sys.argv[4:]
remote.CHECK_SECONDS = float(os.environ.get("TEST_CHECK_SECONDS", remote.CHECK_SECONDS))
said, started = [], time.monotonic()
try:
    source = choose(load_suite(root / "deadweight.yaml"), State(root), said.append, {"source": name, "decided": None})
    chosen = time.monotonic() - started
    source.prepare(references, apk=apk, say=said.append)
    bases = {each: [source.base(each).resolved, source.base(each).digest] for each in references}
    result = {"name": source.name, "bases": bases, "apk": list(source.apk().repositories) if apk else []}
except DeadweightError as error:
    chosen, result = time.monotonic() - started, {"error": str(error), "exit": error.exit_code}
print(json.dumps({**result, "said": said, "chosen_seconds": chosen, "seconds": time.monotonic() - started}))
"""
SUITE = """
name: world
defaults: {port: 8080, health: {path: /healthz}}
variants:
  one: {builder: dockerfile, dockerfile: Dockerfile, bases: {BASE: "cgr.dev/chainguard/busybox:latest"}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The servers, with one small image under every name that the tests ask for."""
    folder = tmp_path_factory.mktemp("world")
    running = World.start(folder, find("docker-registry").path)
    files = {f"{this_machine().apk}/APKINDEX.tar.gz": b"index", "wolfi-signing.rsa.pub": "key"}
    written(running.folder / "apk/os", files)
    archive = saved(folder, honest_layer({"hello": b"hello"}))
    for name in PUSHED:
        pushed = running.need(find("crane").path, "push", "--insecure", archive, f"{PLAIN}/{name}")
    running.digest = pushed.strip().rpartition("@")[2]
    yield running
    running.stop()


@pytest.fixture
def ask(world, tmp_path):
    """Prepare a source in the little internet: ``ask("registry", …)`` gives what came of it."""
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")

    def asked(name, *references, apk=False, ca=True, suite=SUITE, **env):
        (tmp_path / "deadweight.yaml").write_text(suite)
        environment = {"DOCKER_CONFIG": str(tmp_path / "docker"), "HOME": str(tmp_path), "SSL_CERT_DIR": "/nonexistent"}
        environment |= {"DEADWEIGHT_CA_BUNDLE": str(world.ca)} if ca else {}
        words = (sys.executable, "-c", SNIPPET, tmp_path, name, "apk" if apk else "-", *references)
        return json.loads(world.need(*words, env={**environment, **env}))

    return asked


@pytest.mark.slow
def test_registry_resolves_public_names_and_checks_the_apk_repository(ask, world):
    got = ask("registry", *BASES, apk=True)

    assert dict.fromkeys(BASES, world.digest) == {name: base[1] for name, base in got["bases"].items()}
    assert f"docker.io/library/golang@{world.digest}" == got["bases"]["golang:1.21.3-bookworm"][0]
    assert got["apk"][:1] == ["https://packages.wolfi.dev/os"]


def test_an_untrusted_certificate_is_one_clear_error_for_all_bases(ask):
    got = ask("registry", *BASES, apk=True, ca=False)

    assert got["exit"] == 3
    for reference in BASES:
        assert wording("registry.untrusted", image=reference, host=parse(reference).host) in got["error"]
    assert "packages.wolfi.dev" in got["error"]
    assert "ca_bundle" in got["error"]


STATIC, PLACE = "gcr.io/distroless/static-debian12:nonroot", f"{MIRROR}/everything"


@pytest.mark.slow
@pytest.mark.parametrize(("source", "reference", "env", "code", "fields"), [
    ("registry", f"{ABSENT}/a/b:3", {}, "registry.no_answer", {"host": ABSENT}),
    ("registry", f"{DEAF}/a/b:3", {"TEST_CHECK_SECONDS": "3"}, "registry.late_answer", {"host": DEAF, "seconds": 3}),
    ("mirror", STATIC, {"DEADWEIGHT_MIRROR": PLACE}, "registry.no_image", {"host": MIRROR}),
    ("registry", "cgr.dev/chainguard/busybox:no-such-tag", {}, "registry.no_image", {"host": "cgr.dev"}),
    ("registry", "cgr.dev/chainguard/busybox:latst", {}, "registry.no_image", {"host": "cgr.dev"}),
], ids=["down", "deaf", "not in the mirror", "of no tag that is near", "of one that is near"])  # fmt: skip
def test_a_registry_without_the_base_is_one_clear_error(ask, source, reference, env, code, fields):
    """It names this base alone."""
    got = ask(source, reference, *(BASES[:1] if source == "registry" else ()), **env)

    image = reference if source == "registry" else f"{reference} (as {PLACE}/{reference})"
    problem = wording(code, image=image, **fields)
    near = wording("sources.nearest_tags", problem=problem, tags="latest") if "latst" in reference else problem
    assert (got["exit"], "golang" in got["error"]) == (3, False)
    assert near in got["error"]


@pytest.mark.parametrize("how", ["none", "wrong", "config", "helper"])
def test_credentials_come_from_dockers_config_and_helpers(ask, world, tmp_path, how):
    path = f"{tmp_path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    password = "wrong" if how == "wrong" else PASSWORD
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    if how in ("config", "wrong"):
        written(tmp_path, {"docker/config.json": json.dumps({"auths": {LOCKED: {"auth": login}}})})
    elif how == "helper":
        answer = json.dumps({"ServerURL": LOCKED, "Username": USER, "Secret": PASSWORD})
        shell_script(tmp_path / "docker-credential-test", f"cat >/dev/null\necho '{answer}'")
        written(tmp_path, {"docker/config.json": json.dumps({"credHelpers": {LOCKED: "test"}})})

    got = ask("registry", f"{LOCKED}/chainguard/busybox:latest", PATH=f"{find('crane').path.parent}:{path}")

    if how in ("none", "wrong"):
        assert wording("registry.denied", image=f"{LOCKED}/chainguard/busybox:latest", host=LOCKED) in got["error"]
        assert LOCKED in got["error"].partition("hint: ")[2]
    else:
        assert world.digest == got["bases"][f"{LOCKED}/chainguard/busybox:latest"][1]
    assert PASSWORD not in json.dumps(got)
    written_here = [file for file in (tmp_path / ".deadweight").rglob("*") if file.is_file()]
    assert not [file for file in written_here if PASSWORD in file.read_text()]


def test_a_mirror_by_configuration_only(ask, world):
    suite = f"""{SUITE}
sources:
  mirror:
    registries: {{docker.io: {MIRROR}/hub, "*": {MIRROR}/everything}}
    apk: {{wolfi: ["https://packages.wolfi.dev/os"]}}
    apk_keys: ["https://packages.wolfi.dev/os/wolfi-signing.rsa.pub"]
"""
    got = ask("mirror", *BASES[:2], apk=True, suite=suite)

    assert f"{MIRROR}/hub/library/golang@{world.digest}" == got["bases"][BASES[0]][0]
    assert f"{MIRROR}/everything/cgr.dev/chainguard/busybox@{world.digest}" == got["bases"][BASES[1]][0]


def test_a_wrong_apk_repository_is_found_before_any_build(ask):
    suite = f'{SUITE}\nsources: {{mirror: {{apk: {{wolfi: ["https://packages.wolfi.dev/nowhere"]}}}}}}\n'
    got = ask("mirror", apk=True, suite=suite)

    assert "https://packages.wolfi.dev/nowhere/" in got["error"]
    assert " 404" in got["error"]


def test_auto_takes_the_registry_where_it_answers_and_remembers_it(ask, tmp_path):
    got = ask("auto", BASES[1])

    assert (got["name"], got["said"][0]) == ("registry", wording("sources.registries", hosts="cgr.dev"))


@pytest.mark.slow
@pytest.mark.parametrize("host", [DEAF, ABSENT, "no-such-name.example.com"])
def test_auto_falls_back_to_local_within_three_seconds_and_says_why(ask, host):
    got = ask("auto", suite=SUITE.replace("cgr.dev", host))

    assert got["name"] == "local"
    assert got["said"][0].startswith(wording("sources.local", why=f"{host}: |").partition("|")[0])
    # three seconds, and what a busy machine adds; a request of its own gives up after thirty
    assert got["chosen_seconds"] < 10


def test_the_bundle_holds_public_and_private_certificates(tmp_path, world, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(world.folder / "server.pem"))
    made = bundle(State(tmp_path), world.ca)

    assert made.read_bytes().endswith(world.ca.read_bytes())
    assert made.read_bytes().startswith((world.folder / "server.pem").read_bytes().strip())
    assert made.read_text().count("BEGIN CERTIFICATE") == 2
