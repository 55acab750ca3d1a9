"""Change this machine for our own engine: end processes, mount folders and control groups, make a bridge and its firewall rules."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from deadweight._errors import wording
from deadweight._run import run


class Process(NamedTuple):
    """One process: ``command`` is its argument list as one string, ``name`` what the kernel calls it."""

    pid: int
    parent: int
    name: str
    command: str


def read_process(pid: int) -> Process | None:
    """The process of that number; None if there is none, or only its exit code is left (a zombie)."""
    folder = Path("/proc") / str(pid)
    try:
        name, _, rest = (folder / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else Process(pid, int(parent), name, command)


def everyone() -> Iterator[Process]:
    """All processes that live."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return filter(None, map(read_process, pids))


def same_network(pid: int) -> bool:
    """Whether a process shares our network namespace."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net")
    return False


def end_process(pid: int, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the grace; returns when the process is gone, or five seconds after SIGKILL."""
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if read_process(pid) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and read_process(pid) is not None:
            time.sleep(0.05)


def kill_containers_of(run_folder: Path) -> None:
    """End the containers that a killed engine left running. The next dockerd would wait ten seconds for each of them."""
    living = list(everyone())
    ours = (process for process in living if str(run_folder) in process.command)
    shims = {process.pid for process in ours if "containerd-shim" in process.command}
    for process in living:
        if process.parent in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    for pid in shims:
        end_process(pid, 2.0)


# Mounts of an engine of ours, on Linux and as root.
def bind(held: Path, shown: Path) -> None:
    """Show the folder ``held`` at ``shown`` too; both are made if missing, for us alone. Raises CommandError, OSError."""
    for folder in (held, shown):
        folder.mkdir(mode=0o700, exist_ok=True)
    run(["mount", "--bind", held, shown], timeout=30)


def unmount_below(folder: Path) -> None:
    """Undo what is mounted on a folder or below it, the last first; what is in use goes once it no longer is."""
    with contextlib.suppress(OSError):
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4].encode().decode("unicode_escape")
            if point == str(folder) or point.startswith(f"{folder}/"):
                run(["umount", "-l", point], check=False, timeout=30)


# Control groups: an engine does not start where nobody mounted them, as on a machine without systemd.
CGROUP_FOLDER = "/sys/fs/cgroup"


def _cgroup_mounts() -> Iterator[tuple[str, str, list[str]]]:
    """Place, kind and options of what is mounted at the usual place of control groups, or below it."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        if kind in ("cgroup", "cgroup2", "tmpfs") and f"{point}/".startswith(f"{CGROUP_FOLDER}/"):
            yield point, kind, options.split(",")


def has_cgroups() -> bool:
    """Whether control groups, of version 1 or 2, are mounted at their usual place."""
    return any(kind != "tmpfs" for _, kind, _ in _cgroup_mounts())


def prepare_cgroups(say: Callable[[str], None]) -> None:
    """Mount them if nobody did: by Debian's script for it (version 1 with all controllers), else version 2. Mount them anew, for
    this mount namespace alone, if no engine can write them, as in a container that is not privileged. What fails, dockerd tells."""
    if not has_cgroups():
        say(wording("engine.mounting_cgroups"))
        script = shutil.which("cgroupfs-mount")
        run([script] if script else ["mount", "-t", "cgroup2", "cgroup2", CGROUP_FOLDER], check=False, timeout=60)
    elif points := [point for point, _, options in _cgroup_mounts() if "ro" in options]:
        say(wording("engine.mounting_cgroups_writable"))
        for point in points:
            run(["mount", "-o", "remount,bind,rw", point], check=False, timeout=60)


# Create and remove a network bridge for our own engine if another one runs. Linux; plain ioctls, no ``ip`` needed.
#
# Numbers and structures: ``linux/sockios.h``, ``linux/if.h``.
_ADD_BRIDGE, _DELETE_BRIDGE = 0x89A0, 0x89A1
_GET_FLAGS, _SET_FLAGS, _SET_ADDRESS, _SET_NETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_UP = 0x1
LOCK = "/run/deadweight-bridge.lock"
"""Of this machine: engines of other users and caches choose networks too."""


def bridge_exists(name: str) -> bool:
    """Whether there is a network interface of that name."""
    return Path("/sys/class/net", name).exists()


def create_bridge(name: str, network: ipaddress.IPv4Network) -> None:
    """Make a bridge with the first address of ``network``; an existing one of that name is taken over. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        if not bridge_exists(name):
            fcntl.ioctl(control, _ADD_BRIDGE, name.encode() + b"\0")
        fcntl.ioctl(control, _SET_ADDRESS, _address(name, next(network.hosts())))
        fcntl.ioctl(control, _SET_NETMASK, _address(name, network.netmask))
        _set_up(control, name, up=True)


def create_on_free_network(name: str) -> ipaddress.IPv4Network:
    """Make a bridge on a network that no other takes, though another engine starts at the same moment. Raises OSError."""
    from filelock import FileLock

    with FileLock(LOCK):
        network = free_network()
        create_bridge(name, network)
    return network


def delete_bridge(name: str) -> None:
    """Remove a bridge, if it is there."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _set_up(control, name, up=False)
        fcntl.ioctl(control, _DELETE_BRIDGE, name.encode() + b"\0")


def free_network() -> ipaddress.IPv4Network:
    """A private /24 that no route of this machine leads to."""
    # all routes but the default one; destination and mask are little-endian hex
    taken = [
        ipaddress.IPv4Network(
            f"{socket.inet_ntoa(struct.pack('<L', int(row[1], 16)))}/{mask.bit_count()}", strict=False
        )
        for row in _routes()
        if (mask := int(row[7], 16))
    ]
    for third in range(40, 250):
        candidate = ipaddress.IPv4Network(f"10.231.{third}.0/24")
        if not any(candidate.overlaps(route) for route in taken):
            return candidate
    raise OSError("no free private network for a bridge")


def _routes() -> list[list[str]]:
    """The kernel's table of routes (``/proc/net/route``), the interface first."""
    return [line.split() for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]]


def _address(name: str, address: ipaddress.IPv4Address) -> bytes:
    return struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, address.packed)


def _set_up(control: socket.socket, name: str, *, up: bool) -> None:
    answer = fcntl.ioctl(control, _GET_FLAGS, struct.pack("16sH14x", name.encode(), 0))
    flags = struct.unpack("16sH14x", answer)[1]
    wanted = flags | _UP if up else flags & ~_UP
    fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", name.encode(), wanted))


# The way out of a bridge of ours beside another engine: firewall rules in chains of our own, which no engine writes.
#
# Another engine has closed the way between networks (``FORWARD`` lets nothing through), and hides only its own networks behind
# the machine's addresses. Our chains are called like our bridge. They are asked after all others' rules, so that what this
# machine's administrator forbids stays forbidden; and they open the way to the interfaces that lead out of this machine, not to
# others' bridges, whose containers would be reached by no port that they publish.
_WAIT = ("--wait", "10")
_PLACES = (("nat", "POSTROUTING"), ("filter", "FORWARD"))
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def has_iptables() -> bool:
    """Whether iptables is there, and this kernel lets it."""
    return _does("nat", "-L", "-n")


def open_way(bridge: str, network: ipaddress.IPv4Network) -> None:
    """Let containers on our bridge reach one another and what lies beyond this machine. Raises CommandError, OSError."""
    close_way(bridge)
    if _FORWARDING.read_text().strip() == "0":
        _FORWARDING.write_text("1")
    for table, chain in _PLACES:
        _do(table, "-N", bridge)
        _do(table, "-A", chain, "-j", bridge)
    _do("nat", "-A", bridge, "-s", str(network), "!", "-o", bridge, "-j", "MASQUERADE")
    _do("filter", "-A", bridge, "-o", bridge, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
    leading = dict.fromkeys(row[0] for row in _routes())  # the interfaces that a route leads to
    for out in (bridge, *(name for name in leading if not Path("/sys/class/net", name, "bridge").exists())):
        _do("filter", "-A", bridge, "-i", bridge, "-o", out, "-j", "ACCEPT")
    # What stays on one bridge, where the kernel shows it to the firewall (br_netfilter): networks that are made in our engine are
    # called br-ID, those that we make dw-ID, and the other engine lets only its own pass.
    for one in ("br-+", "dw-+"):
        _does("filter", "-A", bridge, "-i", one, "-o", one, "-m", "physdev", "--physdev-is-bridged", "-j", "ACCEPT")


def close_way(bridge: str) -> None:
    """Take the rules of a bridge away, as far as they are there."""
    for table, chain in _PLACES:
        if _does(table, "-L", bridge, "-n"):
            for words in (("-D", chain, "-j", bridge), ("-F", bridge), ("-X", bridge)):
                _does(table, *words)


def _do(table: str, *words: str, check: bool = True) -> bool:
    return run(["iptables", *_WAIT, "-t", table, *words], check=check, timeout=30).exit_code == 0


def _does(table: str, *words: str) -> bool:
    return shutil.which("iptables") is not None and _do(table, *words, check=False)
