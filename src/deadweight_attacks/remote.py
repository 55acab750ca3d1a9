"""Tell which attacks an engine whose network we cannot enter leaves unmeasured, and listen there through tunnels.

A program beside the attacker (``engine/sidecars.py``) does the network work. Files that are usually bound into the attacked
containers go into an image built on theirs, because paths of this machine mean nothing there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deadweight.engine.container import STDERR, frame, frames
from deadweight.engine.faults import translated
from deadweight_attacks.guard import CONTAINER_SECONDS
from deadweight_attacks.helper import SHELL_TARGET as SHELL, TARGET as HELPER
from deadweight_attacks.listeners import Listener, Word, order, served
from deadweight_attacks.machine import listed

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.options import RunOptions
    from deadweight.engine.sidecars import Packing, Tunnels
    from deadweight_attacks.model import Payload

NAME = "deadweight/attacked"
PROGRAMS = (HELPER, SHELL)
PORT_SECONDS = 20.0
ENTERED = "only where root of the engine's own machine enters its network"
ELSEWHERE = "the attack network cannot be entered from here, so attacks were carried out through the engine"
NOT_THERE = {
    "host": "an engine on another machine, or of another user, does not see the folder of this machine that would be mounted",
    "neighbour": "where processes are shared, the attacked service could not be told apart from here",
}


@dataclass(frozen=True)
class Reach:
    """What of an engine's containers this process reaches although it cannot enter their network. ``user``: as whom an engine of
    this machine runs that is none of root's, where folders of ours can be handed to it. ``disks``: where it writes is seen.
    ``processes``: those of its containers are seen."""

    user: int | None = None
    disks: bool = False
    processes: bool = False


def reach(engine: Engine) -> Reach:
    """Of an engine elsewhere, as far as that is known before a container runs."""
    user = engine.user
    ours = user is not None and engine.info.rootless and os.geteuid() in (0, user)
    return Reach(user if ours else None, user is not None)


def why_unmeasurable(payload: Payload, reach: Reach) -> str:
    """Why an attack cannot be measured so; empty where it can."""
    proof = payload.evidence
    if reach.user is None and (proof.kind in ("socket", "host-file") or proof.where == "host"):
        return NOT_THERE["host"]
    if payload.flood == "slow":
        return "so many connections at once cannot be held through the engine"
    if proof.where == "neighbour" and not reach.processes:
        return NOT_THERE["neighbour"]
    return ""


def note(reach: Reach, *, metadata: bool) -> str:
    """What a reader is told of attacks through the engine."""
    lacking = [
        *(["a mounted host folder", "the engine's socket"] if reach.user is None else []),
        *([] if reach.processes else ["a neighbour"]),
        *([] if metadata else ["the cloud's metadata"]),
    ]
    return f"{ELSEWHERE}; those on {listed(lacking)} were not tried" if lacking else ELSEWHERE


class FarListener(Listener):
    """A listener in the attacker's network. Raises OSError, DeadweightError."""

    def __init__(self, tunnels: Tunnels, attacker: Container, word: Word, does: str) -> None:
        kinds = {"datagram": ("udp", b""), "serve": ("serve", served(word)), "shell": ("tcp", order(word))}
        kind, text = kinds.get(does, ("tcp", b""))
        self._word, self._closing, self.received, self.connected = word, False, b"", False
        with translated("listen on the attack network"):
            self._stream = tunnels.started(attacker, ["listen", kind, text.decode()])
        try:
            _, line = frame(self._stream, PORT_SECONDS)
            self.port = int(line or b"nothing")
        except ValueError as error:
            self._stream.close()
            raise ConnectionError(f"no listener on the attack network: {error}") from error
        except BaseException:
            self._stream.close()
            raise
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def pending(self) -> bool:
        return False

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._stream.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)
        self._stream.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for number, data in frames(self._stream, CONTAINER_SECONDS):
                if number == STDERR:
                    self.connected = True
                else:
                    self.received += data


def packed(packing: Packing, image: str, options: RunOptions) -> tuple[str, RunOptions]:
    """The image with the programs in it that these options bind in, and the options without them."""
    files = {mount.target: mount.source for mount in options.mounts if mount.target in PROGRAMS}
    left = tuple(mount for mount in options.mounts if mount.target not in files)
    if not files:
        return image, options.but(mounts=left)
    contents = {path: file.read_bytes() for path, file in files.items()}
    return packing.packed(image, contents), options.but(mounts=left)
