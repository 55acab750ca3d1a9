"""A registry that is down, slow, cuts blobs or serves other bytes than it promised; packages with a wrong signature.

What misbehaves stands before a real registry with one small base image; ko and apko are the real tools.
"""

import contextlib
import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deadweight._errors import CommandError, DeadweightError
from deadweight.builders.shared import common as _common
from deadweight.records.built_image import Base
from deadweight.records.paths import State
from deadweight.sources.protocol import ApkRepositories
from deadweight.toolchain.crane import push
from deadweight_images.archive.archive import open_archive
from deadweight_standins.source import LocalSource
from tests.support import image_samples as samples
from tests.support.builder_site import MAIN, GivenSource, Project
from tests.support.codes import raises
from tests.support.http_servers import Answering, Server, running

pytestmark = pytest.mark.tools

SUITE = "  v:\n    builder: ko\n    source: app\n    base: base\n"
FILES = {"app/go.mod": "module example.invalid/app\n\ngo 1.21\n", "app/main.go": MAIN}
PIECE = 4096


class Registry(Server):
    """Stands before a registry, whose image is ``base``; ``mode`` says how it misbehaves."""

    def __init__(self, behind: str, digest: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.behind = "good", behind
        self.base = Base("base", f"127.0.0.1:{self.server_port}/base@{digest}", digest, stand_in=True)


class Handler(Answering):
    server: Registry

    def do_GET(self) -> None:
        mode, accept = self.server.mode, {"Accept": self.headers.get("Accept", "*/*")}
        if mode == "hangs":
            time.sleep(6)
        if mode == "fails" and self.path != "/v2/":
            self.send_error(500)
            return
        real = requests.get(f"http://{self.server.behind}{self.path}", headers=accept, timeout=20)
        kind = {"Content-Type": real.headers.get("Content-Type", "application/octet-stream")}
        if "/blobs/" in self.path and real.ok and len(real.content) > PIECE:
            self.blob(real.content, mode, kind)
        else:
            other = b" " if mode == "other manifest" and "/manifests/" in self.path else b""
            self.answer(real.status_code, real.content + other, kind)

    do_HEAD = do_GET

    def blob(self, body: bytes, mode: str, kind: dict[str, str]) -> None:
        sent = {"cut in half": body[: len(body) // 2], "other bytes": body[:-20] + bytes(20), "slow": b""}
        self.answer(200, sent.get(mode, body), {**kind, "Content-Length": str(len(body))})
        self.close_connection = mode == "cut in half"
        for start in range(0, len(body), PIECE) if mode == "slow" and self.command == "GET" else ():
            self.wfile.write(body[start : start + PIECE])
            time.sleep(0.05)


@pytest.fixture(scope="module")
def registry(local_registry, tmp_path_factory) -> Iterator[Registry]:
    """Its image has one file, which does not compress."""
    noise = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(3000))
    layer, architecture = samples.honest_layer({"etc/noise": noise}), _common.architecture().oci
    file = samples.saved(tmp_path_factory.mktemp("base"), layer, compression="gzip", architecture=architecture)
    server = Registry(local_registry, push(file, f"{local_registry}/base:1"))
    with running(server):
        yield server


@pytest.fixture(scope="module")
def built(registry, tmp_path_factory) -> Project:
    """One good build: its compile cache is what the others start with."""
    project = Project(tmp_path_factory.mktemp("ko"), GivenSource({"base": registry.base})).write(FILES).suite(SUITE)
    project.build("v")
    return project


@pytest.fixture
def project(built, registry, tmp_path) -> Iterator[Project]:
    shutil.copytree(built.root, tmp_path / "copy", symlinks=True)
    yield Project(tmp_path / "copy", GivenSource({"base": registry.base}))
    registry.mode = "good"


def nothing_half_written(project: Project) -> bool:
    return not [path for path in project.site.state.image("v").iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "words"), [
    ("cut in half", "unexpected EOF"), ("other bytes", "error verifying sha256 checksum"),
    ("other manifest", "manifest digest"), ("fails", "500"),
])  # fmt: skip
def test_a_registry_that_serves_something_else(project, registry, mode, words):
    archive = project.site.state.image("v") / "image.tar"
    before = archive.read_bytes()
    registry.mode = mode
    message = project.fails(DeadweightError)
    assert [text for text in (words, str(project.site.state.log("v"))) if text not in message] == []
    assert archive.read_bytes() == before  # the image of the last good build is as it was
    assert nothing_half_written(project)
    registry.mode = "good"
    assert project.build("v").config_digest == project.build_record("v").config_digest
    with open_archive(archive) as opened:
        assert len(opened.image.layers) >= 2


@pytest.mark.slow
def test_a_slow_registry_only_takes_longer(project, registry):
    registry.mode = "slow"
    assert project.build("v").config_digest


@pytest.mark.slow
def test_a_registry_that_hangs_ends_with_the_time_limit(project, registry, monkeypatch):
    monkeypatch.setattr(_common, "BUILD_TIMEOUT_SECONDS", 3.0)
    registry.mode = "hangs"
    started = time.monotonic()
    with raises(CommandError, "builders.tool_failed", exit_code_of_command=None):
        project.build("v")
    assert time.monotonic() - started < 60
    assert nothing_half_written(project)
    monkeypatch.undo()
    registry.mode = "good"
    project.build("v")


APKO = "contents:\n  packages: [wolfi-baselayout]\nentrypoint:\n  command: /bin/none\n"


@pytest.fixture
def apko(tmp_path, local_source) -> tuple[Project, Path]:
    """A project without packages of its own, on a copy of the local APK repository that a test may harm."""
    local_source.prepare([], apk=True, say=print)
    source = LocalSource(State(tmp_path))
    source.prepare([], apk=True, say=print)
    given = source.apk("wolfi")
    shutil.copytree((tmp_path / given.repositories[0]).resolve(), tmp_path / "repository")
    shutil.copy((tmp_path / given.keyring[0]).resolve(), tmp_path / Path(given.keyring[0]).name)
    packages = ApkRepositories(("./repository",), (f"./{Path(given.keyring[0]).name}",), stand_in=True)
    project = Project(tmp_path, GivenSource({}, lambda _: packages))
    return project.write({"apko.yaml": APKO}).suite("  v:\n    builder: apko\n    config: apko.yaml\n"), tmp_path


def test_an_apk_repository_with_a_wrong_signature(apko):
    project, root = apko
    (key,) = root.glob("*.rsa.pub")
    right = key.read_bytes()
    made = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True).stdout
    key.write_bytes(subprocess.run(["openssl", "rsa", "-pubout"], input=made, check=True, capture_output=True).stdout)
    assert re.search("signature|verif", project.fails())
    assert nothing_half_written(project)
    key.write_bytes(right)
    project.build("v")


@pytest.mark.slow
def test_an_apk_that_is_not_what_its_index_says(apko):
    project, root = apko
    (package,) = root.glob(f"repository/{_common.architecture().apk}/wolfi-baselayout-*.apk")
    right = package.read_bytes()
    for damaged in (right[:-200] + bytes(200), right[: len(right) // 2]):
        package.write_bytes(damaged)
        project.fails()
        assert nothing_half_written(project)
    package.write_bytes(right)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(project.site.state.cache / "apk")
    project.build("v")
