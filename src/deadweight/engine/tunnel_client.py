"""Reach a container's port through the engine itself, if it is on another machine or in another kernel.

A small program of ours runs next to the container, in its network (``--network container:ID``), so no port is opened anywhere.
For each connection the engine starts it once more, and its input and output travel over the engine's own connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError, Interrupted, wording
from deadweight.engine import http
from deadweight.engine.api import EngineInfo
from deadweight.engine.container import STDERR, STDOUT, Container, Host, frames, hijacked
from deadweight.engine.faults import Ended, Unreachable, translated
from deadweight.engine.http import Route
from deadweight.engine.options import Mount, RunOptions
from deadweight.engine.program_image import Companions

SOURCE = Path(__file__).with_name("tunnel")
PROGRAM = "/tunnel"
HERE = "127.0.0.1"
END_SECONDS = 20.0
PURPOSE = "tunnel"
MEMORY_BYTES = 64 * 2**20
RULES = ("NET_ADMIN", "NET_BIND_SERVICE")
LOOK_SECONDS = 1.0
"""How often it is looked whether who asked is still there."""
_PROCESSES = 128
_CHUNK = 65536


class Tunnels(Companions):
    """The programs that stand beside containers of one engine, one each: they end with their container."""

    def __init__(self, engine: Host) -> None:
        super().__init__(engine, SOURCE, PROGRAM, PURPOSE)

    def beside(self, container: Container, *, rules: bool = False) -> Container:
        """The one beside this container, started where there is none yet; with ``rules`` it may change how this network leads.
        Raises DeadweightError (MissingError without Go)."""
        with self._guard:
            if container.id not in self._beside:
                options = RunOptions(
                    user="65534:65534", read_only=True, cap_drop=("ALL",), no_new_privileges=True, memory_bytes=MEMORY_BYTES,
                    pids=_PROCESSES, network=f"container:{container.id}", args=("wait",),
                )  # fmt: skip
                options = options.but(user="0:0", cap_add=RULES) if rules else options
                self._beside[container.id] = self._engine.start(self.loaded(), options, purpose=PURPOSE)
            return self._beside[container.id]

    def route(self, container: Container, port: int) -> Route:
        """To 127.0.0.1 inside the container's network. Dialling raises OSError where nothing listens, as TCP does."""
        return Route("engine", HERE, port, lambda seconds: self.dial(container, HERE, port, seconds))

    def dial(self, container: Container, host: str, port: int, seconds: float) -> socket.socket:
        """A connection from inside its network to any address. Raises OSError, DeadweightError."""
        with translated(f"reach port {port}"):
            stream = self.started(container, ["dial", str(port), host])
        raw = getattr(stream, "_sock", stream)
        try:
            number, said = next(frames(raw, seconds), (STDERR, b"nothing"))
            if number != STDERR or said.strip() != b"connected":
                raise ConnectionRefusedError(said.decode(errors="replace").strip())
        except BaseException:
            with hijacked(stream):
                raise
        ours, theirs = socket.socketpair()
        threading.Thread(target=_pass_on, args=(stream, theirs), name="tunnel", daemon=True).start()
        return ours

    def started(self, container: Container, words: Sequence[str]) -> Any:
        """The program's own words carried out in its network: the stream of what it reads and says (``hijacked``)."""
        beside = self.beside(container)
        handle = self._engine.api.exec_create(beside.id, [PROGRAM, *words], stdin=True)["Id"]
        return self._engine.api.exec_start(handle, socket=True)

    def ruled(self, container: Container, words: Sequence[str]) -> None:
        """The program's own words carried out in its network, with the right to change how that leads. Raises DeadweightError with
        what it said where it fails."""
        try:
            done = self.beside(container, rules=True).exec([PROGRAM, *words], seconds=END_SECONDS)
        except TimeoutError:
            raise DeadweightError(
                wording("engine.tunnel_timeout", command=" ".join(words), seconds=END_SECONDS)
            ) from None
        if done.exit_code:
            problem = done.errors.decode(errors="replace").strip() or f"exit code {done.exit_code}"
            raise DeadweightError(wording("engine.rules_failed", command=" ".join(words), problem=problem))

    def refused(self, mounts: tuple[Mount, ...]) -> str:
        """Why the engine starts no container with these mounts; empty where it does. Raises DeadweightError without the program."""
        options = RunOptions(
            network="none", cap_drop=("ALL",), mounts=mounts, memory_bytes=MEMORY_BYTES, pids=_PROCESSES, args=("wait",)
        )
        image = self.loaded()
        try:
            self._engine.start(image, options, purpose=PURPOSE).remove()
        except Interrupted:
            raise
        except DeadweightError as error:
            return error.message
        return ""

    def by_bridges(self, words: Sequence[str]) -> None:
        """The same in the network where the engine's bridges are, with the right to change that network's settings. Raises
        DeadweightError with what it said where it fails."""
        self.loaded()
        said = ""
        for place in self._engine.dialect.namespaces():
            try:
                said = self._carried_out(place, words)
            except Interrupted:
                raise
            except DeadweightError as error:
                said = error.message
            if not said:
                return
        raise DeadweightError(said)

    def _carried_out(self, network: str, words: Sequence[str]) -> str:
        """What it said where it failed; empty where it did not."""
        info = self._engine.info
        options = RunOptions(
            user="0:0", cap_drop=("ALL",), cap_add=("NET_ADMIN",), masked_paths=False, network=network,
            apparmor="unconfined" if info.apparmor else "default", userns_mode="host" if info.user_namespaces else None,
            memory_bytes=MEMORY_BYTES, pids=_PROCESSES, args=tuple(words),
        )  # fmt: skip
        with self._guard, self._engine.start(self.loaded(), options, purpose=PURPOSE) as container:
            state = container.wait_ended(END_SECONDS)
            return " ".join([*container.logs(3), state.told()]) if state.running or state.exit_code else ""

    def listeners(self, container: Container) -> str:
        """What the kernel lists of its network (proc(5), ``/proc/net/tcp``)."""
        return self.beside(container).exec([PROGRAM, "listeners"], seconds=10).output.decode(errors="replace")


def _pass_on(stream: Any, theirs: socket.socket) -> None:
    """Until either side ends. One thread for both ways: a TLS connection is not to be read and written by two at once."""
    with theirs, hijacked(stream) as raw, contextlib.suppress(OSError, ValueError):
        raw.settimeout(None)
        waiting, watched = bytearray(), [raw, theirs]
        while True:
            held = getattr(raw, "pending", lambda: 0)()
            ready = [raw] if held else select.select(watched, [], [], LOOK_SECONDS)[0]
            if theirs not in watched and _gone(theirs):
                return
            if raw in ready:
                data = raw.recv(_CHUNK)
                if not data:
                    return
                waiting += data
                for piece in _taken(waiting):
                    theirs.sendall(piece)
            if theirs in ready:
                data = theirs.recv(_CHUNK)
                if data:
                    raw.sendall(data)
                else:
                    watched = [raw]  # nothing more is asked, and the answer may still come


def _gone(other: socket.socket) -> bool:
    """Whether the other end of a pair is closed, and not only for writing."""
    poll = select.poll()
    poll.register(other, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _taken(waiting: bytearray) -> list[bytes]:
    """The content of each whole frame of stdout, which is taken away from what waits."""
    pieces = []
    while len(waiting) >= 8:
        number, length = struct.unpack(">BxxxL", waiting[:8])
        if len(waiting) < 8 + length:
            break
        if number == STDOUT:
            pieces.append(bytes(waiting[8 : 8 + length]))
        del waiting[: 8 + length]
    return pieces


# The way to a container's port, whatever engine it runs in.
def route_to(
    container: Container, inside: int, host: str, info: EngineInfo, tunnels: Tunnels, *, closed: bool
) -> http.Route:
    """In this order: published, network namespace (for root), address, through the engine. ``host`` is the engine's. ``closed``:
    its network is one of ours. Nothing leads out of it, nor in by a port that is published all the same (Podman says that one is,
    Docker does not), and it has no address of the engine's machine, so that none of its own is reached from there.

    Raises Ended where the container does not run any more, Unreachable where no way leads there.
    """
    document = container.settled()
    if not container.known_to_run and not (document := container.inspect())["State"].get("Running"):
        raise Ended(wording("engine.container_ended", name=container.name))
    settings = document["NetworkSettings"]
    local = host.startswith(("unix://", "npipe://", "http+unix://"))
    bindings = (settings.get("Ports") or {}).get(f"{inside}/tcp") or ()
    if bindings and local and not closed:
        return http.direct("published", "127.0.0.1", int(bindings[0]["HostPort"]))
    pid = int(document["State"].get("Pid") or 0)
    if local and http.can_enter_namespace(pid, container.id):
        return http.through_namespace(pid, inside)
    address = container.address()
    # Desktop's containers live in another machine, those of a rootless engine in a network namespace of its own.
    if address and not closed and local and sys.platform == "linux" and not (info.desktop or info.rootless):
        return http.direct("address", address, inside)
    try:
        tunnels.beside(container)
    except DeadweightError as error:
        if not container.state().running:
            raise Ended(wording("engine.container_ended", name=container.name)) from error
        raise Unreachable(
            wording("engine.unreachable", port=inside, name=container.name, problem=error.message),
            hint=error.hint or "run this as root on the Linux machine where the engine runs",
        ) from error
    return tunnels.route(container, inside)
