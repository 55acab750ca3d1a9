"""Run a stand-in for the cloud metadata address (169.254.169.254) on the attack network.

Like version 1 of such services, it answers every request without a token. In each attacked container's network, packets to that
address go to the attacker. So only the engine's firewall rules decide what passes, and nothing gets out, wherever this machine
runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.engine import netns
from deadweight.engine.container import frame
from deadweight.engine.faults import translated
from deadweight_attacks.listeners import Serving

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.sidecars import Tunnels
    from deadweight_attacks.attacker import Attacker

ADDRESS, PORT = "169.254.169.254", 80
PATIENCE_SECONDS, START_SECONDS, ARRIVES_SECONDS = 0.5, 20.0, 3.0
ASKS_FOR = b"\r\n\r\n"

SIOCADDRT, SIOCGIFADDR = 0x890B, 0x8915
"""Requests to the kernel (netdevice(7), route(7))."""
RTF_UP, RTF_HOST = 0x1, 0x4
EEXIST = 17
TURN = ("iptables", "--wait", "10", "-t", "nat", "-A", "OUTPUT", "-p", "tcp")
NONE = "0.0.0.0"  # noqa: S104 - as a gateway it means that there is none


class Metadata:
    """The stand-in. Raises OSError where the attacker's network cannot be entered."""

    def __init__(self, attacker: Attacker, secret: str) -> None:
        self._answer = _answer(secret)
        server = attacker.within(lambda: socket.create_server(("", 0), backlog=8))
        self._turned_to = f"{attacker.host}:{server.getsockname()[1]}"
        self._serving = Serving(server, self._talk)

    def lead(self, container: Container, address: str) -> None:
        """Have packets to the address arrive here, in the network of a container that has ``address``.

        Raises OSError, DeadweightError.
        """
        pid = container.pid

        def turn() -> None:
            _route(_interface(address))
            run(
                [*TURN, "-d", ADDRESS, "--dport", str(PORT), "-j", "DNAT", "--to-destination", self._turned_to],
                timeout=30,
            )

        netns.within(pid, turn)

    def accompany(self, container: Container) -> None:
        """Told of a container before anything else is done with it."""

    def close(self) -> None:
        self._serving.close()

    def _talk(self, connection: socket.socket, _closing: threading.Event) -> None:
        connection.settimeout(PATIENCE_SECONDS)
        asked = b""
        while ASKS_FOR not in asked and (more := connection.recv(4096)):
            asked += more
        connection.sendall(self._answer)


class FarMetadata(Metadata):
    """The same where the attacker's network cannot be entered: a program beside the attacker, which has that address too, answers;
    those beside the attacked containers have packets go to the attacker, or hand them on where a firewall of the engine's (which
    knows the network's own addresses alone) drops these. Raises OSError, DeadweightError."""

    def __init__(self, tunnels: Tunnels, attacker: Container, host: str, secret: str) -> None:
        self._tunnels, self._host, self._handed_on = tunnels, host, False
        self._guard = threading.Lock()
        tunnels.ruled(attacker, ["address", ADDRESS])
        with translated("answer as the cloud's metadata"):
            self._stream = tunnels.started(attacker, ["answer", str(PORT), _answer(secret).decode()])
        _, line = frame(self._stream, START_SECONDS)
        if line.strip() != b"listening":
            self._stream.close()
            raise OSError(line.decode(errors="replace").strip() or "nothing is listening there")

    def accompany(self, container: Container) -> None:
        """Who stands beside it may change how its network leads."""
        with contextlib.suppress(DeadweightError):  # it may have ended: whoever asks for it is told
            self._tunnels.sidecar_of(container, rules=True)

    def lead(self, container: Container, address: str) -> None:
        del address
        with self._guard:
            if not self._handed_on:
                self._tunnels.ruled(container, ["lead", ADDRESS, self._host])
                self._handed_on = not self._arrives(container)
            if self._handed_on:
                self._tunnels.ruled(container, ["relay", ADDRESS, str(PORT), f"{self._host}:{PORT}"])

    def _arrives(self, container: Container) -> bool:
        try:
            self._tunnels.dial(container, ADDRESS, PORT, ARRIVES_SECONDS).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._stream.close()


def _answer(secret: str) -> bytes:
    body = json.dumps({"Code": "Success", "Type": "stand-in", "SecretAccessKey": secret}).encode()
    return b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _interface(address: str) -> str:
    """The network interface that has this address. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                answer = fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("16s24x", name.encode()))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    raise OSError(f"no network interface has the address {address}")


class _Route(ctypes.Structure):
    """``struct rtentry`` (linux/route.h)."""

    _fields_ = (
        ("pad1", ctypes.c_ulong), ("dst", ctypes.c_char * 16), ("gateway", ctypes.c_char * 16), ("mask", ctypes.c_char * 16),
        ("flags", ctypes.c_ushort), ("pad2", ctypes.c_short), ("pad3", ctypes.c_ulong), ("pad4", ctypes.c_void_p),
        ("metric", ctypes.c_short), ("device", ctypes.c_char_p), ("mtu", ctypes.c_ulong), ("window", ctypes.c_ulong),
        ("rtt", ctypes.c_ushort),
    )  # fmt: skip


def _route(device: str) -> None:
    entry = _Route(flags=RTF_UP | RTF_HOST, device=device.encode())
    for field, value in ((_Route.dst, ADDRESS), (_Route.mask, "255.255.255.255"), (_Route.gateway, NONE)):
        address = struct.pack("=H2s4s8x", socket.AF_INET, b"", socket.inet_aton(value))  # struct sockaddr_in
        ctypes.memmove(ctypes.addressof(entry) + field.offset, address, 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ioctl(asked.fileno(), ctypes.c_ulong(SIOCADDRT), ctypes.byref(entry)) != 0:
            number = ctypes.get_errno()
            if number != EEXIST:
                raise OSError(number, f"route to {ADDRESS} by {device}")
