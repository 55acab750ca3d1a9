"""Which TCP ports a container's processes listen on, read from the kernel: no tool in the image is needed.

Source of the format: proc(5), "/proc/net/tcp"; state 0A is LISTEN (include/net/tcp_states.h).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.engine import netns

_LISTEN = "0A"
_DNS_OF_DOCKER = "127.0.0.11"
"""Docker's own name server listens there in networks that are not the default one."""


@dataclass(frozen=True, order=True)
class Listener:
    """One socket that waits for connections."""

    port: int
    address: str

    @property
    def loopback(self) -> bool:
        """Whether only the container itself can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def told(found: Sequence[Listener] | None, port: int | None, exposed: Sequence[int] = ()) -> str:
    """A clause for a service that does not answer: what it listens on instead, and the next step; empty where that says nothing.

    ``exposed`` are the ports that the image's EXPOSE names.
    """
    says = f"EXPOSE declares {', '.join(map(str, exposed))}" if exposed and port not in exposed else ""
    if found is None:
        return f"{says}, but port: is {port}" if says else ""
    if not found:
        return "it listens on no TCP port" + (f"; {says}, but port: is {port}" if says else "")
    right = [each for each in found if each.port == port]
    if right and all(each.loopback for each in right):
        where = right[0].address
        return (
            f"it listens on {where}:{port} only, which cannot be reached from outside the container: bind it to 0.0.0.0"
        )
    if right:
        return ""
    reached = [each for each in found if not each.loopback] or found
    likely = next((each for each in reached if each.port in exposed), reached[0])
    ports = ", ".join(dict.fromkeys(str(each.port) for each in found))
    local = "" if not likely.loopback else f", and bind it to 0.0.0.0 instead of {likely.address}"
    return f"it listens on {ports}, but port: is {port}{f', {says}' if says else ''}: set port: {likely.port}{local}"


def parse(text: str) -> Iterator[Listener]:
    """The listening sockets of one or more tables of the kernel's."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTEN or ":" not in fields[1]:
            continue
        host, _, port = fields[1].rpartition(":")
        try:
            address, number = _address(host), int(port, 16)
        except (ValueError, struct.error):
            continue  # an image's own program may have written it
        if address != _DNS_OF_DOCKER:
            yield Listener(number, address)


def _address(digits: str) -> str:
    """Each 32 bits are in the machine's order (net/ipv4/tcp_ipv4.c, ``get_openreq4``; all machines here are little-endian)."""
    words = bytes.fromhex(digits)
    raw = b"".join(struct.pack(">I", word) for word in struct.unpack(f"<{len(words) // 4}I", words))
    return str(ipaddress.ip_address(raw))


def from_here(pid: int, container: str) -> str | None:
    """The tables as this machine sees them; None where the container's processes are not this machine's."""
    if not netns.is_process_of(pid, container):
        return None
    try:
        return "\n".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    except OSError:
        return None
