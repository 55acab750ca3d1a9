"""Isolate the bridge of an attack network: containers on it reach only one another.

A bridge without an address still passes packets to this machine: the kernel answers ARP for any of its addresses on any
interface, and accepts datagrams for them. IPv6 gives the bridge an address of its own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.engine.options import bridge_of
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

SETTINGS = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/rp_filter": "1", "ipv4/conf/{}/arp_ignore": "8"}
"""No IPv6; nothing from a source to which no route leads back through here (there is none); no answer to ARP (Linux, ip-sysctl)."""

FILTERS_BRIDGES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
MARK = "deadweight-attack"
_MARKED = ("-m", "comment", "--comment", MARK)


def cut_off(bridge: str) -> None:
    """Close what leads from a bridge to this machine. Raises DeadweightError where that cannot be done."""
    for pattern, value in SETTINGS.items():
        file = Path("/proc/sys/net") / pattern.format(bridge)
        if not file.exists() and pattern.startswith("ipv6"):
            continue  # this kernel has no IPv6
        try:
            file.write_text(value)
        except OSError as error:
            raise DeadweightError(wording("network.setting", file=file, error=error.strerror)) from error


def fence(bridge: str) -> None:
    """Set the firewall's rules for a bridge. Raises DeadweightError where that cannot be done.

    One keeps from this machine what the settings let through: datagrams from no address to all of them (as DHCP sends them). The
    other lets pass what those on the bridge send each other. Where the kernel shows it bridged packets (br_netfilter), the firewall
    drops them as soon as any Docker engine has set its policy, except on networks for which an engine sets a rule such as this
    one; an engine beside another sets none.
    """
    _rules("-I", "INPUT", "-i", bridge, *_MARKED, "-j", "DROP")
    _let_pass(bridge)


def _let_pass(bridge: str) -> None:
    if filters_bridges():
        _rules("-I", "FORWARD", "-i", bridge, "-o", bridge, *_MARKED, "-j", "ACCEPT")


@contextlib.contextmanager
def trial_network(engine: Engine, purpose: str) -> Iterator[str]:
    """A network without a way out, on which a service reaches what it needs: as root, and where the engine's bridges are here, by a
    rule as ``fence`` sets one. Podman sets none for such a network, and is cut off by a Docker engine beside it."""
    with engine.network(purpose) as name:
        bridge = "" if os.geteuid() != 0 or engine.is_remote else bridge_of(name)
        try:
            if bridge:
                with contextlib.suppress(DeadweightError):  # without iptables there is no such firewall
                    _let_pass(bridge)
            yield name
        finally:
            if bridge:
                unfence(bridge)


def unfence(bridge: str = "") -> int:
    """Take a bridge's rules away, and those that killed runs left (their bridges are gone); how many there were."""
    removed = 0
    with contextlib.suppress(DeadweightError):
        for line in (*_rules("-S", "INPUT"), *_rules("-S", "FORWARD")):
            chain, *words = shlex.split(line)[1:]
            named = words[1] if MARK in words and words[0] == "-i" else ""
            if named and (named == bridge or not Path("/sys/class/net", named).exists()):
                with contextlib.suppress(DeadweightError):  # another run may be faster
                    _rules("-D", chain, *words)
                    removed += 1
    return removed


def filters_bridges() -> bool:
    """Whether the firewall is shown what passes from one container to another on the same bridge."""
    with contextlib.suppress(OSError):
        return FILTERS_BRIDGES.read_text().strip() == "1"
    return False


def _rules(action: str, chain: str, *rule: str) -> list[str]:
    return run(["iptables", "--wait", "10", action, chain, *rule], timeout=30).output.splitlines()
