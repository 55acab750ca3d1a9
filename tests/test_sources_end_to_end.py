"""Variants without an engine, built through the public names and through a mirror, in the little internet of ``public_world``.

What is served there are the local stand-ins, under the names that the suite asks for, signed with a key of the public name.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
from public_world import MIRROR, PLAIN, World

from deadweight.sources.local.machine import this_machine
from deadweight.sources.local.workshop import Workshop
from deadweight.sources.public import KEYS, REPOSITORIES
from deadweight.toolchain.find import find

pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent
BASE = "cgr.dev/chainguard/busybox:latest"
SUITE = f"""
name: playground
defaults: {{source: src/vulnerable-awk-playground}}
variants:
  ko: {{builder: ko, config: ko.yaml, base: "{BASE}"}}
  apko: {{builder: apko, config: apko.yaml, packages: [melange.yaml]}}
  apko-alpine: {{builder: apko, config: apko-alpine.yaml, packages: [melange.yaml]}}
"""
OWN_WORDS = """\
  repositories: [https://unreachable.example.com/os]
  keyring: [https://unreachable.example.com/key.rsa.pub]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory, local_source):
    local_source.prepare([BASE], apk=True, say=print)
    folder = tmp_path_factory.mktemp("world")
    shop = Workshop(local_source.folder, this_machine(), folder / "log")
    shutil.copytree(local_source.folder / "registry" / "data", folder / "registry", copy_function=_link)
    found = shutil.which("docker-registry")
    running = World.start(
        folder, Path(found) if found else shop.unpacked("docker-registry") / "usr/bin/docker-registry"
    )
    try:
        digest = local_source.base(BASE).digest
        for name in ("chainguard/busybox:latest", "all/cgr.dev/chainguard/busybox:latest"):
            source = f"{PLAIN}/stand-in/busybox@{digest}"
            done = running.run(find("crane").path, "copy", "--insecure", source, f"{PLAIN}/{name}")
            assert done.returncode == 0, done.stderr
        for flavour in ("wolfi", "alpine"):
            _publish(running, local_source.folder / "apk" / flavour, REPOSITORIES[flavour][0], KEYS[flavour][0])
        (folder / "apk" / "releases.json").write_text(json.dumps(_releases()))
        yield running
    finally:
        running.stop()


@pytest.fixture
def project(tmp_path):
    """A checkout with the demo's own files, and nothing else."""
    shutil.copytree(ROOT / "src" / "vulnerable-awk-playground", tmp_path / "src" / "vulnerable-awk-playground")
    for name in ("tasks.py", "ko.yaml", "melange.yaml", "apko.yaml", "apko-alpine.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "deadweight.yaml").write_text(SUITE)
    return tmp_path


def test_the_suite_builds_through_the_public_names(world, project):
    _build(world, project, DEADWEIGHT_SOURCE="registry")

    built = {name: _built(project, name) for name in ("ko", "apko", "apko-alpine")}
    assert built["ko"]["base"]["resolved"].startswith("cgr.dev/chainguard/busybox@sha256:")
    assert not built["ko"]["base"]["stand_in"]
    _no_certificate_in_any_layer(world, project)


def test_the_suite_builds_through_a_mirror_though_files_name_repositories_of_their_own(world, project):
    apko = project / "apko.yaml"
    apko.write_text(apko.read_text().replace("contents:\n", f"contents:\n{OWN_WORDS}") + "archs: [x86_64, aarch64]\n")
    before = apko.read_text()
    (project / "deadweight.yaml").write_text(
        f"{SUITE}sources:\n"
        f"  mirror:\n"
        f"    registries: {{'*': {MIRROR}/all}}\n"
        f"    apk: {{wolfi: ['{REPOSITORIES['wolfi'][0]}']}}\n"
        f"    apk_keys: ['{KEYS['wolfi'][0]}']\n"
    )

    _build(world, project, "--variant", "ko", "--variant", "apko", DEADWEIGHT_SOURCE="mirror")

    assert _built(project, "ko")["base"]["resolved"].startswith(f"{MIRROR}/all/cgr.dev/chainguard/busybox@sha256:")
    assert apko.read_text() == before
    _no_certificate_in_any_layer(world, project)


def _build(world: World, project: Path, *words: str, **env: str) -> None:
    environment = {"DEADWEIGHT_CA_BUNDLE": str(world.ca), "DOCKER_HOST": "unix:///nonexistent", **env}
    done = world.run(shutil.which("invoke"), "build", *words, env=environment, cwd=project, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr


def _built(project: Path, variant: str) -> dict:
    return json.loads((project / ".deadweight" / "images" / variant / "built.json").read_text())


def _no_certificate_in_any_layer(world: World, project: Path) -> None:
    """The private CA was trusted by every tool; none of them may have left it in an image."""
    marks = [line for line in world.ca.read_bytes().splitlines() if len(line) == 64]
    assert marks
    archives = list((project / ".deadweight" / "images").glob("*/image.tar"))
    assert archives
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is not None:
                    assert not [mark for mark in marks if mark in _all_of(content)], (archive, member.name)


def _all_of(layer) -> bytes:
    """A layer's bytes, unpacked if they are packed."""
    import gzip

    content = layer.read()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _publish(world: World, source: Path, repository: str, key: str) -> None:
    """Serve packages at a public URL, their index signed with a key of the public name."""
    root = world.folder / "apk"
    folder = root / repository.split("/", 3)[3] / this_machine().apk
    folder.mkdir(parents=True)
    for package in (source / this_machine().apk).glob("*.apk"):
        shutil.copy(package, folder)
    public = root / key.split("/", 3)[3]
    public.parent.mkdir(parents=True, exist_ok=True)
    private = world.folder / public.name.removesuffix(".pub")
    melange = find("melange").path
    assert world.run(melange, "keygen", private.name).returncode == 0
    shutil.copy(world.folder / public.name, public)
    names = sorted(path.name for path in folder.glob("*.apk"))
    words = ("index", "--arch", this_machine().apk, "--signing-key", private, *names)
    done = world.run(melange, *words, cwd=folder)
    assert done.returncode == 0, done.stderr


def _releases() -> dict:
    """What apko asks alpinelinux.org for when it meets one of Alpine's own repositories."""
    branch = REPOSITORIES["alpine"][0].split("/")[-2]
    keys = {this_machine().apk: [{"url": KEYS["alpine"][0]}]}
    known = {
        "rel_branch": branch,
        "git_branch": branch,
        "arches": list(keys),
        "keys": keys,
        "repos": [{"name": "main"}],
    }
    return {"architectures": list(keys), "latest_stable": branch, "release_branches": [known]}


def _link(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
