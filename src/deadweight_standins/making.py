"""Make several stand-in images in parallel, report progress, and list those that failed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.records import store
from deadweight.sources.protocol import APK as PACKAGES
from deadweight.sources.protocol import NoBase, Say
from deadweight_standins import catalogue
from deadweight_standins.machine import this_machine, wording
from deadweight_standins.stand_in import StandIn

if TYPE_CHECKING:
    from deadweight_standins.push import Client
    from deadweight_standins.registry import LocalRegistry
    from deadweight_standins.workshop import Workshop


# What a stand-in was made by: kept beside the local registry, so that one which would come out the same is not made again.
@dataclass(frozen=True)
class Stamp:
    """Saved after a stand-in was made and pushed: what it was made by, and its manifest's digest."""

    fingerprint: str
    digest: str


class Stamps:
    """Those in a folder. ``authorities`` are further CAs, which a stand-in trusts."""

    def __init__(self, folder: Path, authorities: Callable[[], Sequence[bytes]]) -> None:
        self._folder, self._authorities = folder, authorities
        self._fingerprints: dict[StandIn, str] = {}

    def of(self, item: StandIn) -> Stamp | None:
        """None where it was not made yet, or would come out differently now."""
        stamp = store.load(Stamp, self._place(item))
        return stamp if stamp is not None and stamp.fingerprint == self.fingerprint(item) else None

    def keep(self, item: StandIn, digest: str) -> None:
        store.save(Stamp(self.fingerprint(item), digest), self._place(item))

    def _place(self, item: StandIn) -> Path:
        return self._folder / f"{item.recipe}-{item.tag}.json"

    def fingerprint(self, item: StandIn) -> str:
        """A digest of all that decides how it comes out; each is asked for several times in a run."""
        if item in self._fingerprints:
            return self._fingerprints[item]
        machine = this_machine()
        part = catalogue.machine_part(item.recipe)
        text = f"{catalogue.edition_of(item)} {item.recipe} {item.tag} {machine.codename} {machine.oci}{part}"
        if authorities := self._authorities():
            text += f" {hashlib.sha256(b''.join(authorities)).hexdigest()}"
        found = self._fingerprints[item] = hashlib.sha256(text.encode()).hexdigest()
        return found


AT_ONCE = 2 * (os.cpu_count() or 1)
"""How many stand-ins are made at the same time: each takes up to half a gigabyte of memory."""


@contextlib.contextmanager
def told(what: str, say: Say) -> Iterator[None]:
    """How making something goes on. A failure too, as it happens: who goes on without it tells of it later, or tries again."""
    say(f"making {what}")
    started = time.monotonic()
    try:
        yield
    except Interrupted:
        raise
    except DeadweightError as error:
        say(f"{what} could not be made ({time.monotonic() - started:.1f} s): {error.message.splitlines()[0]}")
        raise
    say(f"made {what} ({time.monotonic() - started:.1f} s)")


def unmade(failed: Mapping[StandIn | None, DeadweightError], wanted: Mapping[str, StandIn]) -> NoBase:
    """The stand-ins that could not be made, each by the references that ask for it, with its tool's last words."""
    problems: list[tuple[str | None, str]] = []
    for item, error in failed.items():
        names = [name for name, each in wanted.items() if each == item] if item is not None else [PACKAGES]
        problems += [(name, wording("stand_in.failed", reference=name, reason=error.message)) for name in names]
    return NoBase(*problems, hint=next((error.hint for error in failed.values() if error.hint), None))


def side_by_side(
    jobs: Mapping[StandIn | None, Callable[[], str]], wanted: Mapping[str, StandIn]
) -> dict[StandIn | None, str]:
    """What each job gives, as many at once as this machine bears.

    What could not be made is told after the others have ended, all at once: raises NoBase.
    """
    with ThreadPoolExecutor(max_workers=min(len(jobs), AT_ONCE), thread_name_prefix="stand-in") as pool:
        futures = {item: pool.submit(job) for item, job in jobs.items()}
    failed: dict[StandIn | None, DeadweightError] = {}
    for made, future in futures.items():
        try:
            future.result()
        except Interrupted:
            raise
        except DeadweightError as error:
            failed[made] = error
    if failed:
        raise unmade(failed, wanted)
    return {item: future.result() for item, future in futures.items()}


def pushed(shop: Workshop, client: Client, registry: LocalRegistry, item: StandIn) -> str:
    """Make a stand-in and push it; gives its digest. What the registry holds of it and is damaged is pushed anew."""
    made = catalogue.make(shop, item)
    labels = {"org.opencontainers.image.title": f"stand-in for {item.recipe} (made from OS packages)"}
    settings = replace(made.settings, labels={**made.settings.labels, **labels})
    digest = client.push(item.repository, item.tag, made.layers, settings, shop.machine.oci)
    if not registry.complete(item.repository, digest):
        for layer in made.layers:
            registry.forget(layer.digest)
        digest = client.push(item.repository, item.tag, made.layers, settings, shop.machine.oci)
    return digest


def registry_program(shop: Workshop | None) -> Path:
    """The machine's own, else one unpacked from the OS's package by ``shop``."""
    from deadweight.toolchain.find import look

    tool = look("docker-registry").tool
    if tool is not None:
        return tool.path
    assert shop is not None
    return shop.unpacked("docker-registry") / "usr/bin/docker-registry"
