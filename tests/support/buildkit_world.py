"""BuildKit endpoints as if they were other machines: daemons of our own, each behind mTLS in a network namespace of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deadweight.engine.own import machine
from deadweight.records.paths import user_cache
from deadweight.toolchain import catalogue, golang, tool_cache
from tests.support import ROOT, processes
from tests.support.certificates import authority
from tests.support.relay import listening, port_of, serving

PORT = 8372
PREFIX = "dwbk"
NETWORKS = "10.213.0.0/16"
LOCAL = "127.0.0.1"


@dataclass
class Daemon:
    """One daemon. ``host`` is the address that the machine reaches it at, ``home`` one of the machine that all daemons reach."""

    name: str
    host: str
    home: str
    folder: Path
    namespace: str
    certificates: Path
    disk_bytes: int | None = None
    cgroup: Path | None = None
    program: Path = field(default_factory=lambda: find_daemon())
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"tcp://{self.host}:{PORT}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; its folder and log stay over a restart."""
        self.folder.mkdir(parents=True, exist_ok=True)
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        if self.disk_bytes is not None and not os.path.ismount(root):
            _call("mount", "-t", "tmpfs", "-o", f"size={self.disk_bytes}", "tmpfs", str(root))
        words = [
            "nsenter", f"--net=/run/netns/{self.namespace}", str(self.program), "--root", str(root),
            "--addr", f"tcp://{self.host}:{PORT}", "--addr", f"unix://{self.folder}/buildkitd.sock",
            "--tlscacert", str(self.certificates / "ca.pem"), "--tlscert", str(self.certificates / f"{self.name}.pem"),
            "--tlskey", str(self.certificates / f"{self.name}.key"),
            "--oci-worker-binary", str(find_runc()), "--oci-worker-net", "host", "--oci-worker-snapshotter", "native"
            if self.disk_bytes is not None else "overlayfs", "--containerd-worker=false",
        ]  # fmt: skip
        config = self.folder / "buildkitd.toml"
        config.write_text(
            f'[otel]\nsocketPath = "{self.folder}/otel.sock"\n'  # all that start at once would want the same one
            + (f'[worker.oci]\ndefaultCgroupParent = "/{self.cgroup.name}"\n' if self.cgroup else "")
        )
        words += ["--config", str(config)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **self.environment}, preexec_fn=self._enter if self.cgroup is not None else None,
            )  # fmt: skip

    def _enter(self) -> None:
        assert self.cgroup is not None
        (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def ready(self) -> None:
        """Wait until it listens."""
        assert self.process is not None
        processes.port_of(self.process, self.folder / "log")

    def fill(self, left_bytes: int) -> None:
        """Leave so little of its disk."""
        assert self.disk_bytes is not None
        root = os.statvfs(self.folder / "root")
        with (self.folder / "root" / "filled").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, root.f_bavail * root.f_frsize - left_bytes)

    def kill(self) -> None:
        """As a machine that loses its power."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        """To the daemon itself (``nsenter`` has become it)."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        """End it and what it runs, and let go of its disk."""
        if self.running:
            self.kill()
        for process in machine.everyone():  # containers of its builds that it left running, told by their root folders
            with contextlib.suppress(OSError, ProcessLookupError):
                if str(self.folder) in f"{Path(f'/proc/{process.pid}/root').readlink()} {process.command}":
                    os.kill(process.pid, signal.SIGKILL)
        machine.unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def daemons(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Daemon]]:
    """Daemons that are not started yet, each in its own namespace, with certificates that ``folder``/certs has."""
    # one that no other process has taken, by its namespaces
    numbers = ((os.getpid() + step) % 250 for step in range(250))
    number = next(number for number in numbers if not list(Path("/run/netns").glob(f"{PREFIX}{number}[a-z]*")))
    nodes: dict[str, Daemon] = {}
    certificates = folder / "certs"
    try:
        for index, name in enumerate(names):
            host = f"10.213.{number}.{4 * index + 2}"
            namespace = f"{PREFIX}{number}{name}"
            nodes[name] = Daemon(name, host, f"10.213.{number}.1", folder / name, namespace, certificates)
            _network(namespace, f"10.213.{number}.{4 * index + 1}", host)
        authority(certificates, {**{name: [daemon.host, LOCAL] for name, daemon in nodes.items()}, "client": [LOCAL]})
        yield nodes
    finally:
        for daemon in nodes.values():
            daemon.stop()
            subprocess.run(["ip", "netns", "del", daemon.namespace], check=False, capture_output=True)
            subprocess.run(["ip", "link", "del", daemon.namespace], check=False, capture_output=True)


def up(nodes: dict[str, Daemon]) -> dict[str, Daemon]:
    """All of these, running."""
    for daemon in nodes.values():
        if not daemon.running:
            daemon.start()
    for daemon in nodes.values():
        daemon.ready()
    return nodes


def _network(namespace: str, here: str, there: str) -> None:
    for words in (
        f"netns add {namespace}",
        f"link add {namespace} type veth peer name eth0 netns {namespace}",
        f"addr add {here}/30 dev {namespace}",
        f"link set {namespace} up",
        f"-n {namespace} addr add {there}/30 dev eth0",
        f"-n {namespace} link set eth0 up",
        f"-n {namespace} link set lo up",
        f"-n {namespace} route add default via {here}",
    ):
        _call("ip", *words.split())


def _call(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@contextlib.contextmanager
def disturbed(daemon: Daemon, *, delay_seconds: float, loss: float) -> Iterator[str]:
    """The address of a daemon behind a bad line: what is sent arrives later, and of the packets some are lost.

    Not by tc's netem, which few kernels of virtual machines have: packets are dropped by iptables, the delay is a relay's.
    """
    drop = ("INPUT", "-m", "statistic", "--mode", "random", "--probability", str(loss), "-j", "DROP")
    _call("nsenter", f"--net=/run/netns/{daemon.namespace}", "iptables", "-A", *drop)
    try:
        behind = serving(lambda: listening(lambda: asyncio.open_connection(daemon.host, PORT), delay_seconds))
        with behind as (server, _):
            yield f"tcp://127.0.0.1:{port_of(server)}"
    finally:
        _call("nsenter", f"--net=/run/netns/{daemon.namespace}", "iptables", "-D", *drop)


def saying_version(out: Path, version: str) -> Path:
    """A daemon that says it is of another version: the same program with that text in it."""
    here, there = f"v{catalogue.program('buildkitd').pinned or ''}".encode(), f"v{version}".encode()
    assert len(here) == len(there)
    out.write_bytes(find_daemon().read_bytes().replace(here, there))
    out.chmod(0o755)
    return out


def find_daemon() -> Path:
    """The daemon, built now with its client if they are not there yet."""
    log = user_cache() / "tests" / "buildkit.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    built(catalogue.program("buildctl"), log)
    return built(catalogue.program("buildkitd"), log)


def find_runc() -> Path:
    """The operating system's, which its Docker came with."""
    path = shutil.which("runc", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")
    assert path is not None, "runc is not installed"
    return Path(path)


_BUILDKIT = "github.com/moby/buildkit"
OLDER_BUILDKIT = catalogue.Program(
    "buildkitd-older", "go", (), f"{_BUILDKIT}/cmd/buildkitd", module=_BUILDKIT,
    ldflags=f"-X {_BUILDKIT}/version.Version=v{{version}}", folder=str(ROOT / "tests/data/go/buildkit-older"),
)  # fmt: skip
"""The daemon of the minor release before the one that is pinned."""

_GOFAKES3 = "github.com/johannesboyne/gofakes3"
_SOURCE = str(ROOT / "tests/data/go/gofakes3")
S3_SERVER = catalogue.Program("gofakes3", "go", (), f"{_GOFAKES3}/cmd/gofakes3", module=_GOFAKES3, folder=_SOURCE)


def built(program: catalogue.Program, log: Path) -> Path:
    """The program, built now where it is not there yet."""
    path = tool_cache.program_path(program)
    return path if path.is_file() else golang.build(program, log)
