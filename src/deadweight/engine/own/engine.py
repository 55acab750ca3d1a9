"""Start and stop our own dockerd, next to any other, with its own socket, data, pid file and, if needed, bridge.

It starts if no other engine answers, keeps running when we end (so that the next task finds it), and ends with ``stop``. A user
who is not root starts and stops it through sudo (``main``) and talks to it through a socket owned by the user's group.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from deadweight import _sudo as sudo
from deadweight._errors import CommandError, DeadweightError, MissingError, wording
from deadweight._run import cancelled, run
from deadweight.engine import api as wire
from deadweight.engine.own import machine
from deadweight.records.paths import user_cache
from deadweight.records.store import refused, write_atomically


# Where an engine of ours keeps its things.
class Layout(NamedTuple):
    """Where one engine of ours keeps its things. ``run`` is short, since a socket's path may have 107 bytes at most.

    ``group`` is the number of the group that may speak to it, beside root.
    """

    run: Path
    data: Path
    log: Path
    group: int = 0

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def pid_file(self) -> Path:
        """Written by the shell that becomes dockerd, so that it is there from the first moment on."""
        return self.run / "engine.pid"

    @property
    def temporary(self) -> Path:
        """Where the engine's own temporary files are reached: it makes sockets below (an ssh mount's), so this too is short."""
        return self.run / "tmp"

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def bridge(self) -> str:
        return f"dwt{self.run.name[-8:]}"


def layout(uid: int | None = None, gid: int = 0) -> Layout:
    """One engine per user cache and user (default: who we are)."""
    cache, uid = user_cache(), os.geteuid() if uid is None else uid
    key = hashlib.sha256(str(cache).encode()).hexdigest()[:8]
    return Layout(Path(f"/run/deadweight-{uid}-{key}"), cache / "engine", cache / "logs" / "engine.log", gid)


SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/usr/local/sbin:/usr/local/bin"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
SUDO_SECONDS = 240.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What the engine reaches registries through; sudo takes all variables away but those it is told to keep."""
_LOG_LIMIT_BYTES = 10_000_000
NETWORKS = "network/files/local-kv.db"
"""Where dockerd keeps its networks, below its data (libnetwork, ``datastore``)."""

FORMER = "engine-current*"
"""What engines that an earlier Deadweight built left beside the data of ours: their images."""

Say = Callable[[str], None]


def running_host() -> str | None:
    """Where our engine listens, if it is running and answers."""
    where = layout()
    return where.host if _answers(where) else None


def _answers(where: Layout) -> bool:
    return where.socket.exists() and not wire.trouble(where.host)


def dockerd() -> str | None:
    """The program to start; None if there is none."""
    return shutil.which("dockerd") or shutil.which("dockerd", path=SYSTEM_PATH)


def cannot_start() -> str:
    """Why no engine of ours can be started here; empty where one can."""
    if sys.platform != "linux":
        return wording("engine.start_only_on_linux")
    problem = sudo.trouble()
    if problem:
        return wording("engine.start_needs_root", problem=problem)
    return wording("engine.no_dockerd") if dockerd() is None else ""


def advice() -> str:
    """What leads to an engine where none of ours can be started: only what can be done on this machine."""
    from deadweight.toolchain import catalogue, system

    if sys.platform != "linux":
        return wording("engine.advice_desktop")
    if sudo.trouble():
        return wording("engine.advice_root")
    if not system.can_install():
        return wording("engine.advice_setup")
    return system.command_for([catalogue.program("dockerd")]) or wording("engine.advice_packages")


def start(say: Say, where: Layout | None = None) -> str:
    """Start our engine, or find it started meanwhile; returns its host (``unix://…``). Through sudo where we are not root.

    Raises MissingError where that is not possible here, CommandError with the engine's last own lines where it does not come up.
    """
    problem = cannot_start()
    if problem:
        raise MissingError(wording("engine.none_to_start", problem=problem, others=""), hint=advice())
    from filelock import FileLock

    where = where or layout()
    try:
        where.log.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        if not sudo.is_root():
            say(wording("engine.starting_with_sudo"))
            _as_root("start", say)
            return where.host
        for folder in (where.run, where.data):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        with FileLock(where.data.with_name("engine.lock"), timeout=START_SECONDS * 2):
            return where.host if _answers(where) else _start(where, say)
    except OSError as error:
        raise refused(Path(error.filename or where.run), error) from error


def _as_root(action: str, say: Say) -> None:
    """Do ``start``, ``stop`` or ``remove_data`` of the calling user's engine as root.

    Raises MissingError where sudo is not there or wants a password that nobody can type; CommandError with the engine's own words.
    """
    words: list[str | Path] = [action, user_cache(), str(os.getuid()), str(os.getgid())]
    proxies = [name for name in _PROXIES if name in os.environ]
    for line in sudo.run_module(__name__, words, timeout=SUDO_SECONDS, keep=proxies).output.splitlines():
        say(line)


def stop(say: Say = lambda _: None, where: Layout | None = None) -> bool:
    """End our engine and remove what it left but its data; False where there was none. Never touches another engine."""
    where = where or layout()
    pid = _our_pid(where)
    if pid is None and not where.run.exists():
        return False
    if not sudo.is_root():
        _as_root("stop", say)
        return pid is not None
    if pid is not None:
        say(wording("engine.stopping"))
        _forget_networks(where)
    _end(where, pid)
    return pid is not None


def _end(where: Layout, pid: int | None) -> None:
    if pid is not None:
        machine.end_process(pid, STOP_SECONDS)
    _sweep(where)
    shutil.rmtree(where.run, ignore_errors=True)


def remove_data(say: Say = lambda _: None, where: Layout | None = None) -> None:
    """Stop our engine and delete its images and caches."""
    where = where or layout()
    if not sudo.is_root():
        if where.run.exists() or _all_data(where):
            _as_root("remove_data", say)
        return
    stop(say, where)
    for data in _all_data(where):
        machine.unmount_below(data)
        shutil.rmtree(data, ignore_errors=True)


def _all_data(where: Layout) -> list[Path]:
    return [folder for folder in (where.data, *where.data.parent.glob(FORMER)) if folder.exists()]


def _forget_networks(where: Layout) -> None:
    """Have the engine remove its networks: a bridge stays in the machine when its engine just ends."""
    for container in wire.listing(where.host, "/containers/json?all=1"):
        wire.delete(where.host, f"/containers/{container['Id']}?force=1")
    for network in wire.listing(where.host, "/networks"):
        if network.get("Name") not in ("bridge", "host", "none"):
            wire.delete(where.host, f"/networks/{network['Id']}")


def _start(where: Layout, say: Say) -> str:
    leftover = _our_pid(where)
    if leftover is not None:  # alive, but it does not answer
        say(wording("engine.restarting"))
        machine.end_process(leftover, 5.0)
    _sweep(where)
    _free_addresses_of_dead_engines(where)
    if where.log.exists() and where.log.stat().st_size > _LOG_LIMIT_BYTES:
        where.log.unlink()
    machine.prepare_cgroups(say)
    say(wording("engine.starting", log=where.log))
    log_bytes = where.log.stat().st_size if where.log.exists() else 0
    argv = _arguments(where, say)
    held = where.data / "tmp"
    shutil.rmtree(held, ignore_errors=True)  # what a killed engine left
    machine.bind(held, where.temporary)  # on the data's disk (/run is often memory); dockerd would look through a link
    # The shell writes its own pid and then becomes dockerd, detached from us and from our pipes.
    script = 'umask 022; echo $$ >"$1"; log=$2; shift 2; exec "$@" >>"$log" 2>&1 </dev/null'
    # Each container starts half a dozen short programs that are dockerd itself: half of their CPU time was garbage collection.
    environment = {"DOCKER_TMPDIR": str(where.temporary), "GOGC": os.environ.get("GOGC", "400")}
    run(["setsid", "--fork", "sh", "-c", script, "sh", where.pid_file, where.log, *argv], timeout=30, env=environment)
    _await(where, argv, log_bytes)
    return where.host


def _arguments(where: Layout, say: Say) -> list[str]:
    program = dockerd()
    assert program is not None
    # Settings of the machine's own engine (/etc/docker/daemon.json) are not ours: they may name its sockets and folders.
    config = where.run / "daemon.json"
    settings: dict[str, object] = {"log-opts": {"max-size": "10m"}, "shutdown-timeout": 10}
    write_atomically(config, json.dumps(settings))
    argv = [program, "--config-file", str(config), "--host", where.host, "--data-root", str(where.data)]
    argv += ["--exec-root", str(where.run / "exec"), "--pidfile", str(where.run / "docker.pid")]
    argv += ["--group", str(where.group), "--log-level", "warn"]
    argv += ["--containerd-namespace", where.bridge, "--containerd-plugins-namespace", f"plugins.{where.bridge}"]
    if not Path("/run/systemd/system").is_dir():
        argv += ["--exec-opt", "native.cgroupdriver=cgroupfs"]
    return argv + _network_arguments(where, say)


def _network_arguments(where: Layout, say: Say) -> list[str]:
    """Beside another engine: a bridge of our own, and no firewall rules of dockerd's, which would rewrite the other's."""
    if _other_dockerd(where):
        network = machine.create_on_free_network(where.bridge)
        # dockerd would give the bridge the address that it had last time, which another engine may have taken since
        (where.data / NETWORKS).unlink(missing_ok=True)
        if machine.has_iptables():
            machine.open_way(where.bridge, network)
            say(wording("engine.own_chains", bridge=where.bridge))
        else:
            say(wording("engine.no_iptables"))
        return ["--bridge", where.bridge, "--iptables=false"]
    if machine.has_iptables():
        return []
    say(wording("engine.no_iptables"))
    return ["--iptables=false"]


def _await(where: Layout, argv: list[str], log_bytes: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    reason = wording("engine.silent", seconds=START_SECONDS)
    while time.monotonic() < deadline and not cancelled():
        if where.socket.exists() and not wire.trouble(where.host, timeout=1.0):
            return
        if where.pid_file.exists() and _our_pid(where) is None:
            reason = wording("engine.ended_at_once")
            break
        time.sleep(0.1)
    _end(where, _our_pid(where))
    log = where.log.read_bytes() if where.log.exists() else b""
    tail = log[log_bytes:].decode(errors="replace").splitlines()[-15:]
    raise CommandError(argv, exit_code_of_command=None, reason=reason, tail=tail, log=where.log)


def _our_pid(where: Layout, file: Path | None = None) -> int | None:
    """The process of our engine (or of it the one whose number is in ``file``), if it lives. A number that now belongs to another
    program does not count."""
    try:
        process = machine.read_process(int((file or where.pid_file).read_text()))
    except (OSError, ValueError):
        return None
    return process.pid if process is not None and str(where.run) in process.command else None


def _other_dockerd(where: Layout) -> bool:
    mine = _our_pid(where)
    return any(
        process.name == "dockerd" and process.pid != mine and machine.same_network(process.pid)
        for process in machine.everyone()
    )


def _sweep(where: Layout) -> None:
    """What a killed engine leaves: containers, its containerd, pid files (a dockerd refuses to start over its own), mounts."""
    orphan = _our_pid(where, where.run / "exec/containerd/containerd.pid")
    if orphan is not None:
        machine.end_process(orphan, 5.0)
    machine.kill_containers_of(where.run)
    for name in ("docker.pid", "engine.pid", "docker.sock", "exec/containerd/containerd.pid"):
        (where.run / name).unlink(missing_ok=True)
    machine.unmount_below(where.run)
    if machine.bridge_exists(where.bridge):
        machine.close_way(where.bridge)
        machine.delete_bridge(where.bridge)


def _free_addresses_of_dead_engines(where: Layout) -> None:
    """End the containers that killed engines of other caches left, and drop their network namespaces.

    They keep their addresses on ``docker0``. Ours would give a container the same address, and connections to it would be reset.
    """
    for run_folder in where.run.parent.glob("deadweight-*-*"):
        other = Layout(run_folder, where.data, where.log)
        if other.pid_file.exists() and _our_pid(other) is None:
            machine.kill_containers_of(run_folder)
            machine.unmount_below(run_folder / "exec/netns")


# Our engine started and ended through sudo, for a user who is not root: the same code, in a process of its own that is.
#
# No other code of ours runs so. Who may start it through sudo may start anything; the socket it makes is open to that user's
# group.
def main(words: Sequence[str]) -> int:
    """The side that is root: an action, the user's cache, user and group number."""
    action, cache, uid, gid = words
    os.environ["DEADWEIGHT_CACHE_DIR"] = cache
    actions: dict[str, Callable[[Say, Layout], object]] = {"start": start, "stop": stop, "remove_data": remove_data}
    try:
        actions[action](print, layout(int(uid), int(gid)))
    except DeadweightError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
