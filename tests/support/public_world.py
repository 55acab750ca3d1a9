"""A little internet in a network namespace of our own: the local stand-ins and APK packages under their public host names.

``World.start`` makes a private CA, starts the servers in new network and mount namespaces, with an /etc/hosts of their own,
and ``World.run`` runs programs there. Nothing in it reaches beyond the namespace: there are its loopback, a proxy that asks for
a password, and, where a test asks for it, a container engine with its bridge. Packages are signed with a key of the public name.
Maven Central is this user's own local repository.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from deadweight.builders.jib.projects import JIB, JIB_VERSION
from deadweight.records.reference import parse
from deadweight.sources.remote import KEYS, REPOSITORIES
from deadweight.toolchain.find import find
from deadweight_standins.machine import this_machine
from deadweight_standins.source import LocalSource
from tests.support import ROOT
from tests.support.certificates import authority
from tests.support.docker_registry import USER, started
from tests.support.http_servers import files, served
from tests.support.processes import port_of, wait_for
from tests.support.relay import proxying, serving

REGISTRIES = ("docker.io", "index.docker.io", "registry-1.docker.io", "auth.docker.io", "cgr.dev", "gcr.io")
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
    "127.0.0.2": (*REGISTRIES, MIRROR), "127.0.0.3": FILE_HOSTS, "127.0.0.4": (LOCKED,), "127.0.0.5": (DEAF,),
    "127.0.0.6": (ABSENT,),
}  # fmt: skip
ENGINE = """
import sys
from deadweight.engine.own import engine as own
own.remove_data() if sys.argv[1] == "end" else print(own.start(lambda line: print(line, file=sys.stderr)))
"""


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
        wait_for(lambda: (folder / "ready").exists() or process.poll() is not None)
        assert process.poll() is None, "the little internet did not start"
        return cls(folder, process)

    def run(
        self, *words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there; its result comes back whatever its exit code."""
        spaces = (f"--{kind}=/proc/{self._process.pid}/ns/{name}" for kind, name in (("net", "net"), ("mount", "mnt")))
        command = ["nsenter", *spaces, "env", f"--chdir={cwd or self.folder}", *words]
        environment = {**os.environ, **(env or {})}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    def need(self, *words: str | Path, **how: Any) -> str:
        """What a command prints in there that must succeed."""
        done = self.run(*words, **how)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def engine(self, *trusting: str) -> str:
        """Start a container engine of our own in there; its address. It trusts the private CA for the registries named.

        That is done as its manual says, by /etc/docker/certs.d, which is a folder of the namespace's own.
        """
        for host in trusting:
            self.need("sh", "-c", 'mkdir -p "$1" && cp "$2" "$1/ca.crt"', "sh", f"/etc/docker/certs.d/{host}", self.ca)
        return self.need(sys.executable, "-c", ENGINE, "start", env=engine_environment(self.folder)).strip()

    def serve_images(self, source: LocalSource, references: Sequence[str], mirrored_below: str) -> None:
        """Each stand-in under its public name, and once more below a prefix; within one registry no blob is copied."""
        for reference in references:
            base, public = source.base(reference), parse(reference)
            held = base.resolved.split("/", 1)[1].split("@")[0]
            for name in (public.repository, f"{mirrored_below}/{public.host}/{public.repository}"):
                to = f"{PLAIN}/{name}:{public.tag or 'latest'}"
                self.need(find("crane").path, "copy", "--insecure", f"{PLAIN}/{held}@{base.digest}", to)

    def serve_packages(self, source: LocalSource) -> None:
        """The stand-in packages as Wolfi's and Alpine's."""
        for flavour in ("wolfi", "alpine"):
            self._publish(source.folder / "apk" / flavour, REPOSITORIES[flavour][0], KEYS[flavour][0])
        (self.folder / "apk" / "releases.json").write_text(json.dumps(_releases()))

    def serve_maven(self, project: Path) -> None:
        """This user's local Maven repository as Maven Central, warmed with what this project's builds need."""
        # Java's home is the account's, whatever HOME says
        repository = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".m2" / "repository"
        goals = ("package", "dependency:copy-dependencies", f"{JIB}:{JIB_VERSION}:buildTar")
        image = ("-Djib.from.image=scratch", f"-Djib.outputPaths.tar={project}/target/warmed.tar")
        words = ("-B", "-q", "-Dmaven.test.skip=true", "-DincludeScope=runtime", *goals, *image)
        mvn = find("mvn").path
        # other projects leave some of the same plugins there: only a build without a network tells that it has all
        if subprocess.run([mvn, "-o", *words], cwd=project, capture_output=True, timeout=300).returncode:
            subprocess.run([mvn, *words], cwd=project, check=True, timeout=300)
        (self.folder / "apk" / "maven2").symlink_to(repository)

    def _publish(self, source: Path, repository: str, key: str) -> None:
        """Serve packages at a public URL, their index signed with a key of the public name."""
        root = self.folder / "apk"
        folder = root / repository.split("/", 3)[3] / this_machine().apk
        folder.mkdir(parents=True)
        for package in (source / this_machine().apk).glob("*.apk"):
            shutil.copy(package, folder)
        public = root / key.split("/", 3)[3]
        public.parent.mkdir(parents=True, exist_ok=True)
        private = self.folder / public.name.removesuffix(".pub")
        melange = find("melange").path
        self.need(melange, "keygen", private.name)
        shutil.copy(self.folder / public.name, public)
        names = sorted(path.name for path in folder.glob("*.apk"))
        self.need(melange, "index", "--arch", this_machine().apk, "--signing-key", private, *names, cwd=folder)

    def stop(self) -> None:
        """End the engine and the servers; the namespaces go with them."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(60)


def _releases() -> dict[str, object]:
    """What apko asks alpinelinux.org for when it meets one of Alpine's own repositories."""
    branch = REPOSITORIES["alpine"][0].split("/")[-2]
    keys = {this_machine().apk: [{"url": KEYS["alpine"][0]}]}
    repositories = {"arches": list(keys), "keys": keys, "repos": [{"name": "main"}]}
    known = {"rel_branch": branch, "git_branch": branch, **repositories}
    return {"architectures": list(keys), "latest_stable": branch, "release_branches": [known]}


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
    children = {
        "plain": started(registry, folder / "plain", PLAIN, data=data),
        "public": started(registry, folder / "public", "127.0.0.2:443", data=data, tls=folder),
        "locked": started(registry, folder / "locked", "127.0.0.4:443", data=data, tls=folder, locked=True),
    }
    for name, child in children.items():
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
            time.sleep(900)
    finally:
        if (folder / "engine").exists():
            environment = {**os.environ, **engine_environment(folder)}
            subprocess.run([sys.executable, "-c", ENGINE, "end"], env=environment, check=False, timeout=50)
            shutil.rmtree(folder / "engine", ignore_errors=True)
        for child in children.values():
            child.terminate()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
