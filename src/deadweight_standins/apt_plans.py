"""What apt would install, kept until its lists or its configuration change: each question takes half a second of a processor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.records import store

MACHINES = (Path("/etc/apt"), Path("/var/lib/apt/lists"))
MOST = 1000
"""Answers that one file keeps; more are forgotten at once."""
Package = tuple[str, str, str]
"""Name, version, architecture."""


@dataclass(frozen=True)
class Plans:
    """The answers in ``file``, each to the names of packages that were asked for.

    They hold while what lies in ``folders``, and in the machine's own (``MACHINES``), stays: the names, sizes and times of all
    files, by which apt too knows whether its lists are new.
    """

    file: Path
    folders: tuple[Path, ...]

    def get(self, names: Sequence[str]) -> list[Package] | None:
        """What apt answered; None where it was not asked since its lists changed, or the file cannot be read."""
        plan = self._kept(self._identity()).get(" ".join(names))
        return plan and [(name, version, arch) for name, version, arch in plan]

    def keep(self, names: Sequence[str], plan: Iterable[Package]) -> None:
        identity = self._identity()
        kept = self._kept(identity)
        answers = {**(kept if len(kept) < MOST else {}), " ".join(names): list(plan)}
        store.write_atomically(self.file, json.dumps({"lists": identity, "answers": answers}))

    def _kept(self, identity: str) -> dict[str, list[Package]]:
        try:
            document = json.loads(self.file.read_text(encoding="utf-8"))
            answers: dict[str, list[Package]] = document["answers"]
            return answers if document["lists"] == identity else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _identity(self) -> str:
        seen = [os.environ.get("APT_CONFIG", "")]
        for number, folder in enumerate((*MACHINES, *self.folders)):
            for file in sorted(folder.rglob("*")):
                with contextlib.suppress(OSError):  # apt is at work there
                    state = file.stat()
                    if stat.S_ISREG(state.st_mode):
                        seen.append(f"{number} {file.relative_to(folder)} {state.st_size} {state.st_mtime_ns}")
        return hashlib.sha256("\n".join(seen).encode()).hexdigest()
