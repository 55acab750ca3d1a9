"""Engines that are pretended behind a socket: what they say of themselves makes no sense, they fall silent, or they want a newer
client. What they can do is used, and what cannot be is one error."""

import contextlib
import json
import platform
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deadweight import _run
from deadweight._errors import MissingError
from deadweight.builders.shared.common import architecture
from deadweight.engine import api, client, daemon
from deadweight.engine.client import Engine
from deadweight.engine.faults import translated
from deadweight.project.needs import tools_of
from deadweight.project.workspace import Workspace
from deadweight.toolchain import golang
from tests.support.builder_site import GivenSource
from tests.support.codes import details, raises
from tests.support.http_servers import Answering, running
from tests.support.processes import within
from tests.support.trees import shell_script, written

pytestmark = pytest.mark.engine

HONEST: dict[str, Any] = {"Version": "29.0.0", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Components": []}


class Pretended(socketserver.ThreadingUnixStreamServer):
    """Answers GET with the document whose key ends the path, else an empty one, and refuses all else, while it is ``awake``."""

    daemon_threads = True
    refusal = 501

    def __init__(self, socket: Path) -> None:
        self.documents: dict[str, Any] = {"/version": HONEST, "/info": {}}
        self.awake = threading.Event()
        self.awake.set()
        super().__init__(str(socket), Answer)


class Answer(Answering):
    protocol_version = "HTTP/1.1"
    server: Pretended

    def do_GET(self) -> None:
        document: Any = next((text for end, text in self.server.documents.items() if self.path.endswith(end)), {})
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def do_POST(self) -> None:
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):
            self.send_error(self.server.refusal)

    do_DELETE = do_POST


@pytest.fixture
def server(tmp_path) -> Iterator[Pretended]:
    with running(server := Pretended(tmp_path / "engine.sock")):
        yield server
        server.awake.set()


@pytest.fixture
def there(server) -> api.Endpoint:
    return api.Endpoint(f"unix://{server.server_address}", ours=False)


@pytest.mark.parametrize("version", [
    {}, [], "banana", None, {**HONEST, "ApiVersion": "banana"}, {**HONEST, "ApiVersion": None},
    {**HONEST, "ApiVersion": 1.51}, {**HONEST, "ApiVersion": ["1.51"]}, {**HONEST, "ApiVersion": "1.12"},
])  # fmt: skip
def test_an_engine_without_a_version_of_its_api_that_can_be_spoken_is_one_error(server, there, version):
    server.documents["/version"] = version
    with raises(MissingError, "engine.api_unusable", host=there.host):
        Engine.connect(there)


MACHINE = ["SecurityOptions", "DriverStatus", "NCPU", "MemTotal", "CgroupVersion", "OperatingSystem", "DockerRootDir"]
SAID = {"/version": ["Version", "Components", "MinAPIVersion"], "/info": MACHINE}


@pytest.mark.parametrize(("document", "key"), [(document, key) for document, keys in SAID.items() for key in keys])
@pytest.mark.parametrize("value", [None, 7, "banana", ["x"], [7], [None], [["x"]], [{"Name": 7}], {}])
def test_what_else_it_says_of_itself_and_its_machine_breaks_nothing(server, there, document, key, value):
    server.documents["/info"] = {"Architecture": "x86_64"}
    server.documents[document] = {**server.documents[document], key: value}
    with Engine.connect(there) as engine:
        assert (engine.api.api_version, engine.info.podman, engine.info.architecture) == ("1.51", False, "x86_64")
    daemon.client_too_old(there)
    assert isinstance(daemon.server_version(there), str | None)


MINE = golang.ARCHITECTURES[platform.machine()]


@pytest.mark.parametrize(("arch", "expected"), [("arm64", "arm64"), ("aarch64", "arm64"), ("", MINE), (None, MINE)])
def test_images_are_built_for_its_architecture_else_for_this_machines(server, there, monkeypatch, arch, expected):
    """``None``: nothing answers where an engine is said to be."""
    monkeypatch.setenv("DOCKER_HOST", there.host if arch is not None else f"{there.host}.none")
    server.documents["/version"] = {**HONEST, "Arch": arch}
    assert daemon.image_platform() == f"linux/{expected}"
    assert architecture() == (expected, golang.APK_NAMES[expected])


@pytest.mark.parametrize("info", [[], "banana", None, 7])
def test_no_document_of_its_machine_is_one_error(server, there, info):
    server.documents["/info"] = info
    with Engine.connect(there) as engine, raises(MissingError, "engine.not_an_engine", host=there.host):
        assert engine.info


@pytest.mark.parametrize("status", [404, 501])
def test_an_engine_without_buildkit_is_found_out_before_a_build(server, there, endpoint, status):
    """Where it has none, buildx would start one from a public registry."""
    server.refusal = status
    assert details(api.buildkit_trouble(there.host)).fields == {"status": status}
    assert api.buildkit_trouble(endpoint.host) == ""


def test_a_real_engine_refuses_a_newer_api_than_its_own(endpoint, monkeypatch):
    with Engine.connect(endpoint) as engine, raises(MissingError, "engine.api_refused") as caught:
        monkeypatch.setattr(engine.api, "_version", "1.99")
        engine.images.get("deadweight-tests/none:1")
    assert "1.99" in caught.value.fields["problem"]


# One that takes requests and is silent, as a paused one: it is waited for once, and no removal waits for it again.
LONG = 20
"""Seconds: far more than a test may take."""


@pytest.fixture
def paused(there, monkeypatch) -> Engine:
    """An engine that falls silent once ``awake`` of the server is cleared; a second look at it is short."""
    monkeypatch.setattr(client, "PAUSED_SECONDS", 0.2)
    monkeypatch.setattr(client, "ANSWER_SECONDS", LONG)
    return Engine.connect(there)


def unanswered(action: str, ask: Callable[..., object], *words: Any, **more: Any) -> None:
    with raises(MissingError, "engine.no_answer_in_time", action=action), translated(action):
        ask(*words, **more)


def test_it_is_waited_for_once(paused, server, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    server.awake.clear()
    unanswered("list", paused.api.containers)
    monkeypatch.setattr(client, "ANSWER_SECONDS", LONG)
    with within(LONG):
        for _ in range(3):
            unanswered("list", paused.api.containers)
    server.awake.set()
    paused.ask()
    assert paused.api not in client._paused


@pytest.mark.parametrize("ending", [False, True], ids=["at any time", "after Ctrl-C"])
def test_one_look_keeps_removals_from_waiting(paused, server, monkeypatch, ending):
    """An attack has dozens of containers, which are removed one after another: once the run is to end, each waits a moment only."""
    server.awake.clear()
    client.mark_if_paused(paused.api)
    if ending:
        monkeypatch.setattr(client, "PAUSED_SECONDS", LONG)
        monkeypatch.setattr(client, "ENDING_SECONDS", 0.05)
        monkeypatch.setattr(_run, "_cancelled", True)
    with within(LONG):
        for name in ("x", "y", "z"):
            unanswered("remove", paused.api.remove_container, name)


def test_who_did_not_want_to_wait_calls_nobody_paused(paused, server):
    server.awake.clear()
    unanswered("wait", paused.api.wait, "x", timeout=0.2)
    assert paused.api not in client._paused


def test_a_worker_that_waits_is_let_go_of_soon_after_ctrl_c(paused, server, monkeypatch):
    """The main thread is woken by the signal itself; nothing wakes another that reads."""
    server.awake.clear()
    with within(LONG), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(unanswered, "list", paused.api.containers)
        time.sleep(0.1)
        assert not asked.done()
        monkeypatch.setattr(_run, "cancelled", lambda: True)
        asked.result()
    assert paused.api not in client._paused, "removals then have their usual time"


def test_a_client_whose_engine_falls_silent_is_ended(server, there, monkeypatch):
    """As one that builds, and would wait for hours."""
    for name, seconds in {"EVERY": 0.1, "ANSWER": 0.2, "PAUSED": 0.2}.items():
        monkeypatch.setattr(client, f"{name}_SECONDS", seconds)
    with client.watch_engine(there) as stop:
        _run.run(["sleep", "0.5"], stop=stop)
    server.awake.clear()
    fell_silent = raises(MissingError, "engine.fell_silent", host=there.host)
    with within(LONG), fell_silent, client.watch_engine(there) as stop:
        _run.run(["sleep", str(LONG)], stop=stop)


# One that takes no client older than its API 1.44: that is told before a build, and set-up brings a newer buildx.
@pytest.fixture
def old_client(server, monkeypatch, tmp_path) -> Path:
    """A Docker client of the age of Debian 12's, alone on PATH."""
    script = 'case "$*" in *DefaultAPIVersion*) echo 1.41;; *) echo Docker version 20.10.24;; esac'
    program = shell_script(tmp_path / "bin" / "docker", script)
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(program.parent))
    monkeypatch.setattr("deadweight.toolchain.find.PLUGIN_FOLDERS", ())
    server.documents["/version"] = {**HONEST, "MinAPIVersion": "1.44"}
    return program


@pytest.fixture
def older(tmp_path) -> Iterator[api.Endpoint]:
    """Another engine, which takes that client."""
    with running(server := Pretended(tmp_path / "older.sock")):
        server.documents["/version"] = {**HONEST, "MinAPIVersion": "1.40"}
        yield api.Endpoint(f"unix://{server.server_address}", ours=False)


def test_a_client_that_is_too_old_for_the_engine_is_told_before_a_build_with_both_ways_out(there, older, old_client):
    with raises(MissingError, "engine.client_too_old") as caught:
        daemon.docker_cli(there)
    assert {"newest": "1.41", "oldest": "1.44"}.items() <= details(caught.value).fields["problem"].fields.items()
    assert daemon.docker_cli(older).docker == str(old_client)


def test_set_up_brings_a_buildx_where_the_client_is_too_old(there, older, old_client, tmp_path, monkeypatch):
    running_now = [there]
    monkeypatch.setattr(daemon, "endpoints", lambda: (api.Endpoint(node.host, why="the test") for node in running_now))
    defaults = "{builder: dockerfile, dockerfile: Dockerfile, port: 8080, health: {path: /healthz}}"
    suite = f"name: s\ndefaults: {defaults}\nvariants: {{v: {{source: .}}}}\n"
    project = {"Dockerfile": "FROM scratch\nCOPY x /x\n", "x": "x", "deadweight.yaml": suite}
    monkeypatch.chdir(written(tmp_path / "project", project))
    with Workspace.open(print) as workspace:
        workspace.source = GivenSource()
        assert "buildx" in tools_of(workspace, workspace.suite.variants)
        running_now[:] = [older]
        assert "buildx" not in tools_of(workspace, workspace.suite.variants)
