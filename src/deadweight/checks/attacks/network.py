"""Cuts this machine off from the bridge of an attack network: who is on it reaches others on it, and nothing else.

A bridge without an address still hands this machine what is sent to it. The kernel answers ARP for every address that it has, on
whatever interface, and takes datagrams for them; and IPv6 gives the bridge an address of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

SETTINGS = {"ipv6/conf/{}/disable_ipv6": "1", "ipv4/conf/{}/rp_filter": "1", "ipv4/conf/{}/arp_ignore": "8"}
"""No IPv6; nothing from a source to which no route leads back through here (there is none); no answer to ARP (Linux, ip-sysctl)."""


def cut_off(engine: Engine, network: str) -> None:
    """Close what leads from a network's bridge to this machine. Raises DeadweightError where that cannot be done."""
    with translated(f"network {network}"):
        bridge = f"br-{engine.api.inspect_network(network)['Id'][:12]}"
    for pattern, value in SETTINGS.items():
        file = Path("/proc/sys/net") / pattern.format(bridge)
        if not file.exists() and pattern.startswith("ipv6"):
            continue  # this kernel has no IPv6
        try:
            file.write_text(value)
        except OSError as error:
            raise DeadweightError(f"{file}: {error.strerror}") from error
