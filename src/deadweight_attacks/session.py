"""Run the attacker's program in a container (``exec`` as the service's user) and send it orders.

The engine starts it with the service's namespaces, cgroup, mounts, capabilities, seccomp filter, AppArmor profile and
no-new-privileges (runc and crun take them from the container's configuration). We verify that: ``difference`` compares both
processes in ``/proc``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine import netns
from deadweight.engine.container import STDOUT, ExecStream, frame
from deadweight.engine.faults import translated
from deadweight.engine.foreground import user_of
from deadweight.engine.http import Answer
from deadweight_attacks.helper import TARGET
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.container import Container

WALLS = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters")
"""Lines of ``/proc/PID/status`` (proc(5)) in which both processes must agree."""
IDENTITY = ("Uid", "Gid", "Groups")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
FILES = ("cgroup", "attr/current")

OBEYED = 200
"""The status of an answer: the order was obeyed, whatever came of it."""
LATE_SECONDS = 2.0
NOTED_SECONDS = 5.0


@dataclass(frozen=True)
class Order:
    """What the program is to do, in its own words (``helper/main.go``), by one ``technique`` after another until one works."""

    words: tuple[str, ...]
    techniques: tuple[str, ...] = ()


SENT, UNTRIED = 3, 4
"""The codes of a technique of which only the other side can tell whether it worked, and of one that an emulator cannot do."""


@dataclass(frozen=True)
class Try:
    """What came of one technique: ``code`` is 0 where the program says that it worked, ``SENT`` or ``UNTRIED``."""

    technique: str
    code: int
    output: str


class Session:
    """One such process. ``user`` is as whom it was started (empty: as the container's own). Raises DeadweightError, OSError.

    A service that has changed its user since its start gets it started as that user. ``before``: the program and words that put on
    it what was put on the service by one in front of it, which an engine does not know of.
    """

    def __init__(self, container: Container, before: Sequence[str] = ()) -> None:
        self.container, self.user, self._before = container, "", before
        self._unread = b""
        self.tries: list[Try] = []
        """Of the last order, as far as it has come: an order that ends with the session gives no answer."""
        self._stack, self._lock = contextlib.ExitStack(), threading.Lock()
        try:
            self._open()
            if set(self.difference()) & set(IDENTITY):
                self.close()
                self._stack, self.user = contextlib.ExitStack(), user_of(container)
                self._open()
        except BaseException:  # the service may have ended meanwhile
            self._stack.close()
            raise

    def _open(self) -> None:
        api = self.container.api
        self._unread = b""
        with translated(f"start the attacker's program in container {self.container.name}"):
            made = api.exec_create(self.container.id, [*self._before, TARGET, "session"], stdin=True, user=self.user)[
                "Id"
            ]
            self._stream = self._stack.enter_context(ExecStream(api, made))
            self.obey(Order(("hello", "", "")), 10.0)
            self.pid = self._pid_of(made)

    def _pid_of(self, made: str) -> int:
        """Its number on this machine. A busy engine notes it only after the program has answered."""
        deadline = time.monotonic() + NOTED_SECONDS
        while not (pid := int(self.container.api.exec_inspect(made)["Pid"] or 0)):
            if time.monotonic() >= deadline:
                raise DeadweightError(wording("attacker.no_pid"))
            time.sleep(0.05)
        return pid

    def obey(self, order: Order, seconds: float) -> Answer:
        """Have one order carried out. Raises OSError where the program has ended, or does not answer in time."""
        started = time.monotonic()
        asked = {"words": order.words, "techniques": order.techniques, "seconds": seconds}
        with self._lock:
            tries: list[Try] = []
            self.tries = tries
            self._stream.socket.settimeout(seconds)
            self._stream.socket.sendall(json.dumps(asked).encode() + b"\n")
            deadline = started + seconds + LATE_SECONDS
            while not self._took(tries, max(0.1, deadline - time.monotonic())):
                pass
        lines = (f"{trial.technique}: {trial.output.strip()}" if trial.technique else trial.output for trial in tries)
        return Answer(OBEYED, {}, "; ".join(lines).encode(), time.monotonic() - started)

    def _took(self, tries: list[Try], seconds: float) -> bool:
        """Take what came of one technique; whether it is the last one's."""
        line = self._line(seconds)
        try:
            document = json.loads(line)
        except ValueError as error:  # the engine says here, too, that it could not start it
            raise ConnectionError(line.decode(errors="replace").strip()) from error
        tries.append(Try(str(document["technique"]), int(document["code"]), str(document["output"])))
        return bool(document["last"])

    def _line(self, seconds: float) -> bytes:
        """The next line. Frames are read whole: one may hold several lines, or the end of one and the begin of the next."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            number, data = frame(self._stream, max(0.01, deadline - time.monotonic()))
            if not data and not number:
                raise ConnectionError(wording("attacker.program_ended"))
            self._unread += data if number == STDOUT else b""
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def difference(self) -> dict[str, str]:
        """In what it differs from the service's first process (``service's → its own``); empty where the walls are the same. Raises
        OSError where that cannot be seen."""
        service = self.container.pid
        if netns.is_process_of(service, self.container.id):
            return difference(service, self.pid)
        return _compared(*self._seen_inside())

    def _seen_inside(self) -> tuple[dict[str, str], dict[str, str]]:
        """The same facts as the program itself sees them, where the service is process 1 of a namespace of its own."""
        output = self.obey(Order(("walls",)), 10.0).text()
        try:
            service, ours = json.loads(output)
        except ValueError:
            raise OSError(wording("attacker.other_walls", reason=output.strip())) from None
        return _facts(service), _facts(ours)

    def close(self) -> None:
        """It ends, and so does all that it started; an order that is being carried out gets no answer."""
        with contextlib.suppress(OSError):
            self._stream.socket.sendall(b'{"words": ["stop"]}\n')
            self._stream.socket.shutdown(socket.SHUT_RDWR)  # who waits for an answer is woken
        with contextlib.suppress(OSError):
            self._stack.close()


def difference(service: int, ours: int) -> dict[str, str]:
    """In what two processes of this machine differ that decides what they may do. Raises OSError where that cannot be seen."""
    return _compared(_facts(_files(service)), _facts(_files(ours)))


def _compared(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    return {
        name: f"{first.get(name)} → {second.get(name)}"
        for name in first | second
        if first.get(name) != second.get(name)
    }


def _files(pid: int) -> dict[str, str]:
    """What the kernel tells of a process: its status, and what else decides."""
    folder = Path(f"/proc/{pid}")
    texts = {"status": (folder / "status").read_text()}
    texts |= {f"namespace {name}": os.readlink(folder / "ns" / name) for name in NAMESPACES}  # noqa: PTH115 - no path
    for name in FILES:
        with contextlib.suppress(OSError):  # a kernel without AppArmor or SELinux refuses to tell
            texts[name] = (folder / name).read_text()
    return texts


def _facts(texts: Mapping[str, str]) -> dict[str, str]:
    lines = (line.partition(":") for line in texts["status"].splitlines())
    facts = {name: " ".join(value.split()) for name, _, value in lines if name in WALLS}
    if "Groups" in facts and "Gid" in facts:  # engines differ in whether the group itself stands among the further ones
        further = set(facts["Groups"].split()) - set(facts["Gid"].split()[1:2])
        facts["Groups"] = " ".join(sorted(further, key=int))
    return facts | {name: text.strip("\0\n") for name, text in texts.items() if name != "status"}


def describe_differences(differences: dict[str, str]) -> str:
    """One line; empty where there are none."""
    parts = ", ".join(f"{name} {change}" for name, change in differences.items())
    return wording("attacker.unlike", walls=parts) if parts else ""
