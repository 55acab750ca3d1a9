"""What a stand-in was made by: kept beside the local registry, so that one which would come out the same is not made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.records import store
from deadweight_standins import catalogue
from deadweight_standins.machine import this_machine
from deadweight_standins.stand_in import StandIn


@dataclass(frozen=True)
class Stamp:
    """Saved after a stand-in was made and pushed: what it was made by, and its manifest's digest."""

    fingerprint: str
    digest: str


class Stamps:
    """Those in a folder. ``authorities`` are further CAs, which a stand-in trusts."""

    def __init__(self, folder: Path, authorities: Callable[[], Sequence[bytes]]) -> None:
        self._folder, self._authorities = folder, authorities

    def of(self, item: StandIn) -> Stamp | None:
        """None where it was not made yet, or would come out differently now."""
        stamp = store.load(Stamp, self._place(item))
        return stamp if stamp is not None and stamp.fingerprint == self.fingerprint(item) else None

    def keep(self, item: StandIn, digest: str) -> None:
        store.save(Stamp(self.fingerprint(item), digest), self._place(item))

    def _place(self, item: StandIn) -> Path:
        return self._folder / f"{item.recipe}-{item.tag}.json"

    def fingerprint(self, item: StandIn) -> str:
        """A digest of all that decides how it comes out."""
        machine = this_machine()
        part = catalogue.machine_part(item.recipe)
        text = f"{catalogue.edition_of(item)} {item.recipe} {item.tag} {machine.codename} {machine.oci}{part}"
        if authorities := self._authorities():
            text += f" {hashlib.sha256(b''.join(authorities)).hexdigest()}"
        return hashlib.sha256(text.encode()).hexdigest()
