"""Finding an engine, and an engine of our own beside another one: start, kill, start again, stop, nothing left."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from unittest.mock import Mock

import pytest

from deadweight import _sudo as sudo
from deadweight._errors import CommandError, MissingError, wording
from deadweight._run import run
from deadweight.engine import api, daemon
from deadweight.engine.client import Engine
from deadweight.engine.options import bridge_of
from deadweight.engine.own import engine as own, machine
from deadweight.project import doctor
from deadweight.project.install import survey
from deadweight.toolchain import system
from tests.support.codes import codes, details, raises
from tests.support.forms import closed_network
from tests.support.installing import install
from tests.support.marks import NEEDS_DOCKERD
from tests.support.processes import wait_for, within
from tests.support.small_images import placed, program
from tests.support.trees import first_on_path, shell_script, written

pytestmark = pytest.mark.system


def context(config: Path, name: str, host: str) -> None:
    """A Docker context as the client writes it."""
    known = json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}})
    written(config, {f"contexts/meta/{hashlib.sha256(name.encode()).hexdigest()}/meta.json": known})


@pytest.fixture
def listener(tmp_path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that accepts and says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        yield server, f"unix://{tmp_path}/s"


def test_a_named_host_that_is_not_there_is_an_error_that_names_it(unset, monkeypatch, tmp_path):
    named = {"origin": "DOCKER_HOST", "host": f"unix://{tmp_path}/none.sock"}
    monkeypatch.setenv("DOCKER_HOST", named["host"])
    for search in (daemon.find_running, lambda: daemon.find_or_start(print)):
        with raises(MissingError, "engine.named_engine_silent", exit_code=3, **named) as caught:
            search()
        assert codes(caught.value.args[0]) == ["engine.named_engine_silent", "engine.no_socket"]


@pytest.mark.parametrize(("host", "reason"), [
    ("tcp://127.0.0.1:9", "refused"),
    ("fd://somewhere", "fd"),
    *((address, address) for address in ("rubbish", "ssh://", "ssh://user:secret@host", "ssh://host?x=y")),
])  # fmt: skip
def test_hosts_that_cannot_be_used_are_told(host, reason):
    assert reason in api.trouble(host).lower()


def test_an_engine_that_hangs_is_given_up(listener):
    with within(30):
        assert codes(api.trouble(listener[1], timeout=0.5)) == ["engine.silent"]
        assert api.document(listener[1], "/version", timeout=0.5) == {}


def test_something_else_at_the_socket_is_no_engine(listener):
    server, host = listener

    def answer() -> None:
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(answer)
        assert api.trouble(host) != ""


def test_the_current_context_comes_first(unset, endpoint):
    context(unset, "mine", endpoint.host)
    (unset / "config.json").write_text('{"currentContext": "mine"}')
    current = daemon.find_running()
    assert (current.host, current.cli_env) == (endpoint.host, {"DOCKER_HOST": endpoint.host})
    assert next(daemon.endpoints()).why == wording("engine.by_context", name="mine")


def test_a_context_that_is_asked_for_and_does_not_answer_is_an_error(unset, monkeypatch, tmp_path):
    context(unset, "gone", f"unix://{tmp_path}/gone.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with raises(MissingError, "engine.named_engine_silent", origin=wording("engine.by_context", name="gone")):
        daemon.find_running()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"currentContext": 7}', '{"currentContext": "nowhere"}'])
def test_a_damaged_docker_configuration_is_passed_over(unset, content):
    (unset / "config.json").write_text(content)
    assert daemon._context() is None


def test_who_is_not_root_and_has_no_sudo_is_told_what_to_do(alone, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    # set-up could not get one either
    assert codes(none_to_start("engine.advice_root"))[:2] == ["engine.none_to_start", "engine.start_needs_root"]


def none_to_start(advice: str) -> object:
    """Why no engine can be had, beside this advice."""
    with raises(MissingError, "engine.none_to_start") as caught:
        daemon.find_or_start(print)
    assert codes(caught.value.hint)[:1] == [advice]
    return caught.value.args[0]


def test_without_dockerd_there_is_none_to_be_had(alone, cache, monkeypatch):
    monkeypatch.setattr(own, "dockerd", lambda: None)
    if sudo.trouble():
        none_to_start("engine.advice_root")
        return
    none_to_start("engine.advice_setup")
    report = doctor.examine(["engine"])
    assert (report.engine, wording("engine.no_dockerd") in report.engine_problem) == (None, True)
    assert f"engine: {report.engine_problem}" in report.lines()
    monkeypatch.setattr(system, "manager", lambda: None)
    none_to_start("engine.advice_packages")


BROKEN = "echo 'failed to start daemon: no such luck' >&2; exit 1"


@NEEDS_DOCKERD
def test_an_engine_that_does_not_come_up_shows_its_own_words(alone, cache, monkeypatch, tmp_path):
    """``setup --engine current`` of an earlier version kept images beside ours: they go with ours."""
    images = cache / "engine-current-overlay2"
    images.mkdir(parents=True)
    version = "case $* in --version) echo Docker version 20.10.24; exit;; esac"
    first_on_path(monkeypatch, tmp_path / "bin", {"dockerd": f"{version}; {BROKEN}"})
    assert survey(["engine"])[0].status == "present"
    with within(60), raises(CommandError, "engine.ended_at_once") as caught:
        daemon.find_or_start(print)
    assert [text in str(caught.value) for text in ("no such luck", str(own.layout().log))] == [True, True]
    daemon.remove_data()
    assert not images.exists()


@pytest.mark.slow
@NEEDS_DOCKERD
def test_our_engine_lives_beside_another_one(alone, endpoint, cache, misbehaving_archive):
    """Start, use, kill -9, start over what that left, stop: the other engine never notices."""
    where = own.layout()
    written(where.run, {where.pid_file.name: str(os.getpid())})  # a stale number that now belongs to somebody else
    lines: list[str] = []
    mine = daemon.find_or_start(lines.append)
    assert (mine.ours, mine.host) == (True, where.host)
    assert ["engine.starting"] in [codes(line) for line in lines]
    assert daemon.find_or_start(lines.append) == mine
    with Engine.connect(mine, project="deadweight-tests") as engine:
        engine.images.load(misbehaving_archive, "deadweight-tests/own:1")
        run([shutil.which("docker") or "docker", "run", "-d", "deadweight-tests/own:1"], env=mine.cli_env)
    first = own._our_pid(where)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: own._our_pid(where) is None)
    assert own.running_host() is None
    before, other = _network_of(where.bridge), f"dwt{uuid.uuid4().hex[:8]}"
    machine.delete_bridge(where.bridge)
    machine.create_bridge(other, before)  # another engine takes the network that ours had
    try:
        again = daemon.find_or_start(lines.append)
        assert not _network_of(where.bridge).overlaps(before)
    finally:
        machine.delete_bridge(other)
    assert again == mine
    assert own._our_pid(where) not in (None, first)
    assert any("deadweight-tests/own:1" in image["RepoTags"] for image in api.listing(mine.host, "/images/json"))
    assert api.trouble(endpoint.host) == ""

    assert (daemon.stop_own(), daemon.stop_own()) == (True, False)
    assert (where.run.exists(), machine.bridge_exists(where.bridge)) == (False, False)
    assert not [proc for proc in machine.everyone() if str(where.run) in proc.command and proc.pid != os.getpid()]
    assert where.data.is_dir()
    daemon.remove_data()
    assert not where.data.exists()
    assert str(where.data) not in Path("/proc/self/mountinfo").read_text()
    assert api.trouble(endpoint.host) == ""


def _network_of(name: str) -> IPv4Network:
    words = json.loads(run(["ip", "-json", "-4", "address", "show", "dev", name]).output)[0]["addr_info"][0]
    return IPv4Network(f"{words['local']}/{words['prefixlen']}", strict=False)


@pytest.fixture
def far() -> Iterator[str]:
    """A machine beyond this one, which knows no network of containers: gives its address. On port 7000 it tells callers theirs."""
    name, here, there = f"dwfar{os.getpid() % 10**6}", "10.232.0.1/30", "10.232.0.2/30"
    address = there.partition("/")[0]
    serve = (
        f"import socket; server = socket.create_server(('{address}', 7000))\n"
        "while True: caller, seen = server.accept(); caller.send(f'{seen[0]}\\n'.encode())"
    )
    ours = [f"link add {name} type veth peer name eth0 netns {name}", f"addr add {here} dev {name}"]
    theirs = [f"-n {name} addr add {there} dev eth0", f"-n {name} link set eth0 up"]
    run(["ip", "netns", "add", name])
    try:
        for words in (*ours, f"link set {name} up", *theirs):
            run(["ip", *words.split()])
        with subprocess.Popen(["ip", "netns", "exec", name, sys.executable, "-c", serve]) as server:
            yield address
            server.kill()
    finally:
        run(["ip", "netns", "del", name])


@pytest.mark.slow
@NEEDS_DOCKERD
def test_beside_another_engine_builds_and_containers_reach_the_network(alone, endpoint, cache, far, tmp_path):
    """The other one has closed the way between networks; ours is open, and gone with our engine."""
    ask = f"exec 3<>/dev/tcp/{far}/7000 && read seen <&3 && echo seen as $seen"
    dockerfile = f'FROM scratch\nCOPY . /\nRUN ["/bin/bash", "-c", "{ask}"]\n'.encode()
    placed(tmp_path / "context", {**program("bash", "/bin/bash"), "Dockerfile": dockerfile})
    lines: list[str] = []
    mine = daemon.find_or_start(lines.append)
    bridge_name = own.layout().bridge
    assert any(bridge_name in line for line in lines)
    cli = daemon.docker_cli(mine)
    words = cli.build("--progress=plain", "-t", "deadweight-tests/far:1", ".")
    assert "seen as 10.232.0.1" in run(words, cwd=tmp_path / "context", env=cli.env, log=tmp_path / "log").output
    ran = run(cli.command("run", "--rm", "deadweight-tests/far:1", "/bin/bash", "-c", ask), env=cli.env)
    assert ran.output == "seen as 10.232.0.1\n"
    assert f"-A FORWARD -j {bridge_name}" in run(["iptables-save"]).output
    daemon.stop_own()
    assert bridge_name not in run(["iptables-save"]).output
    assert api.trouble(endpoint.host) == ""


TOGETHER = """
import ipaddress, socket, subprocess, sys
from deadweight.engine.own import machine

def ip(words):
    subprocess.run(["ip", *words.split()], check=True)

bridge, *names = sys.argv[1:]
machine.open_way("dwt-own", ipaddress.IPv4Network("10.250.1.0/24"))
ip(f"link add {bridge} type bridge")
ip(f"link set {bridge} up")
for number, name in enumerate(names, 1):
    ip(f"link add v{number} type veth peer name eth0 netns {name}")
    ip(f"link set v{number} master {bridge} up")
    ip(f"-n {name} addr add 10.250.2.{number}/24 dev eth0")
    ip(f"-n {name} link set eth0 up")
serve = "import socket; s = socket.create_server(('10.250.2.1', 7000)); print('up', flush=True); s.accept()"
ask = "import socket; socket.create_connection(('10.250.2.1', 7000), 3)"
inside = ["ip", "netns", "exec"]
with subprocess.Popen([*inside, names[0], sys.executable, "-c", serve], stdout=subprocess.PIPE) as server:
    server.stdout.readline()
    done = subprocess.run([*inside, names[1], sys.executable, "-c", ask])
    server.kill()
sys.exit(done.returncode)
"""


@NEEDS_DOCKERD
@pytest.mark.parametrize("bridge", ["br-0123456789ab", bridge_of("deadweight-0123456789ab")])
def test_a_network_made_in_our_engine_is_whole_beside_another_engine(bridge):
    """``docker network create --internal``, as harden prints it, and those of attacks: no container on it reached another."""
    names = [f"dwt{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            run(["ip", "netns", "add", name])
        with closed_network() as inside:
            run([*inside, sys.executable, "-c", TOGETHER, bridge, *names], timeout=60)
    finally:
        for name in names:
            run(["ip", "netns", "del", name], check=False)


@pytest.mark.slow
@NEEDS_DOCKERD
def test_two_starts_at_once_give_one_engine(cache):
    code = "from deadweight.engine.own import engine as own; "
    code += "print(own.start(lambda line: None), own._our_pid(own.layout()))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    (output,) = {process.communicate(timeout=120)[0] for process in both}
    assert output.startswith(own.layout().host)


@NEEDS_DOCKERD
def test_a_start_frees_the_addresses_that_a_killed_engine_of_another_cache_holds(cache):
    """A network namespace that is mounted keeps its address on the bridge, though no process is left in it."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    killed = own.layout().run.with_name(f"deadweight-0-{uuid.uuid4().hex[:8]}")
    namespace = written(killed, {"exec/netns/abc": "", "engine.pid": f"{ended.pid}\n"}) / "exec/netns/abc"
    try:
        run(["unshare", f"--net={namespace}", "true"])
        assert os.path.ismount(namespace)
        own.start(print)
        assert not os.path.ismount(namespace)
    finally:
        machine.unmount_below(killed)
        shutil.rmtree(killed)


def test_the_client_builds_with_buildkit_and_leaves_the_users_configuration_alone(unset, endpoint, tmp_path):
    cli = daemon.docker_cli(endpoint)
    (unset / "config.json").write_text('{"auths": {}}')
    context = written(tmp_path / "context", {"Dockerfile": "ARG BASE=scratch\nFROM $BASE\nCOPY Dockerfile /file\n"})
    tag = f"deadweight-tests/client:{os.getpid()}"
    try:
        done = run(cli.build("-t", tag, "."), cwd=context, env=cli.env, log=tmp_path / "log")
        assert "exporting" in done.output  # BuildKit's own words; the classic builder says "Step 1/3"
        assert tag in str(api.listing(endpoint.host, "/images/json"))
        # the latter is the client's own
        assert {entry.name for entry in unset.iterdir()} <= {"config.json", ".buildNodeID"}
        assert (unset / "config.json").read_text() == '{"auths": {}}'
    finally:
        api.delete(endpoint.host, f"/images/{tag}")


def test_doctor_tells_the_engine_and_its_limits(endpoint):
    report = doctor.examine(["engine", "git"])
    version = daemon.server_version(endpoint)
    assert (report.engine.info.version, report.tools[0].status) == (version, "present")
    assert f"engine: {report.engine.info.name} {version}" in "\n".join(report.lines())
    assert all(disk.free_bytes > 0 for disk in report.disks)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network bridges")
def test_engines_that_start_at_once_take_different_networks(monkeypatch):
    free, both = machine.free_network, threading.Barrier(2)

    def slowly():
        network = free()
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # as long as another would need to find the same one
        return network

    monkeypatch.setattr(machine, "free_network", slowly)
    names = [f"dwt{uuid.uuid4().hex[:8]}" for _ in range(2)]
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(machine.create_on_free_network, names))
        assert len(set(map(_network_of, names))) == 2
    finally:
        for name in names:
            machine.delete_bridge(name)


@pytest.fixture
def sudoer(monkeypatch, tmp_path) -> Path:
    """As if we were not root but had its rights through sudo, with a group of our own; what sudo was asked is in the file."""
    asked = tmp_path / "asked"
    words = f'echo "$*" >>{asked}\nwhile [ "${{1#-}}" != "$1" ]; do shift; done\nexec env -u PYTHONPATH "$@"'
    first_on_path(monkeypatch, tmp_path / "sudo-bin", {"sudo": words})
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setattr(os, "getgid", lambda: 54321)
    return asked


@pytest.mark.slow
@NEEDS_DOCKERD
def test_who_has_sudo_gets_an_engine_whose_socket_is_open_to_its_group(alone, cache, sudoer, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    (before,) = survey(["engine"])
    assert (before.status, codes(before.how), before.gettable) == ("missing", ["project.with_sudo"], True)
    assert codes(doctor.examine([]).engine_problem) == ["project.starts_engine_with_sudo"]
    lines: list[str] = []
    install([before], lines.append)
    assert ["engine.starting_with_sudo"] in [codes(line) for line in lines]
    where = own.layout()
    (after,) = survey(["engine"])
    assert (after.status, after.path, after.origin) == ("present", where.host, "ours")
    facts = where.socket.stat()
    assert (facts.st_gid, stat.S_IMODE(facts.st_mode)) == (54321, 0o660)
    assert "--preserve-env=https_proxy" in sudoer.read_text()
    started = len(lines)
    assert daemon.stop_own(lines.append) is True
    assert len(lines) > started, "that it stops is told"
    assert (where.run.exists(), daemon.stop_own()) == (False, False)
    daemon.remove_data()
    assert not where.data.exists()
    actions = [line.split()[-4] for line in sudoer.read_text().splitlines() if "own.engine" in line]
    assert actions == ["start", "stop", "remove_data"]


@NEEDS_DOCKERD
def test_an_engine_that_sudo_cannot_bring_up_shows_its_own_words(alone, cache, sudoer, monkeypatch, tmp_path):
    shell_script(sudoer.parent / "sudo-bin" / "dockerd", BROKEN)
    with pytest.raises(CommandError, match="no such luck"):
        daemon.find_or_start(print)
    assert not own.layout().run.exists()


def test_a_socket_that_is_closed_to_us_is_told_with_what_opens_it(cache, unset, monkeypatch, tmp_path):
    monkeypatch.setattr(api, "_get", Mock(side_effect=PermissionError(13, "Permission denied")))
    monkeypatch.setattr(daemon, "endpoints", lambda: iter([api.Endpoint("unix:///var/run/docker.sock", why="there")]))
    monkeypatch.setattr(sudo, "is_root", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with raises(MissingError, "engine.none_to_start") as caught:
        daemon.find_or_start(print)
    (passed_over,) = daemon.search()[1]
    assert codes(passed_over) == ["engine.none_at", "engine.permission_denied"]
    facts = (str(passed_over) in str(caught.value), details(passed_over).fields["host"])
    assert facts == (True, "unix:///var/run/docker.sock")


@NEEDS_DOCKERD
def test_control_groups_are_mounted_where_nobody_did(cache):
    """In a mount namespace without them, as on a bare machine without systemd."""
    code = (
        "from deadweight.engine.own import engine as own, machine; assert not machine.has_cgroups(); lines = [];"
        "own.start(lines.append); assert machine.has_cgroups(); own.remove_data(); print(lines[0].code)"
    )
    script = f"umount -R /sys/fs/cgroup && exec {sys.executable} -c '{code}'"
    done = run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], timeout=120)
    assert done.output.split() == ["engine.mounting_cgroups"]


@pytest.mark.parametrize(("walls", "code"), [(["name=rootless"], "engine.cgroup_1_rootless"), ([], "engine.cgroup_1")])
def test_doctor_tells_whether_limits_work_on_cgroup_version_1(walls, code):
    """Podman tells them as unlimited there, and starts the container all the same."""
    info = api.parse_info({"Version": "5.4.2"}, {"CgroupVersion": "1", "SecurityOptions": walls})
    report = doctor.EngineReport("unix:///x.sock", False, info, None, None, None)
    assert [line for line in doctor._warnings(report, ()) if codes(line) == [code]]
