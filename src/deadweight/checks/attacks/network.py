"""The bridge of an attack network: who is on it reaches others on it, and nothing else.

A bridge without an address still hands this machine what is sent to it. The kernel answers ARP for every address that it has, on
whatever interface, and takes datagrams for them; and IPv6 gives the bridge an address of its own.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

SETTINGS = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/rp_filter": "1", "ipv4/conf/{}/arp_ignore": "8"}
"""No IPv6; nothing from a source to which no route leads back through here (there is none); no answer to ARP (Linux, ip-sysctl)."""

FILTERS_BRIDGES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
MARK = "deadweight-attack"


def bridge_of(engine: Engine, network: str) -> str:
    """The name of a network's bridge on the engine's machine."""
    with translated(f"network {network}"):
        return f"br-{engine.api.inspect_network(network)['Id'][:12]}"


def cut_off(bridge: str) -> None:
    """Close what leads from a bridge to this machine. Raises DeadweightError where that cannot be done."""
    for pattern, value in SETTINGS.items():
        file = Path("/proc/sys/net") / pattern.format(bridge)
        if not file.exists() and pattern.startswith("ipv6"):
            continue  # this kernel has no IPv6
        try:
            file.write_text(value)
        except OSError as error:
            raise DeadweightError(f"{file}: {error.strerror}") from error


def let_pass(bridge: str) -> None:
    """Have this machine's firewall pass what those on a bridge send each other. Raises DeadweightError where that cannot be done.

    Where the kernel shows it bridged packets (br_netfilter), it drops them as soon as any Docker engine has set its policy, except
    those of networks for which an engine sets a rule such as this one. An engine beside another sets none.
    """
    if _filters_bridges():
        _forward("-I", *_rule(bridge))


def forget(bridge: str) -> None:
    """Take the rule of ``let_pass`` away, and those that killed runs left: their bridges are gone."""
    if not _filters_bridges():
        return
    with contextlib.suppress(DeadweightError):
        for line in _forward("-S").splitlines():
            words = shlex.split(line)[2:]  # after -A FORWARD
            named = words[1] if MARK in words and words[0] == "-i" else ""
            if named and (named == bridge or not Path("/sys/class/net", named).exists()):
                with contextlib.suppress(DeadweightError):  # another run may be faster
                    _forward("-D", *words)


def _filters_bridges() -> bool:
    with contextlib.suppress(OSError):
        return FILTERS_BRIDGES.read_text().strip() == "1"
    return False


def _rule(bridge: str) -> tuple[str, ...]:
    return ("-i", bridge, "-o", bridge, "-m", "comment", "--comment", MARK, "-j", "ACCEPT")


def _forward(action: str, *rule: str) -> str:
    return run(["iptables", "--wait", "10", action, "FORWARD", *rule], timeout=30).output
