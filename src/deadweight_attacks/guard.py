"""Watch one variant's attacks from a separate process: kill containers if disk or time runs out or we die.

It is a separate process, so it still acts if the attacking process hangs or is killed. If it kills a container because the disk
is full, it writes that to a file. The attacking process reads the file before it concludes that an attack killed the service.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.engine import api as wire
from deadweight.engine.api import EngineInfo
from deadweight_attacks.host import HostFolder, sweep_host_folders
from deadweight_attacks.network import unfence
from deadweight_attacks.walls import wording

LAB, UNTIL = "deadweight.lab", "deadweight.until"
"""Labels: of which lab a container is, and when it is ended at the latest (seconds since 1970) where it is under attack."""

FLOOR_BYTES = 2**30
"""So much stays free, whatever an attack writes."""
CONTAINER_SECONDS = 600
PERIOD_SECONDS = 0.25
LISTING_SECONDS = 5.0
CLEARING_SECONDS = 30.0
DONE = b"."


@dataclass(frozen=True)
class At:
    """Where the engine listens."""

    host: str
    certificates: str | None = None


@dataclass
class Guard:
    """The guard of one lab; use it as a context manager. ``disks`` are folders whose free space it watches, ``certificates`` the
    folder of an engine that speaks TLS."""

    host: str
    lab: str
    network: str
    bridge: str
    folder: HostFolder
    disks: tuple[Path, ...]
    certificates: str | None = None
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Guard:
        words = [self.host, self.certificates or "", self.lab, self.network, self.bridge, self._ended_file, FLOOR_BYTES]
        # Not by `run`: that one ends with us, and this one is there for when we are gone.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, *map(str, (*words, *self.disks))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is attacked any more: it ends, while the rest is cleared away. ``wait`` for it at last."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError), self._process.stdin as pipe:
                pipe.write(DONE)

    def wait(self) -> None:
        """Until it has ended, and its rules are gone."""
        if self._process is not None:
            self._process.wait(30)

    @property
    def _ended_file(self) -> Path:
        return self.folder.path / "ended"

    @property
    def reason(self) -> str:
        """Why it ended everything; empty where it did not."""
        with contextlib.suppress(OSError):
            return wording("service.disk_low", floor=self._ended_file.read_text(encoding="utf-8"))
        gone = self._process is None or self._process.poll() is not None
        return wording("service.guard_ended") if gone else ""

    def labels(self) -> dict[str, str]:
        """What a container that starts now must carry."""
        return {LAB: self.lab, UNTIL: str(int(time.time()) + CONTAINER_SECONDS)}


def disks_of(info: EngineInfo) -> tuple[Path, ...]:
    """Where an engine of this machine keeps what containers write; nothing where it cannot be seen from here."""
    folders = [Path(info.root_dir)] if info.root_dir else []
    if info.containerd_store:
        folders.append(Path("/var/lib/containerd"))
    return tuple(folder for folder in folders if folder.is_dir())


def free_bytes(disks: Sequence[Path]) -> int | None:
    """The least free space of these; None where there is nothing to see."""
    return min((shutil.disk_usage(folder).free for folder in disks), default=None)


def watch(at: At, lab: str, network: str, note: Path, floor: int, disks: Sequence[Path]) -> None:
    """Until the other end of stdin says that it is done, or is gone."""
    listed = time.monotonic()
    while True:
        ready, _, _ = select.select([0], [], [], PERIOD_SECONDS)
        if ready and os.read(0, 1) == DONE:
            return
        free = free_bytes(disks)
        if ready:
            clear(at, lab, network)
            sweep_host_folders()
            return
        if free is not None and free < floor:
            note.write_text(str(floor), encoding="utf-8")
            end(at, _containers(at, lab))
        elif time.monotonic() - listed > LISTING_SECONDS:
            listed = time.monotonic()
            end(at, [container for container in _containers(at, lab) if container[1] < time.time()])


def clear(at: At, lab: str, network: str) -> None:
    """Remove the containers of a lab, and its network.

    What the dead one asked the engine for last may still be under way: a container that comes to be after the others were listed,
    or one that is listed no more and yet holds on to the network. So this goes on until neither is there.
    """
    deadline = time.monotonic() + CLEARING_SECONDS
    while time.monotonic() < deadline:
        containers = _containers(at, lab)
        end(at, containers)
        if wire.delete(at.host, f"/networks/{network}", at.certificates) and not containers:
            return
        time.sleep(PERIOD_SECONDS)


def end(at: At, containers: Sequence[tuple[str, float]]) -> None:
    for container, _ in containers:
        wire.delete(at.host, f"/containers/{container}?force=1&v=1", at.certificates)


def _containers(at: At, lab: str) -> list[tuple[str, float]]:
    """Id and latest end of each container of a lab."""
    filters = urllib.parse.quote(json.dumps({"label": [f"{LAB}={lab}"]}))
    containers = wire.listing(at.host, f"/containers/json?all=1&filters={filters}", at.certificates)
    return [(str(container["Id"]), float(container["Labels"].get(UNTIL, "inf"))) for container in containers]


if __name__ == "__main__":
    _, host, certificates, lab, network, bridge, note, floor, *disks = sys.argv
    try:
        watch(At(host, certificates or None), lab, network, Path(note), int(floor), [Path(disk) for disk in disks])
    finally:
        unfence(bridge)
