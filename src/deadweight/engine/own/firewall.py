"""The way out of a bridge of ours beside another engine: firewall rules in chains of our own, which no engine writes.

Another engine has closed the way between networks (``FORWARD`` lets nothing through), and hides only its own networks behind the
machine's addresses. Our chains are called like our bridge. They are asked after all others' rules, so that what this machine's
administrator forbids stays forbidden; and they open the way to the interfaces that lead out of this machine, not to others'
bridges, whose containers would be reached by no port that they publish.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from pathlib import Path

from deadweight._run import run

_WAIT = ("--wait", "10")
_PLACES = (("nat", "POSTROUTING"), ("filter", "FORWARD"))
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def usable() -> bool:
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
    for out in (bridge, *_ways_out()):
        _do("filter", "-A", bridge, "-i", bridge, "-o", out, "-j", "ACCEPT")


def close_way(bridge: str) -> None:
    """Take the rules of a bridge away, as far as they are there."""
    for table, chain in _PLACES:
        if _does(table, "-L", bridge, "-n"):
            for words in (("-D", chain, "-j", bridge), ("-F", bridge), ("-X", bridge)):
                _does(table, *words)


def _ways_out() -> Iterator[str]:
    """The interfaces that a route leads to and that are no bridge (``/proc/net/route``)."""
    lines = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    for name in dict.fromkeys(line.split()[0] for line in lines):
        if not Path("/sys/class/net", name, "bridge").exists():
            yield name


def _do(table: str, *words: str) -> None:
    run(["iptables", *_WAIT, "-t", table, *words], timeout=30)


def _does(table: str, *words: str) -> bool:
    if shutil.which("iptables") is None:
        return False
    return run(["iptables", *_WAIT, "-t", table, *words], check=False, timeout=30).exit_code == 0
