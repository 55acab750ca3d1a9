"""Fixtures that several test modules share: the engine, and small real images in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight.engine.client import Engine
from tests.support import ROOT, TESTS
from tests.support.small_images import PASSWD, docker_archive, forget_image, go_program, program, reference

OURS_ON_PATH = ("go", "ko", "apko", "melange", "crane", "trivy")
"""Tools that tests call by name, or find on PATH with a cache of their own, so that no test builds them again."""


def pytest_configure() -> None:
    """Put the tools that set-up installed on PATH, keep no Maven between builds where no test asks for it, and heed Ctrl-C."""
    from deadweight.builders.jib.resident import VARIABLE
    from deadweight.toolchain.find import look

    os.environ.setdefault(VARIABLE, "0")
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # as in the background of a script: what tests start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # below nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    found = [tool.path.parent for tool in (look(name).tool for name in OURS_ON_PATH) if tool is not None]
    os.environ["PATH"] = os.pathsep.join([*dict.fromkeys(str(folder) for folder in found), os.environ.get("PATH", "")])


LONGEST = (
    "sources/test_end_to_end.py",
    "engine/test_engines.py",
    "trials/test_harden.py",
    "checks/attacks/test_run.py",
    "checks/attacks/test_table.py",
    "tasks/test_run.py",
    "sources/test_public.py",
    "test_services.py",
)
"""Files that go first where files are run side by side: the last one to begin should not be one that takes minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first. Whoever asks for the engine is marked so."""
    order = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def endpoint() -> object:
    """The engine's address: the one that runs here, else one of our own is started."""
    from deadweight.engine.daemon import find_or_start

    return find_or_start(print)


@pytest.fixture(scope="session")
def engine(endpoint) -> Iterator[Engine]:
    """The container engine; everything that tests start in it is removed at the end."""
    with Engine.connect(endpoint, project=f"deadweight-tests-{os.getpid()}") as connected:
        yield connected


@pytest.fixture(scope="session")
def playground_archive(tmp_path_factory) -> Path:
    """The demo service with this machine's awk, on nothing: no shell, user nobody."""
    folder = tmp_path_factory.mktemp("playground")
    app = go_program(ROOT / "src" / "vulnerable-awk-playground", folder / "app")
    files = {"/app": app, "/etc/passwd": PASSWD, **program("awk")}
    config = {
        "Entrypoint": ["/app"],
        "User": "65534:65534",
        "Env": ["PATH=/usr/bin:/bin"],
        "ExposedPorts": {"8080/tcp": {}},
    }
    return docker_archive(folder / "image.tar", reference("playground"), [files], config)


@pytest.fixture(scope="session")
def playground_image(engine, playground_archive) -> Iterator[str]:
    """The demo service's image in the engine."""
    engine.images.load(playground_archive)
    yield reference("playground")
    forget_image(engine, reference("playground"))


@pytest.fixture(scope="session")
def misbehaving_archive(tmp_path_factory) -> Path:
    """A service that misbehaves as its environment variable MODE says (tests/services/misbehave)."""
    folder = tmp_path_factory.mktemp("misbehave")
    app = go_program(ROOT / "tests" / "services" / "misbehave", folder / "app")
    config = {"Entrypoint": ["/app"], "Env": ["MODE=good"]}
    return docker_archive(folder / "image.tar", reference("misbehave"), [{"/app": app}], config)


@pytest.fixture(scope="session")
def misbehaving_image(engine, misbehaving_archive) -> Iterator[str]:
    engine.images.load(misbehaving_archive)
    yield reference("misbehave")
    forget_image(engine, reference("misbehave"))


@pytest.fixture(scope="session")
def tools_image(engine, tmp_path_factory) -> Iterator[str]:
    """An image with a shell, a few of this machine's tools and an ``nc``."""
    folder = tmp_path_factory.mktemp("tools")
    nc = go_program(ROOT / "tests" / "services" / "misbehave", folder / "nc")
    files = {"/bin/nc": nc, "/etc/passwd": PASSWD, "/bin/sh": "/usr/bin/dash"}
    for name in ("dash", "cat", "ls", "id", "sleep", "head", "tr"):
        files |= program(name)
    assert shutil.which("dash")
    name = reference("tools")
    archive = docker_archive(folder / "image.tar", name, [files], {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/bin:/bin"]})
    engine.images.load(archive)
    yield name
    forget_image(engine, name)


@pytest.fixture(scope="session")
def local_source(tmp_path_factory) -> object:
    """The local source, with the user's cache: what an earlier test or run made is not made again."""
    from deadweight.records.paths import State
    from deadweight.sources.local.source import LocalSource

    return LocalSource(State(tmp_path_factory.mktemp("local-source")))


@pytest.fixture(scope="session")
def static_base(local_source) -> object:
    """A source that has the one base of ``java_projects.SUITE``."""
    from tests.support.builder_site import GivenSource
    from tests.support.java_projects import STATIC

    local_source.prepare([STATIC], apk=False, say=print)
    return GivenSource({STATIC: local_source.base(STATIC)})


@pytest.fixture
def maven_project(static_base, tmp_path) -> object:
    """A Maven project of one class, and a suite with one variant of it, ``v``."""
    from tests.support.builder_site import GivenSource, Project
    from tests.support.java_projects import PROJECT, SUITE

    return Project(tmp_path, GivenSource(static_base.bases)).write(PROJECT).suite(SUITE)


@pytest.fixture(scope="session")
def scanner() -> Path:
    """The pinned vulnerability scanner, got into the user's cache if it is not there."""
    from deadweight.project.install import install
    from deadweight.project.survey import survey
    from deadweight.toolchain.find import find, look

    if look("trivy").tool is None:
        install(survey(["trivy"]), print)
    return find("trivy").path


@pytest.fixture
def scanner_on_path(scanner, monkeypatch) -> None:
    """For tests with a user's cache of their own."""
    monkeypatch.setenv("PATH", f"{scanner.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def local_registry(tmp_path_factory) -> Iterator[str]:
    """A registry on loopback (crane's own) that forgets all at its end."""
    from deadweight.toolchain.find import find

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = [str(find("crane").path), "registry", "serve", "--address", address]
    with (tmp_path_factory.mktemp("registry") / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1):
                break
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)
