"""A little internet in a network namespace of our own: a registry and an APK repository under their public host names.

``World.start`` makes a private CA, starts the servers in new network and mount namespaces, with an /etc/hosts of their own,
and ``World.run`` runs programs there. Nothing in it reaches beyond the namespace: there are its loopback, a proxy that asks for
a password, and, where a test asks for it, a container engine with its bridge.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.support import ROOT
from tests.support.certificates import authority
from tests.support.docker_registry import USER, started
from tests.support.http_servers import files, served
from tests.support.processes import port_of
from tests.support.relay import proxying, serving

HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "auth.docker.io")
REGISTRIES = (*HUB, "cgr.dev", "gcr.io")
APK_MIRROR = "apk.example.com"
FILE_HOSTS = ("packages.wolfi.dev", "dl-cdn.alpinelinux.org", "alpinelinux.org", "repo.maven.apache.org", APK_MIRROR)
MIRROR = "mirror.example.com"
LOCKED = "locked.example.com"
DEAF, ABSENT = "deaf.example.com", "absent.example.com"
PLAIN = "127.0.0.2:5000"
PROXY_HOST, PROXY_PORT = "10.99.0.1", 3128  # on loopback, but for the engine's containers to reach: not in 127.0.0.0/8
PROXY_PASSWORD = "staple-of-the-proxy"
PROXY = f"http://{USER}:{PROXY_PASSWORD}@{PROXY_HOST}:{PROXY_PORT}"
ADDRESSES = {
    "127.0.0.2": (*REGISTRIES, MIRROR),
    "127.0.0.3": FILE_HOSTS,
    "127.0.0.4": (LOCKED,),
    "127.0.0.5": (DEAF,),
    "127.0.0.6": (ABSENT,),
}
LIMIT_SECONDS = 900
ENGINE = """
import sys
from deadweight.engine.own import engine as own
own.remove_data() if sys.argv[1] == "end" else print(own.start(lambda line: print(line, file=sys.stderr)))
"""

Done = subprocess.CompletedProcess[str]


class World:
    """Running servers. ``folder`` holds ``ca.pem``, ``apk`` (served as the root of all file hosts) and ``registry`` (its storage).

    ``proxied`` is the file in which the proxy notes whom it was asked for, one HOST:PORT a line.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self._process = folder, process
        self.ca = folder / "ca.pem"
        self.proxied = folder / "proxied"
        self.digest = ""
        """Of the one image that its registry has, where a test pushed one."""

    @classmethod
    def start(cls, folder: Path, registry: Path) -> Self:
        """Start it; ``registry`` is the docker-registry program."""
        authority(folder, {"server": [name for group in ADDRESSES.values() for name in group]})
        for name in ("apk", "registry"):
            (folder / name).mkdir(exist_ok=True)
        apart = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net", "--mount", "--propagation", "private"]
        command = [*apart, sys.executable, "-m", "tests.support.public_world", str(folder.absolute()), str(registry)]
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        world = cls(folder, process)
        deadline = time.monotonic() + 60
        while not (folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                world.stop()
                raise RuntimeError("the little internet did not start")
            time.sleep(0.05)
        return world

    def inside(self, *words: str | Path) -> list[str]:
        """The same command, to be run in there."""
        pid = self._process.pid
        return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", *(str(word) for word in words)]

    def run(
        self, *words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
    ) -> Done:
        """Run a command in there; its result comes back whatever its exit code."""
        command = self.inside("env", f"--chdir={cwd or self.folder}", *words)
        environment = {**os.environ, **(env or {})}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    def engine(self, *trusting: str) -> str:
        """Start a container engine of our own in there; its address. It trusts the private CA for the registries named.

        That is done as its manual says, by /etc/docker/certs.d, which is a folder of the namespace's own.
        """
        for host in trusting:
            folder = f"/etc/docker/certs.d/{host}"
            done = self.run("sh", "-c", 'mkdir -p "$1" && cp "$2" "$1/ca.crt"', "sh", folder, self.ca)
            assert done.returncode == 0, done.stderr
        done = self.run(sys.executable, "-c", ENGINE, "start", env=engine_environment(self.folder))
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self) -> None:
        """End the engine and the servers; the namespaces go with them."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(60)


def engine_environment(folder: Path) -> dict[str, str]:
    """Where the engine in there keeps its data: by a name so long that no socket could be made below it."""
    return {"DEADWEIGHT_CACHE_DIR": str(folder / "engine" / ("x" * 80))}


def _serve(folder: Path, registry: Path) -> None:
    hosts = "".join(f"{address} {' '.join(names)}\n" for address, names in ADDRESSES.items())
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "address", "add", f"{PROXY_HOST}/32", "dev", "lo"], check=True)
    subprocess.run(["mount", "--bind", folder / "hosts", "/etc/hosts"], check=True)
    Path("/etc/docker").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/docker"], check=True)
    data = folder / "registry"
    children = [
        started(registry, folder / "plain", PLAIN, data=data),
        started(registry, folder / "public", "127.0.0.2:443", data=data, tls=folder),
        started(registry, folder / "locked", "127.0.0.4:443", data=data, tls=folder, locked=True),
    ]
    for child, name in zip(children, ("plain", "public", "locked"), strict=True):
        port_of(child, folder / name / "log")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        certificate, word = (folder / "server.pem", folder / "server.key"), f"{USER}:{PROXY_PASSWORD}"
        with (
            served(files(folder / "apk"), ("127.0.0.3", 443), certificate),
            serving(lambda: proxying(PROXY_HOST, PROXY_PORT, password=word, asked=folder / "proxied")),
            socket.create_server(("127.0.0.5", 443)),  # this one is deaf
        ):
            (folder / "ready").touch()
            time.sleep(LIMIT_SECONDS)
    finally:
        if (folder / "engine").exists():
            environment = {**os.environ, **engine_environment(folder)}
            subprocess.run([sys.executable, "-c", ENGINE, "end"], env=environment, check=False, timeout=50)
            shutil.rmtree(folder / "engine", ignore_errors=True)
        for child in children:
            child.terminate()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
