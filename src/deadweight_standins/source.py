"""Provide stand-in base images and packages: make, serve on loopback, label as stand-in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.records import store
from deadweight.records.built_image import Base
from deadweight.records.paths import State, user_cache
from deadweight.sources import network
from deadweight.sources.protocol import (
    APK as PACKAGES,
    ApkFlavour,
    ApkRepositories,
    BuildEnvironment,
    NoBase,
    Say,
    Source,
    ToMake,
)
from deadweight.sources.settings import Settings, decided
from deadweight_standins import busybox, catalogue
from deadweight_standins.bases import bases
from deadweight_standins.machine import authorities, require, this_machine, wording
from deadweight_standins.registry import LocalRegistry
from deadweight_standins.stand_in import StandIn, images, nearest_to, stand_in

if TYPE_CHECKING:
    from filelock import FileLock

    from deadweight_standins.build_cache import BuildCache
    from deadweight_standins.push import Client

LOCK_SECONDS = 3600.0
APK = StandIn("apk")
UNSIGNED = {"COREPACK_INTEGRITY_KEYS": "0"}
"""A registry that passes npm's packages on leaves out their signatures, and corepack then refuses to fetch pnpm or yarn. Only
stand-ins are built so, which nobody ships; digests are compared as ever."""


class LocalSource(Source):
    """Stand-ins from OS packages. ``state`` is the project's; everything made lies in the user's cache."""

    name = "local"

    def __init__(self, state: State, settings: Settings | None = None) -> None:
        self.state, self.settings = state, settings or Settings()
        self.folder = user_cache() / "local"
        self._bases: dict[str, Base] = {}
        self._mounted: dict[StandIn, str] = {}
        self._mounting, self._guard = threading.Lock(), threading.Lock()
        self._cache: BuildCache | None = None

    def tools(self, references: Sequence[str], *, apk: bool) -> tuple[str, ...]:
        """See the protocol. What was made before needs no tool to be made again."""
        wanted = [self._stand_in(reference) for reference in references]
        missing = [item for item in wanted if self._there(item) is None]
        names = ["docker-registry"] if wanted else []
        names += [name for item in missing for name in catalogue.tools_of(item.recipe, item.parameter)]
        if apk and not self._apk_ready():
            names += [*busybox.NEEDS, "go", "melange", "bwrap"]
        return tuple(dict.fromkeys(names))

    def missing_bases(self, references: Sequence[str]) -> NoBase | None:
        """See the protocol."""
        problems: list[tuple[str | None, str]] = []
        hint: str | None = None
        for reference in dict.fromkeys(references):
            try:
                self._stand_in(reference)
            except NoBase as error:
                problems += error.problems
                hint = hint if getattr(hint, "code", "") == "hint.rebase" else error.hint
        return NoBase(*problems, hint=hint) if problems else None

    def to_make(self, references: Sequence[str], *, apk: bool) -> tuple[ToMake, ...]:
        """See the protocol."""
        wanted = dict.fromkeys(self._stand_in(reference) for reference in references)
        missing = [item for item in wanted if self._there(item) is None]
        tasks = []
        for item in missing:
            base = bases()[item.recipe]
            tasks.append(ToMake(wording("stand_in.name", image=item), base.seconds, base.then))
        if apk and not self._apk_ready():
            tasks.append(ToMake("APK repository", catalogue.APK_SECONDS))
        return tuple(tasks)

    def prepare(self, references: Sequence[str], *, apk: bool, say: Say) -> None:
        """See the protocol. Makes the missing ones at the same time; another process that makes them is waited for."""
        lacking = self.missing_bases(references)
        if lacking is not None:
            raise lacking
        wanted = {reference: self._stand_in(reference) for reference in dict.fromkeys(references)}
        if not wanted and not apk:
            return
        for shown in (shown for reference in wanted if (shown := self._recorded_name(reference)) != reference):
            say(wording("stand_in.figures", reference=shown))
        decided(self.state, self.settings, "local")
        self.folder.mkdir(parents=True, exist_ok=True)
        # where all is there, nobody is waited for: another run may be making something else, for minutes
        digests = {item: self._there(item) for item in wanted.values()}
        ready = None not in digests.values() and (not apk or self._apk_ready())
        if (address := self._address() if ready else None) is None:
            with self._only_run(say) as cache:
                address, digests = self._make(cache, wanted, apk, say)
        if apk:
            from deadweight_standins import apk as repositories

            repositories.link(self.state, self.folder / "apk")
        for reference, item in wanted.items():
            resolved = f"{address}/{item.repository}@{digests[item]}"
            self._bases[reference] = Base(self._recorded_name(reference), resolved, digests[item], stand_in=True)

    @contextlib.contextmanager
    def _only_run(self, say: Say) -> Iterator[BuildCache]:
        """No other process makes anything meanwhile; threads of this one do, in one build cache, where shared parts are made once.

        Raises DeadweightError where another process does not end.
        """
        from filelock import Timeout

        with self._guard:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                say(wording("stand_in.waiting"))
                try:
                    self._lock.acquire(timeout=LOCK_SECONDS)
                except Timeout as error:
                    lock = self._lock.lock_file
                    raise DeadweightError(wording("stand_in.locked", seconds=LOCK_SECONDS, lock=lock)) from error
            self._cache = cache = self._cache or self._build_cache()
        try:
            yield cache
        finally:
            with self._guard:
                self._lock.release()

    @cached_property
    def _lock(self) -> FileLock:
        from filelock import FileLock

        return FileLock(self.folder / "lock", thread_local=False)

    def base(self, reference: str) -> Base:
        """See the protocol. Before ``prepare``, what an earlier run made; the digest is None where it made none."""
        known = self._bases.get(reference)
        if known is not None:
            return known
        item = self._stand_in(reference)
        stamp = self._stamps.of(item)
        address = self._registry().address()
        digest = stamp.digest if stamp is not None and address is not None else None
        name = f"{address or 'local'}/{item.repository}"
        resolved = f"{name}@{digest}" if digest else f"{name}:{item.tag}"
        return Base(self._recorded_name(reference), resolved, digest, stand_in=True)

    def apk(self, flavour: ApkFlavour = "wolfi") -> ApkRepositories:
        """See the protocol. The paths go through a link in the state folder, so they are the same in every checkout."""
        from deadweight_standins import apk

        return apk.repositories(self.state, flavour)

    def environment(self) -> BuildEnvironment:
        """See the protocol."""
        variables = {**UNSIGNED, **self.settings.variables}
        return BuildEnvironment(variables, network.bundle(self.state, self.settings.private_ca))

    def mounts(self, reference: str, command: str) -> tuple[str, ...]:
        """See the protocol: package sources for ``apt-get``, and ``apk`` itself, for whoever asks for one."""
        from deadweight_standins import alpine, debian, recipes

        item = self._stand_in(reference)
        if item.like_alpine and re.search(r"\bapk\b", command):
            return (f"--mount=type=bind,from={self._mounted_image(APK)},target={alpine.PLACE}",)
        if item.has_apt and re.search(r"\b(?:apt|apt-get|aptitude)\b|\.sh\b", command):
            image = self._mounted_image(StandIn("feeds", catalogue.suite_of(item)))
            places = {place: f"/{Path(place).name}" for place in debian.FEEDS}
            if recipes.installs_renamed(command):
                folder = f"/{recipes.RENAMED_FOLDER}"
                places |= {debian.FEEDS[0]: f"{folder}/{Path(debian.FEEDS[0]).name}", recipes.RENAMED_PLACE: folder}
            return tuple(f"--mount=type=bind,from={image},source={of},target={place}" for place, of in places.items())
        return ()

    def layout(self, reference: str) -> Path:
        """See the protocol."""
        from deadweight.sources.remote import pulled_layout
        from deadweight.toolchain.registry import Remote

        registry, digest = self._registry(), reference.rpartition("@")[2]
        here = registry.blob(digest).is_file()
        return registry.layout(digest) if here else pulled_layout(Remote(reference, insecure=True), digest)

    def _stand_in(self, reference: str) -> StandIn:
        """The stand-in for a reference; with ``rebase`` that of the nearest where it has none. Raises NoBase."""
        try:
            return stand_in(reference)
        except NoBase:
            near = nearest_to(reference) if self.settings.rebase else None
            if near is None:
                raise
            return stand_in(near)

    def _recorded_name(self, reference: str) -> str:
        """What a record calls the base: another image that was tried in its place is named with it."""
        try:
            stand_in(reference)
        except NoBase:
            return str(wording("stand_in.rebased", reference=reference, near=nearest_to(reference)))
        return reference

    def _mounted_image(self, item: StandIn) -> str:
        """The reference of an image that is mounted beside a base, made now where it is not there yet.

        One that is there is not waited for: another run may be making something else, for minutes.
        """
        from deadweight_standins.push import Client

        if item not in self._mounted:
            with self._mounting:
                digest = self._there(item)
                if (address := self._address() if digest else None) is None:
                    with self._only_run(lambda _: None) as cache:
                        registry = self._registry(cache)
                        client = Client(registry.ensure())
                        digest = self._there(item) or self._make_one(cache, client, registry, item, lambda _: None)
                        address = client.address
                self._mounted[item] = f"{address}/{item.repository}@{digest}"
        return self._mounted[item]

    def _address(self) -> str | None:
        """Of the registry, started now if it ended, since that takes no lock of who makes others."""
        from deadweight.toolchain.find import inspect_tool

        registry = self._registry()
        return registry.ensure() if inspect_tool("docker-registry").tool else registry.running()

    @cached_property
    def _authorities(self) -> tuple[bytes, ...]:
        return authorities(self.environment().ca_bundle)

    @cached_property
    def _stamps(self) -> Stamps:
        return Stamps(self.folder / "stamps", lambda: self._authorities)

    def stop(self) -> bool:
        """End the local registry. False where it did not run."""
        return self._registry().stop()

    def _make(
        self, cache: BuildCache, wanted: dict[str, StandIn], apk: bool, say: Say
    ) -> tuple[str, dict[StandIn, str | None]]:
        """Side by side, as many as this machine bears. What could not be made is told after the others have ended, all at once.

        Gives the registry's address, and the digest of each.
        """
        from deadweight_standins.push import Client

        registry = self._registry(cache)
        client = Client(registry.ensure() if wanted else "")
        digests = {item: self._there(item) for item in dict.fromkeys(wanted.values())}
        missing = [item for item, digest in digests.items() if digest is None]
        jobs: dict[StandIn | None, Callable[[], str]] = {
            item: partial(self._make_one, cache, client, registry, item, say) for item in missing
        }
        if apk and not self._apk_ready():
            jobs = {None: partial(self._make_apk, cache, say), **jobs}
        if jobs:
            require(("apt-get", "dpkg-deb"))
            made = side_by_side(jobs, wanted)
            digests |= {item: made[item] for item in missing}
        return client.address, digests

    def _build_cache(self) -> BuildCache:
        from deadweight_standins.build_cache import BuildCache

        variables = dict(self.environment().variables)
        return BuildCache(self.folder, this_machine(), self.state.log("local-source"), variables, self._authorities)

    def _make_one(self, cache: BuildCache, client: Client, registry: LocalRegistry, item: StandIn, say: Say) -> str:
        with announce(wording("stand_in.the", image=item), say):
            digest = pushed(cache, client, registry, item)
            self._stamps.keep(item, digest)
            return digest

    def _there(self, item: StandIn) -> str | None:
        """The digest of a stand-in that an earlier run made, if it is still whole and still what this version makes."""
        stamp = self._stamps.of(item)
        whole = stamp is not None and self._registry().complete(item.repository, stamp.digest)
        return stamp.digest if stamp is not None and whole else None

    def _apk_ready(self) -> bool:
        from deadweight_standins import apk

        return apk.ready(self.folder / "apk")

    def _make_apk(self, cache: BuildCache, say: Say) -> str:
        from deadweight_standins import apk_build

        with announce("the APK repository", say):
            apk_build.make(cache, self.folder / "apk")
        return "made"

    def _registry(self, cache: BuildCache | None = None) -> LocalRegistry:
        return LocalRegistry(self.folder / "registry", lambda: registry_program(cache))


def stop_local_registry() -> bool:
    """End the local registry of this user's cache, for ``invoke clean``. False where it did not run."""
    return LocalSource(State(Path(os.devnull))).stop()


# How several stand-ins are made side by side, how that is reported, and what is told of those that failed.
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
        digest = self._fingerprints[item] = hashlib.sha256(text.encode()).hexdigest()
        return digest


AT_ONCE = 2 * (os.cpu_count() or 1)
"""How many stand-ins are made at the same time: each takes up to half a gigabyte of memory."""


@contextlib.contextmanager
def announce(what: str, say: Say) -> Iterator[None]:
    """What was made. A failure too, as it happens: who goes on without it tells of it later, or tries again."""
    started = time.monotonic()
    try:
        yield
    except Interrupted:
        raise
    except DeadweightError as error:
        reason, seconds = error.message.splitlines()[0], time.monotonic() - started
        say(wording("stand_in.not_made", what=what, seconds=seconds, reason=reason))
        raise
    say(f"made {what} ({time.monotonic() - started:.1f} s)")


def unmade(failed: Mapping[StandIn | None, DeadweightError], wanted: Mapping[str, StandIn]) -> NoBase:
    """The stand-ins that could not be made, each by the references that ask for it, with its tool's last words."""
    problems: list[tuple[str | None, str]] = []
    for item, error in failed.items():
        names = [name for name, other in wanted.items() if other == item] if item is not None else [PACKAGES]
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


def pushed(cache: BuildCache, client: Client, registry: LocalRegistry, item: StandIn) -> str:
    """Make a stand-in and push it; gives its digest. What the registry holds of it and is damaged is pushed anew."""
    made = catalogue.make(cache, item)
    labels = {"org.opencontainers.image.title": images().texts["title"].format(recipe=item.recipe)}
    settings = replace(made.settings, labels={**made.settings.labels, **labels})
    digest = client.push(item.repository, item.tag, made.layers, settings, cache.machine.oci)
    if not registry.complete(item.repository, digest):
        for layer in made.layers:
            registry.forget(layer.digest)
        digest = client.push(item.repository, item.tag, made.layers, settings, cache.machine.oci)
    return digest


def registry_program(cache: BuildCache | None) -> Path:
    """The machine's own, else one unpacked from the OS's package by ``cache``."""
    from deadweight.toolchain.find import inspect_tool

    tool = inspect_tool("docker-registry").tool
    if tool is not None:
        return tool.path
    assert cache is not None
    return cache.unpacked("docker-registry") / "usr/bin/docker-registry"
