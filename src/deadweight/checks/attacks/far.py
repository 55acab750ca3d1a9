"""Attacks where the attack network cannot be entered from here: an engine on another machine, in another kernel, or without root.

What is otherwise done in the attacker's network is then done by our program beside the attacker (``engine/through.py``), and what
is otherwise bound into the attacked containers lies in an image made of theirs: paths of this machine mean nothing there.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import sys
import tarfile
import threading
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.checks.attacks.guard import CONTAINER_SECONDS
from deadweight.checks.attacks.helper import TARGET as HELPER
from deadweight.checks.attacks.host import PURPOSE
from deadweight.checks.attacks.listeners import Listener, Word, order, served
from deadweight.checks.attacks.shell import TARGET as SHELL
from deadweight.engine.faults import translated
from deadweight.engine.options import RunOptions
from deadweight.engine.stream import STDERR, frames, hijacked

if TYPE_CHECKING:
    from deadweight.checks.attacks.model import Payload
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.through import Tunnels

NAME = "deadweight/attacked"
PROGRAMS = (HELPER, SHELL)
PORT_SECONDS = 20.0
ENTERED = "only where root of the engine's own machine enters its network"
NOTE = (
    "the attack network cannot be entered from here, so attacks were carried out through the engine; those on a mounted host "
    "folder, the engine's socket, a neighbour and the cloud's metadata were not tried"
)
NOT_THERE = {
    "host": "a folder of this machine cannot be handed to a container of an engine that runs elsewhere, or without root",
    "neighbour": "where processes are shared, the attacked service could not be told apart from here",
}


def needed(engine: Engine) -> bool:
    """Whether this process cannot enter networks of the engine's: it is not root, or not of the engine's machine."""
    if sys.platform != "linux" or os.geteuid() != 0 or not engine.host.startswith("unix://"):
        return True
    return engine.info.desktop or engine.info.rootless or not _seen(engine.host.removeprefix("unix://"))


def _seen(path: str) -> bool:
    """Whether who listens on a socket is a process that we see (unix(7), SO_PEERCRED: 0 for one of another namespace)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
        pid: int = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid > 0
    return False


def untold(payload: Payload) -> str:
    """Why an attack cannot be measured so; empty where it can."""
    proof = payload.evidence
    if proof.kind in ("socket", "host-file"):
        return NOT_THERE["host"]
    if payload.flood == "slow":
        return "so many connections at once cannot be held through the engine"
    return NOT_THERE.get(proof.where or "", "")


class FarListener(Listener):
    """A listener in the attacker's network. Raises OSError, DeadweightError."""

    def __init__(self, tunnels: Tunnels, attacker: Container, word: Word, does: str) -> None:
        kinds = {"datagram": ("udp", b""), "serve": ("serve", served(word)), "shell": ("tcp", order(word))}
        kind, text = kinds.get(does, ("tcp", b""))
        self._word, self._closing, self.received, self.connected = word, False, b"", False
        with translated("listen on the attack network"):
            stream = tunnels.started(attacker, ["listen", kind, text.decode()])
        self._held = contextlib.ExitStack()
        self._raw = self._held.enter_context(hijacked(stream))
        try:
            _, said = next(frames(self._raw, PORT_SECONDS), (STDERR, b"nothing"))
            self.port = int(said)
        except ValueError as error:
            self._held.close()
            raise ConnectionError(f"no listener on the attack network: {error}") from error
        except BaseException:
            self._held.close()
            raise
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def pending(self) -> bool:
        return False

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)
        self._held.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for number, data in frames(self._raw, CONTAINER_SECONDS):
                if number == STDERR:
                    self.connected = True
                else:
                    self.received += data


class Packing:
    """Images that hold the programs which would be bound in; ``close`` removes them."""

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine, self._image = engine, image
        self._made: dict[tuple[str, ...], str] = {}

    def packed(self, options: RunOptions) -> tuple[str, RunOptions]:
        """The image for these options, and the options without what it holds."""
        files = {each.target: each.source for each in options.mounts if each.target in PROGRAMS}
        wanted = tuple(sorted(files))
        if wanted and wanted not in self._made:
            contents = {path: file.read_bytes() for path, file in files.items()}
            self._made[wanted] = made_with(self._engine, self._image, contents)
        left = tuple(each for each in options.mounts if each.target not in files)
        return self._made.get(wanted, self._image), options.but(mounts=left)

    def close(self) -> None:
        for made in self._made.values():
            self._engine.images.remove(made, force=True)


def made_with(engine: Engine, image: str, files: Mapping[str, bytes]) -> str:
    """An image like another one, with programs at these absolute paths. Gives its name; who asked for it removes it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, program in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(program), 0o755
            tar.addfile(member, io.BytesIO(program))
    tag = uuid.uuid4().hex[:12]
    with (
        engine.create(image, RunOptions(network="none"), purpose=PURPOSE) as container,
        translated(f"put programs into an image like {image}"),
    ):
        if not engine.api.put_archive(container.id, "/", content.getvalue()):
            raise DeadweightError("the engine takes no files for a container")
        engine.api.commit(container.id, repository=NAME, tag=tag)
    return f"{NAME}:{tag}"
