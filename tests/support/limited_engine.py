"""An engine as a desktop product or another machine has it: a real dockerd, of which its client gets no more than a socket.

It has processes, mounts and a network of its own. Its client is a user without root, who reaches it through a Docker context and a
relay, sees no process, control group or socket of this machine, and shares one folder with it. Published ports are passed on to
loopback a moment after they are published; no route leads to a container's address.

It may be one for arm64, as on Apple silicon: QEMU runs its containers, and its relay says so to whoever asks.
"""

import asyncio
import contextlib
import functools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deadweight.engine import api, netns
from deadweight.records.paths import user_cache
from deadweight.toolchain.find import find
from tests.support import ROOT, relay
from tests.support.caches import MINE, fresh_cache, linked
from tests.support.invoking import SECONDS
from tests.support.processes import engine_at
from tests.support.trees import written

USER = 61_000 + os.getpid() % 1000
"""Of this process of tests alone, who sees no other's processes."""
INVOKE = (sys.executable, "-m", "invoke")
CONTEXT = "limited"
LOOK_SECONDS = 0.1
NAME = "dw-limited-"
"""Its folder, and its containers' parent among the control groups of this machine, are called so and by the test's process."""
KEEPS = """
keep() { mkdir -p "/mnt/$1" && mount --bind "$1" "/mnt/$1"; }
put_back() { mkdir -p "$1" && mount --bind "/mnt/$1" "$1"; }
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
"""
ENGINE = f"""{KEEPS}
keep "$1/home/shared" && keep "$1/engine"
for place in /* /var/lib /var/tmp; do
  case $place in /bin | /boot | /dev | /etc | /lib* | /mnt | /proc | /sbin | /sys | /usr | /var) continue ;; esac
  test ! -d $place || mount -t tmpfs tmpfs $place
done
put_back "$1/home/shared" && put_back "$1/engine"
mount -t proc proc /proc
ip link set lo up
echo "$2 $(($2 + 999))" >/proc/sys/net/ipv4/ip_local_port_range
if test -n "$4"; then
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  test -e /proc/sys/fs/binfmt_misc/qemu-aarch64 || printf %s ":$3:$4" >/proc/sys/fs/binfmt_misc/register
fi
exec dockerd --config-file "$1/engine/none.json" --host "unix://$1/engine/docker.sock" --data-root /run/data \\
  --exec-root /run/docker --pidfile /run/docker.pid --exec-opt native.cgroupdriver=cgroupfs \\
  --cgroup-parent "$3" --bip 10.213.0.1/24 --log-level warn
"""
"""All that it keeps is in memory: nothing is left once its first process has ended, however that came."""
ARM64 = (
    r"M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{program}:OCPF"
)
"""What the kernel is told of QEMU (its ``binfmt-misc``): opened once, so that containers need not have it, and as a processor it
keeps set-user-ID bits and a program's own name. Kernels before 6.7 do not forget it by themselves (``_remove``)."""
FORGET = "mount -t binfmt_misc binfmt_misc /mnt && test ! -e /mnt/$1 || echo -1 >/mnt/$1"
END = b"\r\n\r\n"
OF_ITSELF = re.compile(rb"GET (?:/v[\d.]+)?/(?:version|info) ")
MAKES = re.compile(rb"^(POST (?:/v[\d.]+)?/(?:build|images/create|containers/create)(?=[? ]))\??(?!\S*platform=)")
CLIENT = f"""{KEEPS}
folder=$1 user=$2 kept=$3 closed=$4
shift 4
for place in $kept; do keep $place; done
for place in $closed /run /sys/fs/cgroup "$folder/engine"; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
for place in $kept; do put_back $place; done
mount -t proc -o hidepid=2 proc /proc
exec setpriv --reuid $user --regid $user --clear-groups --no-new-privs "$@"
"""


@dataclass(frozen=True)
class Limited:
    """``shared`` is seen by the engine at the same path; ``home`` around it is not. ``host``: the engine for who is root."""

    folder: Path
    host: str
    env: Mapping[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def shared(self) -> Path:
        return self.home / "shared"

    def argv(self, *words: str | Path) -> list[str]:
        """What runs a program as that user. It stays one process: signals reach the program."""
        ours = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
        closed = {Path("/root"), *(folder for path in ours for folder in _closed_above(path))}
        kept = [path for path in ours if any(path.is_relative_to(folder) for folder in closed)]
        lists = [" ".join(sorted(map(str, paths))) for paths in (kept, closed)]
        start = ["unshare", "--mount", "sh", "-c", CLIENT, "sh", str(self.folder), str(USER), *lists]
        return [*start, *map(str, words)]

    def start(self, folder: Path, *words: str | Path) -> subprocess.Popen[str]:
        """Start a program as that user; what it says on stderr follows its output."""
        out, both = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(
            self.argv(*words), cwd=folder, env=self.env, stdin=out, stdout=out, stderr=both, text=True
        )

    def run(self, folder: Path, *words: str | Path, stdin: str = "", code: int = 0) -> str:
        """Run a program to its end; gives what it said."""
        return ended(self.start(folder, *words), stdin, code)

    def owned(self, folder: Path) -> Path:
        """Give the folders below to the user: files may be hard links to others'."""
        for path, _, _ in os.walk(folder):
            os.chown(path, USER, USER)
        return folder

    @property
    def unforwarded(self) -> Path:
        """While this file is there, published ports are not passed on."""
        return self.folder / "engine" / "unforwarded"


def document(output: str) -> Any:
    """The JSON object that stands among the lines of progress."""
    return json.JSONDecoder().raw_decode(output[re.search(r"(?m)^\{", output).start() :])[0]  # type: ignore[union-attr]


def verified(limited: Limited, project: Path, *words: str) -> dict[str, str]:
    """The status of each check."""
    rows = document(limited.run(project, *INVOKE, "verify", *words, "--json"))["evidence"]
    return {f"{row['variant']}/{row['check']}": row["status"] for row in rows}


def _closed_above(path: Path) -> list[Path]:
    """The outermost folder around it that only root may enter, if there is one."""
    return [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001][:1]


def ended(process: subprocess.Popen[str], stdin: str = "", code: int = 0) -> str:
    """What a program said until its end. No traceback, and never the advice to become root, which helps nobody there."""
    with process:
        try:
            output, _ = process.communicate(stdin, SECONDS)
        finally:
            process.kill()
    assert process.returncode == code, f"exit code {process.returncode}, not {code}\n{output}"
    assert not re.search("Traceback|(this|command) as root|sudo", output), output
    return output


@contextlib.contextmanager
def limited_engine(architecture: str = MINE) -> Iterator[Limited]:
    """All of it is gone afterwards; after a crash all but files, which the next one removes."""
    sweep()
    folder = Path(f"/var/tmp/{NAME}{os.getpid()}")  # where who is not root enters
    written(folder, {"engine/none.json": "{}", "home/shared/none": "", "home/docker/none": ""})
    ports = 10_000 + os.getpid() % 20 * 1000
    host = f"unix://{folder}/engine/docker.sock"
    # ended with us: the shell by the kernel, and with it the first process of all the others
    start = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    emulated = ARM64.format(program=find("qemu-aarch64-static").path) if architecture != MINE else ""
    start += ["sh", "-c", ENGINE, "sh", str(folder), str(ports), folder.name, emulated]
    try:
        with (
            engine_at(host, start, folder / "engine" / "log"),
            relay.serving(functools.partial(_passed_on, folder, host, _as_arm64 if emulated else relay.joined)),
        ):
            made = Limited(folder, host, _environment(folder, architecture))
            (folder / "engine").chmod(0o700)
            made.owned(made.home)
            address = f"host=unix://{folder}/home/engine.sock"
            made.run(made.home, "docker", "context", "create", CONTEXT, "--docker", address)
            made.run(made.home, "docker", "context", "use", CONTEXT)
            yield made
    finally:
        _remove(folder)


def sweep() -> None:
    """Remove what tests left that were killed: files, and empty control groups."""
    for other in Path("/var/tmp").glob(f"{NAME}*"):
        if not Path("/proc", other.name.removeprefix(NAME)).exists():
            _remove(other)


def _remove(folder: Path) -> None:
    groups = Path("/sys/fs/cgroup")  # of version 2, or of each controller of version 1
    for group in sorted([*groups.glob(f"{folder.name}/**/"), *groups.glob(f"*/{folder.name}/**/")], reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()
    subprocess.run(["unshare", "--mount", "sh", "-c", FORGET, "sh", folder.name], capture_output=True, timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path, architecture: str) -> dict[str, str]:
    """With our programs, which would take a minute to compile, in a cache of the user's own."""
    cache = fresh_cache(folder / "home" / "cache", programs=True, architecture=architecture)
    tools = shutil.ignore_patterns(".*", "versions.json")
    shutil.copytree(user_cache() / "tools", cache / "tools", copy_function=linked, ignore=tools)
    kept = {name: value for name, value in os.environ.items() if name.endswith(("_CA_BUNDLE", "_CERT_FILE"))}
    names = {"HOME": "home", "DEADWEIGHT_CACHE_DIR": "home/cache", "DOCKER_CONFIG": "home/docker"}
    return {
        **kept, **{name: str(folder / place) for name, place in names.items()},
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "LANG": "C.UTF-8",
        # BuildKit's own default, which no relay can tell
        **({"DOCKER_DEFAULT_PLATFORM": f"linux/{architecture}"} if architecture != MINE else {}),
    }  # fmt: skip


async def _passed_on(folder: Path, host: str, join: Callable[..., Coroutine[None, None, None]]) -> asyncio.Server:
    """The engine's socket as the user reaches it; and its published ports."""
    task = asyncio.get_running_loop().create_task(_ports(host, folder / "engine" / "unforwarded"))
    task.add_done_callback(lambda done: done.cancelled() or done.result())
    place = folder / "home" / "engine.sock"
    server = await asyncio.start_unix_server(
        lambda *ends: join(ends, lambda: asyncio.open_unix_connection(host.removeprefix("unix://"))), place
    )
    place.chmod(0o666)
    return server


async def _as_arm64(front: relay.Ends, behind: relay.Open) -> None:
    """One request a connection: what the engine says of its processor is put right, and what it makes is for arm64."""
    try:
        head = MAKES.sub(rb"\1?platform=linux%2Farm64&", await front[0].readuntil(END))
        if not re.search(rb"(?i)\r\nupgrade:", head):
            head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        if OF_ITSELF.match(head):
            head = head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)  # answered in one piece
        reader, writer = await behind()
        writer.write(head)
        if not OF_ITSELF.match(head):

            async def begun() -> relay.Ends:
                return reader, writer

            await relay.joined(front, begun)
            return
        top, _, content = (await reader.read()).partition(END)
        content = content.replace(b'"amd64"', b'"arm64"').replace(b'"x86_64"', b'"aarch64"')
        front[1].write(re.sub(rb"(?i)\r\ncontent-length:[^\r]*", b"", top) + END + content)
        await front[1].drain()
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        pass  # nobody asks
    finally:
        front[1].close()


async def _ports(host: str, closed: Path) -> None:
    """Pass the published ports on, while their containers run."""
    servers: dict[int, asyncio.Server] = {}
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(host.removeprefix("unix://"))
        pid = struct.unpack("3i", there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:

        def dial(port: int) -> socket.socket:
            return netns.inside(network.fileno(), lambda: socket.create_connection(("127.0.0.1", port), 10))

        async def behind(port: int) -> relay.Ends:
            return await asyncio.open_connection(sock=await asyncio.to_thread(dial, port))

        try:
            while True:
                listed = await asyncio.to_thread(api.listing, host, "/containers/json")
                wanted = {port["PublicPort"] for one in listed for port in one["Ports"] if "PublicPort" in port}
                wanted -= wanted if closed.exists() else set()
                for port in wanted - servers.keys():
                    servers[port] = await relay.listening(functools.partial(behind, port), port=port)
                for port in servers.keys() - wanted:
                    servers.pop(port).close()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for server in servers.values():
                server.close()
