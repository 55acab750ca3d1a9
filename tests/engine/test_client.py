"""The engine, driven for real."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock, call

import pytest
from docker.errors import APIError, NotFound
from requests.exceptions import Timeout

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError
from deadweight.engine import foreground, http, images, labels
from deadweight.engine.client import Engine
from deadweight.engine.container import Container
from deadweight.engine.faults import CannotStart, PortInUse
from deadweight.engine.options import Mount, RunOptions, Tmpfs, hardened
from deadweight.suite.model import Health, RunSettings
from tests.support.codes import codes, raises
from tests.support.fault_project import wait_for
from tests.support.small_images import reference
from tests.support.small_project import own_leftovers

OTHER = reference("other")


def service(mode: str = "good", **changes) -> RunOptions:
    return hardened(RunSettings(env={"MODE": mode}), port=8080).but(**changes)


@contextlib.contextmanager
def healthy(engine: Engine, image: str, options: RunOptions | None = None, **more: str) -> Iterator[Container]:
    with engine.start(image, options or service(), **more) as container:
        ready = container.wait_healthy(Health(path="/healthz", within_seconds=15), 8080)
        assert (ready.healthy, 0 < ready.seconds < 15) == (True, True), ready
        yield container


def gone(engine: Engine, container: Container) -> bool:
    with pytest.raises(MissingError):
        container.inspect()
    return container.id not in [leftover.id for leftover in engine.leftovers()]


def test_all_containers_are_removed_at_once(engine, misbehaving_image, monkeypatch):
    """One after another, they took more than the two seconds in which a signal ends a run."""
    real, together = labels.remove_container, threading.Barrier(3)

    def remove(api, container: str) -> None:
        together.wait(30)
        real(api, container)

    monkeypatch.setattr(labels, "remove_container", remove)
    with Engine.connect(engine.host, project="deadweight-tests") as other:
        made = [other.create(misbehaving_image, service()) for _ in range(3)]
        other.end_all()
        monkeypatch.undo()
        assert all(gone(other, container) for container in made)


def test_an_engine_that_does_not_answer_is_missing(tmp_path):
    with raises(MissingError, "engine.no_answer_at", host=f"unix://{tmp_path}/no.sock", exit_code=3):
        Engine.connect(f"unix://{tmp_path}/no.sock")


# images


def test_images_are_loaded_tagged_saved_and_removed(engine, misbehaving_archive, tmp_path):
    identity, image = engine.images.load(misbehaving_archive, OTHER), engine.images.need(OTHER)
    assert (image.id, image.entrypoint) == (identity, ("/app",))
    saved = engine.images.save(OTHER, tmp_path / "deep" / "image.tar")
    with (
        tarfile.open(saved) as tar,
        engine.images.stream(OTHER) as source,
        tarfile.open(fileobj=source, mode="r|") as read,
    ):
        assert "manifest.json" in tar.getnames()
        assert set(read.getnames()) == set(tar.getnames())
    assert [file.name for file in saved.parent.iterdir()] == ["image.tar"]
    assert engine.images.remove(OTHER, force=True)
    assert (engine.images.remove(OTHER), engine.images.get(OTHER)) == (False, None)


CONFIG, MANIFEST, INDEX = ("sha256:" + letter * 64 for letter in "abc")


def described(kind: str, **more: object) -> dict[str, object]:
    return {"mediaType": f"application/vnd.oci.image.{kind}.v1+json", **more}


@pytest.mark.parametrize(("engine_id", "descriptor", "expected"), [
    (CONFIG, None, images.Identity(CONFIG, CONFIG)),
    ("a" * 64, None, images.Identity(CONFIG, CONFIG)),  # Podman
    (MANIFEST, described("manifest", annotations={"config.digest": CONFIG}), images.Identity(MANIFEST, CONFIG, MANIFEST)),
    (MANIFEST, described("manifest"), images.Identity(MANIFEST, None, MANIFEST)),
    (INDEX, described("index"), images.Identity(INDEX, None, None, INDEX)),
    (MANIFEST, {}, images.Identity(MANIFEST, None)),  # 25 to 27 do not say what it is the digest of
])  # fmt: skip
def test_what_an_engine_calls_an_image_is_told_from_its_configs_digest(engine_id, descriptor, expected):
    identity = images.identity_of({"Id": engine_id, "Descriptor": descriptor}, by_manifest=descriptor is not None)
    assert identity == expected


def test_images_that_are_not_there_are_missing(engine, tmp_path, monkeypatch):
    for ask in (engine.images.need, lambda name: engine.images.save(name, tmp_path / "image.tar")):
        with raises(MissingError, "engine.no_such_image", image="deadweight-tests/absent:1"):
            ask("deadweight-tests/absent:1")
    monkeypatch.setattr(engine.images, "need", lambda _: None)  # it goes at this moment
    with raises(DeadweightError, "engine.refused"), engine.images.stream("deadweight-tests/absent:1"):
        pass
    assert list(tmp_path.iterdir()) == []
    with raises(MissingError, "engine.no_such_archive", archive=tmp_path / "absent.tar"):
        engine.images.load(tmp_path / "absent.tar")


@pytest.mark.parametrize("content", [b"", b"this is no archive at all" * 400, None], ids=["empty", "text", "cut short"])
def test_a_file_that_is_no_whole_image_archive_is_refused(engine, misbehaving_archive, tmp_path, content):
    archive = tmp_path / "image.tar"
    archive.write_bytes(misbehaving_archive.read_bytes()[:2_000_000] if content is None else content)
    with pytest.raises(DeadweightError) as caught:
        engine.images.load(archive)
    assert caught.value.code in ("engine.archive_refused", "engine.nothing_loaded", "engine.refused")


def test_an_interrupted_save_leaves_nothing(engine, misbehaving_image, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "stop_if_cancelled", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        engine.images.save(misbehaving_image, tmp_path / "out" / "image.tar")
    assert list((tmp_path / "out").iterdir()) == []


# containers


def test_a_hardened_container_is_hardened_for_real(engine, tools_image):
    """Not what we asked for, but what the kernel says inside."""
    options = hardened(RunSettings()).but(entrypoint=("/bin/sh", "-c", "sleep 60"), read_only=True)
    with engine.start(tools_image, options) as container:
        assert container.exec(["/usr/bin/id", "-u"]).output.strip() == b"65532"
        status = container.exec(["/usr/bin/cat", "/proc/self/status"]).output.decode()
        assert {"CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} <= set(status.splitlines())
        refused = container.exec(["/bin/sh", "-c", "echo x > /x"])
        assert (refused.exit_code != 0, b"Read-only file system" in refused.errors) == (True, True)
        ran = container.exec(["/bin/sh", "-c", "cat /usr/bin/id > /tmp/id && ls -l /tmp/id && /tmp/id"])
        assert (ran.exit_code, b"/tmp/id" in ran.output) == (126, True)


def test_a_file_of_the_project_that_is_not_there_is_told(engine, tools_image):
    with raises(UsageError, "engine.no_such_mount", path="gone"):
        engine.start(tools_image, RunOptions(files={"/x": "gone"}))


def test_postures_are_composed(engine, tools_image, tmp_path):
    (tmp_path / "note").write_text("from the host")
    options = RunOptions(
        user="0:0", seccomp="unconfined", masked_paths=False, tmpfs=(Tmpfs("/scratch", 2**20, noexec=False),),
        mounts=(Mount(tmp_path, "/host"),), entrypoint=("/bin/sh", "-c", "sleep 60"), network="none",
    )  # fmt: skip
    with engine.start(tools_image, options) as container:
        assert b"Seccomp:\t0" in container.exec(["/usr/bin/cat", "/proc/self/status"]).output
        assert "/proc/kcore" not in container.exec(["/usr/bin/cat", "/proc/mounts"]).output.decode()
        assert container.exec(["/bin/sh", "-c", "cat /usr/bin/id > /scratch/id; ls /scratch"]).output == b"id\n"
        assert container.exec(["/usr/bin/cat", "/host/note"]).output == b"from the host"
        assert container.exec(["/bin/sh", "-c", "echo x > /host/note"]).exit_code != 0


def test_memory_beyond_the_limit_ends_it_and_is_told(engine, misbehaving_image):
    with healthy(engine, misbehaving_image, service(memory_bytes=32 * 2**20)) as container:
        with pytest.raises((OSError, HTTPException)):
            container.http().request("GET", "/eat")
        state = container.wait_ended(10)
    assert state.exit_code == 137
    # a busy engine may lose what the kernel says of it
    assert (codes(state.outcome()) == ["engine.out_of_memory"]) == state.oom_killed


def test_why_a_container_cannot_be_started_is_told_and_nothing_is_left(engine, misbehaving_image):
    before, absent = {leftover.id for leftover in own_leftovers(engine)}, "deadweight-tests/absent:1"
    with pytest.raises(CannotStart, match="no such file"):
        engine.start(misbehaving_image, service(entrypoint=("/absent",)))
    with pytest.raises(MissingError, match=absent):
        engine.start(absent, service())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with raises(PortInUse, "engine.port_in_use", port=port):
            engine.start(misbehaving_image, service(host_port=port))
    assert {leftover.id for leftover in own_leftovers(engine)} <= before


def test_a_port_that_is_lost_in_a_race_is_tried_again(engine, misbehaving_image, monkeypatch):
    """The engine picks a free port, somebody takes it before the proxy listens: hard to provoke, so the first start is refused."""
    start = Mock(wraps=engine.api.start, side_effect=[PortInUse("port (any) on 127.0.0.1 is in use"), DEFAULT])
    monkeypatch.setattr(engine.api, "start", start)
    with healthy(engine, misbehaving_image) as container:
        (refused,), (started,) = (call.args for call in start.call_args_list)
        assert container.id == started != refused
        assert refused not in [leftover.id for leftover in engine.leftovers()]


# ways to a container


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter a network namespace")
def test_a_container_without_network_is_reached_through_its_namespace(engine, misbehaving_image):
    with healthy(engine, misbehaving_image, service(network="none", publish=None)) as container:
        assert container.http(8080).way == "namespace"
        assert container.http(8080).request("GET", "/healthz").body == b"ok\n"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may enter a network namespace")
def test_an_internal_network_leads_nowhere_not_even_to_this_machine(engine, misbehaving_image, tools_image):
    with socket.create_server(("0.0.0.0", 0)) as listener, engine.network("test") as network:
        port = listener.getsockname()[1]
        with healthy(engine, misbehaving_image, service(network=network, publish=None)) as container:
            assert not container.inspect()["NetworkSettings"]["Ports"].get("8080/tcp")
            gateway = container.inspect()["NetworkSettings"]["Networks"][network]["Gateway"] or "172.17.0.1"
        for address in (gateway, "172.17.0.1", "203.0.113.1"):
            options = hardened(RunSettings()).but(network=network, entrypoint=("nc", address, str(port)))
            with engine.start(tools_image, options) as probe:
                assert probe.wait_ended(2).exit_code != 0 or probe.state().running
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert network not in [leftover.name for leftover in engine.leftovers()]


@pytest.mark.parametrize(("publish", "closed", "facts", "way"), [
    (8080, False, {}, "published"), (None, False, {}, "address"), (8080, True, {}, "engine"),
    (None, False, {"rootless": True}, "engine"), (None, False, None, "engine"), (8080, False, None, "published"),
])  # fmt: skip
def test_the_way_of_who_is_not_root(engine, misbehaving_image, publish, closed, facts, way, monkeypatch):
    """Neither a published port nor an address leads into a network without a way out; Podman tells of both all the same. An engine
    in another machine (None) has no address that leads there from here, nor has a rootless one: they are asked to pass it on."""
    with engine.start(misbehaving_image, RunOptions(publish=publish)) as container:
        assert container.address()
        monkeypatch.setattr(http, "can_enter_namespace", lambda *_: False)
        monkeypatch.setattr(engine, "info", dataclasses.replace(engine.info, **(facts or {})))
        monkeypatch.setattr(engine, "user", None if facts is None else 0)
        monkeypatch.setattr(engine.tunnels, "sidecar_of", lambda _: None)
        monkeypatch.setattr(engine, "_networks", {container.options.network} if closed else set())
        assert container.http(8080).way == way


# what is left behind

KILLED = """
import os, sys, time
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions
with Engine.connect(sys.argv[1], project="deadweight-killed") as engine, engine.network("killed") as network:
    container = engine.start(sys.argv[2], RunOptions(network=network), purpose="killed")
    engine.tunnels.listeners(container)  # seen by a program of ours beside it, which has an image of its own
    mine = f"{os.getpid()}:"
    (image,) = [each for each in engine.leftovers() if each.kind == "image" and each.labels["deadweight.owner"].startswith(mine)]
    print(container.id, network, image.name, flush=True)
    time.sleep(60)
"""


def names_and_ids(engine: Engine) -> set[str]:
    return {text for leftover in engine.leftovers() for text in (leftover.id, leftover.name)}


def start_child(engine: Engine, image: str) -> tuple[subprocess.Popen[str], set[str]]:
    """Who has a container, a network and an image there, and what they are called."""
    child = subprocess.Popen([sys.executable, "-c", KILLED, engine.host, image], stdout=subprocess.PIPE, text=True)
    made = set(child.stdout.readline().split())
    assert len(made) == 3
    return child, made


def test_the_next_start_removes_what_a_killed_process_left(engine, misbehaving_image):
    child, made = start_child(engine, misbehaving_image)
    with child:
        child.kill()
    assert made <= names_and_ids(engine)
    with Engine.connect(engine.host, project="deadweight-tests") as later, later.start(misbehaving_image, service()):
        assert made.isdisjoint(names_and_ids(engine))


@pytest.mark.slow
def test_ctrl_c_removes_everything_and_a_living_process_is_left_alone(engine, misbehaving_image):
    child, made = start_child(engine, misbehaving_image)
    with child:
        engine.cleanup_stale("")  # of none that still exists, as the child's: others' tests count theirs
        assert made <= names_and_ids(engine)
        child.send_signal(signal.SIGINT)
        child.wait(20)
    assert made.isdisjoint(names_and_ids(engine))


def test_what_somebody_else_is_removing_is_waited_for():
    """A killed process may have asked for it: until the container is gone, its network cannot go."""
    conflict = APIError("removal is already in progress", SimpleNamespace(status_code=409, reason="", url=""))
    api = Mock()
    api.remove_container.side_effect = conflict
    api.inspect_container.side_effect = [{}, {}, NotFound("no such container")]
    labels.remove_container(api, "first")
    assert api.inspect_container.call_args_list == [call("first")] * 3


def test_a_container_whose_making_got_no_answer_is_removed_at_the_end(engine, misbehaving_image, monkeypatch):
    """An engine under load makes it after its client has given up: nobody held it, and nobody removed it."""
    other = Engine.connect(engine.host, project="deadweight-tests")
    create, making = other.api.create_container_from_config, list[threading.Thread]()

    def slowly(*given):
        making.append(threading.Timer(0.3, create, given))
        making[0].start()
        raise Timeout("no answer in time")

    monkeypatch.setattr(other.api, "create_container_from_config", slowly)
    with raises(MissingError, "engine.no_answer_in_time"):
        other.create(misbehaving_image, service())
    (name,) = other._asked_for
    other.close()
    making[0].join()
    assert name not in names_and_ids(engine)


def test_no_container_is_made_once_the_run_is_to_end(engine, misbehaving_image, monkeypatch, cancelling):
    """A trial that had passed its own look at that made one more, and one more for each port that was taken."""
    asked = []

    def taken(*given):
        asked.append(given)
        _run.cancel_all()
        raise PortInUse("in use")

    with Engine.connect(engine.host, project="deadweight-tests") as other:
        monkeypatch.setattr(other, "begin", taken)
        with pytest.raises(Interrupted):
            other.start(misbehaving_image, service())
    assert len(asked) == 1


def test_waiting_ends_when_all_is_cancelled(engine, misbehaving_image, cancelling):
    with engine.start(misbehaving_image, service("deaf")) as container:
        threading.Timer(0.3, _run.cancel_all).start()
        with pytest.raises(Interrupted):
            container.wait_healthy(Health(path="/healthz", within_seconds=30))


# logs, shell


@pytest.mark.slow
def test_logs_are_read_from_what_runs(engine, misbehaving_image):
    with raises(DeadweightError, "engine.none_running", owner="variant lonely"):
        list(foreground.log_lines(engine, ["lonely"]))
    one, two = (healthy(engine, misbehaving_image, variant=name) for name in ("one", "two"))
    with one, two:
        assert set(foreground.log_lines(engine)) >= {"one: misbehave: mode good", "two: misbehave: mode good"}
        with raises(DeadweightError, "engine.several_running"):
            list(foreground.log_lines(engine, follow=True))
        with contextlib.closing(foreground.log_lines(engine, ["one"], follow=True)) as followed:
            assert next(followed) == "misbehave: mode good"


@pytest.mark.slow
def test_beside_an_image_without_shell_a_sidecar_sees_its_files_and_processes(engine, playground_image, tools_image):
    with healthy(engine, playground_image, hardened(RunSettings(), port=8080, image_user="65534")) as container:
        assert (foreground.shell_in(container), foreground.user_of(container)) == (None, "65534:65534")
        words = foreground.words_beside(engine, container, tools_image)
        script = b"ls; id -u; cat /proc/1/root/etc/passwd; tr '\\0' ' ' < /proc/1/cmdline\n"
        seen = _run.run(["docker", "-H", engine.host, *words], stdin=script, timeout=60).output
        assert {"app", "etc", "65534", "/app", "nobody:x:65534:65534::/:/bin/false"} <= set(seen.split())
    wait_for(lambda: not any(leftover.labels[labels.PURPOSE] == "shell" for leftover in own_leftovers(engine)))


@pytest.mark.slow
def test_an_image_that_somebody_made_of_a_container_of_ours_is_his(engine, misbehaving_image):
    """It has our labels, since the engine copies a container's."""
    with engine.start(misbehaving_image, service()) as container:
        engine.api.commit(container.id, repository="deadweight-tests/kept", tag=str(os.getpid()))
    name = f"deadweight-tests/kept:{os.getpid()}"
    state = (engine.images.get(name) is not None, name in names_and_ids(engine))
    engine.images.remove(name)
    assert state == (True, False)


@pytest.mark.system
def test_a_user_is_told_by_the_number_that_the_container_knows():
    """An engine without root maps the users of its containers to others of the machine."""
    with subprocess.Popen(["unshare", "--user", "sleep", "60"]) as process:
        own, there = Path("/proc/self/ns/user").readlink(), Path(f"/proc/{process.pid}/ns/user")
        wait_for(lambda: there.readlink() != own, 10)
        Path(f"/proc/{process.pid}/uid_map").write_text("0 0 1\n1 1000 100\n")
        ids = [foreground._inside(process.pid, "uid", number) for number in (0, 1000, 1099, 5000)]
        process.kill()
    assert ids == [0, 1, 100, 5000]


# whose a container is, and whether its owner is alive


OWN = labels.labels("p", "check", "v")
FAR = {labels.HOST: "elsewhere/12345678/pid:[1]", labels.OWNER: "1:1"}
NAME, _, NAMESPACE = OWN[labels.HOST].split("/")


@pytest.mark.parametrize(("marks", "stale"), [
    pytest.param(OWN, False, id="ours"),
    pytest.param({"maintainer": "somebody"}, False, id="nobody's, without our label"),
    pytest.param(OWN | {labels.OWNER: f"{os.getpid()}:1"}, True, id="of another process of our number"),
    pytest.param(OWN | FAR, False, id="of another machine, where age alone judges"),
    pytest.param(OWN | FAR | {labels.CREATED: str(int(time.time()) - 2 * 24 * 3600)}, True, id="two days old"),
    pytest.param(OWN | FAR | {labels.CREATED: "?"}, True, id="of no known age"),
    pytest.param(OWN | {labels.HOST: f"{NAME}/00000000/{NAMESPACE}"}, True, id="of an earlier boot"),
])  # fmt: skip
def test_what_is_stale_is_told_by_its_labels(marks, stale):
    assert labels.is_stale(marks) is stale
