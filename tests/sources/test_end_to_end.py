"""The whole suite, built through the public names and through a mirror, in the little internet of ``public_world``.

What is served there are the local stand-ins, under the names that the suite asks for. The engine is one of our own in there.
"""

import base64
import contextlib
import gzip
import itertools
import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deadweight.engine.own import machine
from deadweight.project.load_suite import load_suite
from deadweight.records.paths import user_cache
from deadweight.sources.remote import KEYS, REPOSITORIES
from deadweight.toolchain.find import find
from tests.support import ROOT
from tests.support.builder_site import demo
from tests.support.caches import hard_linked
from tests.support.docker_registry import PASSWORD, USER
from tests.support.fault_project import meanwhile
from tests.support.invoking import argv
from tests.support.public_world import APK_MIRROR, LOCKED, MIRROR, PLAIN, PROXY, PROXY_PASSWORD, World
from tests.support.trees import written

pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]

BASE = "cgr.dev/chainguard/busybox:latest"
OWN_SUITE = f"""
name: playground
defaults: {{port: 8080, health: {{path: /healthz}}, source: src/vulnerable-awk-playground}}
variants:
  ko: {{builder: ko, config: ko.yaml, base: "{BASE}"}}
  apko: {{builder: apko, config: apko.yaml, packages: [melange.yaml]}}
"""
PACKAGES = {
    name: (f"https://{APK_MIRROR}{urlsplit(REPOSITORIES[name][0]).path}", urlsplit(KEYS[name][0]).path)
    for name in ("wolfi", "alpine")
}
SOURCES = (
    f"    apk: {{wolfi: ['{PACKAGES['wolfi'][0]}'], alpine: ['{PACKAGES['alpine'][0]}']}}\n"
    f"    apk_keys: ['https://{APK_MIRROR}{PACKAGES['wolfi'][1]}', 'https://{APK_MIRROR}{PACKAGES['alpine'][1]}']\n"
)
OWN_WORDS = """\
  repositories: [https://unreachable.example.com/os]
  keyring: [https://unreachable.example.com/key.rsa.pub]
"""
ALL = tuple(variant.name for variant in load_suite(ROOT / "deadweight.yaml").variants)
ONE_OF_EACH_BUILDER = ("multi-stage-alpine", "ko", "apko", "jib-distroless")
NIGHTLY = pytest.mark.bases
SEARCHED: set[str] = set()  # config digests of images in which an earlier test of this module found nothing
SECRETS = (PASSWORD, PROXY_PASSWORD)
PASSWORDS = (*map(str.encode, SECRETS), *(base64.b64encode(f"{USER}:{word}".encode()) for word in SECRETS))


@pytest.fixture(scope="module")
def world(tmp_path_factory, local_source):
    refs = sorted({name for variant in load_suite(ROOT / "deadweight.yaml").variants for _, name in variant.images()})
    local_source.prepare(refs, apk=True, say=print)
    folder = tmp_path_factory.mktemp("world")
    hard_linked(local_source.folder / "registry" / "data", folder / "registry")
    running = World.start(folder, find("docker-registry").path)
    try:
        running.serve_images(local_source, refs, "all")
        running.serve_packages(local_source)
        java = tmp_path_factory.mktemp("java") / "project"
        shutil.copytree(ROOT / "src" / "vulnerable-awk-playground-java", java)
        running.serve_maven(java)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def engine(world) -> str:
    return world.engine("docker.io", "cgr.dev", "gcr.io", LOCKED)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Iterator[Path]:
    """Go's compile cache, which goes from one project to the next, and from one run of the tests to the next."""
    folder, kept = tmp_path_factory.mktemp("compiled") / "go-build", user_cache() / "tests" / "go-build"
    hard_linked(kept, folder)
    yield folder
    hard_linked(folder, kept)


@pytest.fixture
def project(tmp_path, compiled):
    """A checkout with the demo's own files, and nothing else but the compile cache."""
    cache = demo(tmp_path) / ".deadweight" / "cache" / "melange" / "go-build"
    cache.parent.mkdir(parents=True)
    compiled.rename(cache)
    yield tmp_path
    cache.rename(compiled)


@pytest.mark.slow
def test_an_engine_that_does_not_trust_the_private_ca_is_told_what_it_lacks(world, engine, project):
    words = {"DEADWEIGHT_SOURCE": "mirror", "DEADWEIGHT_MIRROR": f"{MIRROR}/all", "DOCKER_HOST": engine}
    done = _build(world, project, "--variant", "insecure-layer-sample", code=1, **words)

    assert "certificate" in done.stderr
    assert "/etc/docker/certs.d" in done.stderr


RESOLVED = {
    "ko": "cgr.dev/chainguard/busybox@sha256:",
    "jib-distroless": "gcr.io/distroless/java17-debian12@sha256:",
    "all-in-one": "docker.io/library/golang@sha256:",
    "insecure-layer-sample": "docker.io/library/alpine@sha256:",
}
PROXIED = {
    "ko": ("cgr.dev:443",),
    "insecure-layer-sample": ("registry-1.docker.io:443",),
    "all-in-one": ("registry-1.docker.io:443",),
    "jib-distroless": ("gcr.io:443", "repo.maven.apache.org:443"),
    "apko": ("packages.wolfi.dev:443",),
    "apko-alpine": ("dl-cdn.alpinelinux.org:443",),
}
"""Where a variant's base comes from, and what its build asks the proxy for."""


@NIGHTLY
def test_variants_build_through_the_public_names_and_a_proxy(world, engine, project):
    with watched():
        words = [word for name in ALL for word in ("--variant", name)]
        done = _build(world, project, *words, DEADWEIGHT_SOURCE="registry", HTTPS_PROXY=PROXY, DOCKER_HOST=engine)

    built = _all_built(project)
    assert set(built) == set(ALL)
    for name, resolved in RESOLVED.items():
        assert built[name]["base"]["resolved"].startswith(resolved)
    assert not [name for name, record in built.items() if record["base"] and record["base"]["stand_in"]]
    assert set(world.proxied.read_text().split()) >= {host for hosts in PROXIED.values() for host in hosts}
    inspect = [find("docker-cli").path, "--host", engine, "image", "inspect", "--format", "{{.Size}}"]
    largest, smallest = (
        int(subprocess.run([*inspect, built[name]["config_digest"]], check=True, capture_output=True).stdout)
        for name in ("all-in-one", "multi-stage-chainguard")
    )
    assert largest / smallest >= 60
    _nothing_is_left(world, project, engine, done.stdout + done.stderr, least=10)


@pytest.mark.slow
@pytest.mark.parametrize("names", [
    pytest.param(("multi-stage-alpine", "ko"), id="two"),
    pytest.param((*ONE_OF_EACH_BUILDER, "multi-stage-distroless", "multi-stage-java"), id="more", marks=NIGHTLY),
])  # fmt: skip
def test_each_builder_goes_through_a_mirror_that_wants_a_password(world, engine, project, names):
    suite = project / "deadweight.yaml"
    suite.write_text(f"{suite.read_text()}\nsources:\n  mirror:\n    registries: {{'*': {LOCKED}/all}}\n{SOURCES}")
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    written(project, {"docker/config.json": json.dumps({"auths": {LOCKED: {"auth": login}}})})
    words = {"DEADWEIGHT_SOURCE": "mirror", "DOCKER_HOST": engine, "HTTPS_PROXY": PROXY}
    _build(world, project, "--variant", "multi-stage-alpine", code=3, **words, DOCKER_CONFIG=str(project))
    # an image that the engine has never seen, so that it must ask the mirror for it
    alpine = f"{PLAIN}/all/docker.io/library/alpine:3.18"
    world.need(find("crane").path, "mutate", "--insecure", alpine, "--label", "from=the-mirror", "--tag", alpine)
    with watched():
        named = [word for name in names for word in ("--variant", name)]
        done = _build(world, project, *named, **words, DOCKER_CONFIG=str(project / "docker"))

    image = "deadweight/playground/multi-stage-alpine:latest"
    inspect = ("--host", engine, "image", "inspect", "--format", "{{json .Config.Labels}}", image)
    assert json.loads(world.run(shutil.which("docker"), *inspect).stdout)["from"] == "the-mirror"
    built = _all_built(project)
    assert set(built) == set(names)
    for record in built.values():
        place = f"https://{APK_MIRROR}/" if record["builder"] == "apko" else f"{LOCKED}/all/"
        assert record["base"]["resolved"].startswith(place), record
    _nothing_is_left(world, project, engine, done.stdout + done.stderr)


@pytest.mark.slow
def test_files_that_name_repositories_of_their_own_build_through_a_mirror_and_without_an_engine(world, project):
    apko = project / "apko.yaml"
    apko.write_text(apko.read_text().replace("contents:\n", f"contents:\n{OWN_WORDS}") + "archs: [x86_64, aarch64]\n")
    melange, own = project / "melange.yaml", OWN_WORDS.replace("  ", "    ")
    melange.write_text(melange.read_text().replace("  contents:\n", f"  contents:\n{own}"))
    before = apko.read_text(), melange.read_text()
    mirror = f"sources:\n  mirror:\n    registries: {{'*': {MIRROR}/all}}\n{SOURCES}"
    (project / "deadweight.yaml").write_text(OWN_SUITE + mirror)

    done = _build(world, project, DEADWEIGHT_SOURCE="mirror", DOCKER_HOST="unix:///nonexistent")

    assert _all_built(project)["ko"]["base"]["resolved"].startswith(f"{MIRROR}/all/cgr.dev/chainguard/busybox@sha256:")
    assert (apko.read_text(), melange.read_text()) == before
    assert "unreachable" in before[1]
    _nothing_is_left(world, project, None, done.stdout + done.stderr)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Looks at the arguments of all processes of this machine, again and again, for passwords: there are none."""
    seen, rounds = set[str](), itertools.count()

    def watch() -> None:
        next(rounds)
        commands = (process.command for process in machine.everyone())
        seen.update(words for words in commands if any(word.decode() in words for word in PASSWORDS))
        time.sleep(0.1)

    with meanwhile(watch):
        yield
    assert (next(rounds) > 10, seen) == (True, set())


def _build(world: World, project: Path, *words: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {"DEADWEIGHT_CA_BUNDLE": str(world.ca), "DEADWEIGHT_SOURCE": "registry", **env}
    done = world.run(*argv("build", *words), env=environment, cwd=project, timeout=500)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def _all_built(project: Path) -> dict[str, dict]:
    """The records of what was built here, by variant; all that this run was asked for, since it ended well."""
    return {file.parent.name: json.loads(file.read_text()) for file in project.glob(".deadweight/images/*/built.json")}


def _nothing_is_left(world: World, project: Path, engine: str | None, output: str, least: int = 1) -> None:
    """Everybody trusted the private CA and used the passwords: none of it is in an image, a log, the state or an argument.

    ``least``: so many images were built in the engine, or more.
    """
    # how the CA's certificate would look: a line of the PEM file, and the bytes that it stands for
    line = next(line for line in world.ca.read_bytes().splitlines()[3:] if re.fullmatch(rb"[A-Za-z0-9+/]{64}", line))
    authority = (line, base64.b64decode(line))
    for archive in (project / ".deadweight" / "images").glob("*/image.tar"):
        with tarfile.open(archive) as tar:
            _search(tar, (*authority, *PASSWORDS))
    if engine is not None:
        built = _all_built(project).values()
        images = {record["config_digest"]: record["reference"] for record in built if record["in_engine"]}
        names = [name for digest, name in images.items() if digest not in SEARCHED]
        assert len(images) >= least
        assert names
        save = [shutil.which("docker"), "--host", engine, "save", *names]
        with subprocess.Popen(save, stdout=subprocess.PIPE) as run, tarfile.open(fileobj=run.stdout, mode="r|") as tar:
            _search(tar, (*authority, *PASSWORDS))
        SEARCHED.update(images)
    for file in (project / ".deadweight").rglob("*"):
        if file.is_file() and file.name != "image.tar":
            content = file.read_bytes()
            assert not [word for word in PASSWORDS if word in content], file
            if file.parent.name == "logs":
                assert not [mark for mark in authority if mark in content], file
    assert not [word for word in PASSWORDS if word.decode() in output]


def _search(tar: tarfile.TarFile, marks: tuple[bytes, ...]) -> None:
    """Look for these in every file of an archive; in what is compressed, unpacked."""
    files = 0
    for member in tar:
        if not member.isreg():  # a link leads to a layer that stands elsewhere in the same archive
            continue
        content = tar.extractfile(member)
        files += 1
        plain = gzip.GzipFile(fileobj=content) if content.peek(2)[:2] == b"\x1f\x8b" else content
        before = b""
        while part := plain.read(2**23):
            now = before + part
            assert not [mark for mark in marks if mark in now], member.name
            before = now[-100:]  # a mark may lie across two parts
    assert files >= 3
