"""Run the attacker's container on the attack network; open and call sockets there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, TypeVar

from deadweight._errors import DeadweightError
from deadweight.checks.service import with_last_lines
from deadweight.engine import netns
from deadweight.engine.foreground import shell_in
from deadweight.engine.http import can_enter_namespace
from deadweight.engine.options import Mount, RunOptions
from deadweight_attacks.helper import TARGET
from deadweight_attacks.listeners import Listener, Word, call
from deadweight_attacks.remote import ENTERED, FarListener
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.sidecars import Tunnels

T = TypeVar("T")

NOTICE_SECONDS = 1.5
CALL_SECONDS = 0.5
NEIGHBOUR, STAYS_SECONDS = "DEADWEIGHT_NEIGHBOUR", "86400"
"""The variable that holds its secret, and how long our program stays in it."""


def as_neighbour(hard: RunOptions, brought: tuple[Mount, ...], secret: str) -> RunOptions:
    """The options with which it runs our own program (``brought``) in place of the service, with a secret to be found."""
    return hard.but(
        entrypoint=(TARGET,),
        args=("neighbour", STAYS_SECONDS, secret),
        mounts=brought,
        env={**hard.env, NEIGHBOUR: secret},
        ipc_mode="shareable",
    )


class Attacker:
    """It is the variant's own image, as the suite runs it; what it serves does not matter, only that it lives.

    Its network is held by a file of its own, so that nobody else's is entered where its process has ended and the number went to
    another. ``tunnels``: it cannot be entered, and a program beside it acts there. ``seen``: its process is one that we see.
    Raises DeadweightError where it has ended, or nothing leads into its network.
    """

    def __init__(self, container: Container, network: str, tunnels: Tunnels | None = None) -> None:
        self.container, self._tunnels = container, tunnels
        document = container.inspect()
        pid = int(document["State"].get("Pid") or 0)
        self._since = str(document["State"].get("StartedAt") or "")
        self.host = str(document["NetworkSettings"]["Networks"][network].get("IPAddress") or "")
        self._network: IO[bytes] | None = None
        self.seen = netns.is_process_of(pid, container.id)
        if tunnels is not None:
            self.check(NOTICE_SECONDS)
            tunnels.sidecar_of(container, rules=True)
            return
        with contextlib.suppress(OSError):
            self._network = open(f"/proc/{pid}/ns/net", "rb")  # noqa: PTH123, SIM115 - its file number is what is needed
        # Asked after it was opened: then the number still was this container's.
        if self._network is None or not can_enter_namespace(pid, container.id):
            self.close()
            self.check(NOTICE_SECONDS)
            raise DeadweightError(wording("network.unseen"))

    def check(self, wait: float = 0.0) -> None:
        """Raises DeadweightError where it does not run (any more): then nothing arrives at it. ``wait`` in seconds. Podman starts
        it anew, in another network, with the next container that shares its processes."""
        state = self.container.wait_ended(wait)
        if not state.running:
            reason = with_last_lines(f"the service {state.outcome()}", self.container)
            raise DeadweightError(wording("attacker.ended", reason=reason))
        if state.started_at != self._since:
            raise DeadweightError(wording("attacker.restarted"))

    def within(self, work: Callable[[], T]) -> T:
        """Do something in its network. Raises OSError, also that of ``work``."""
        if self._network is None:
            raise OSError(ENTERED if self._tunnels is not None else "the attack network is closed")
        return netns.inside(self._network.fileno(), work)

    def listen(self, word: Word, does: str) -> Listener:
        """A listener on its network. Raises OSError, DeadweightError."""
        if self._tunnels is not None:
            return FarListener(self._tunnels, self.container, word, does)
        return Listener.inside(self.within, word, does)

    def calls(self, host: str, port: int, word: Word) -> bool:
        """Whether a shell that an attack bound answers it with the word."""
        tunnels = self._tunnels
        if tunnels is not None:
            return call(lambda: tunnels.dial(self.container, host, port, CALL_SECONDS), word)
        return call(lambda: self.within(lambda: socket.create_connection((host, port), CALL_SECONDS)), word)

    def has_shell(self) -> bool:
        """Whether the image has a shell. Raises DeadweightError."""
        try:
            return shell_in(self.container) is not None
        except DeadweightError:
            self.check()
            raise

    def close(self) -> None:
        if self._network is not None:
            self._network.close()
