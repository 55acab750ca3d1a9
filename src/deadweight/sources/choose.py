"""Choose a run's source: the requested one, else the recorded one, else what ``auto`` finds in three seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError
from deadweight.records.paths import State
from deadweight.sources import settings as recorded
from deadweight.sources.protocol import ApkFlavour, Say, Source
from deadweight.sources.settings import Settings
from deadweight.suite.model import Suite

PROBE_SECONDS = 2.5


def choose(
    suite: Suite, state: State, say: Say, asked: Mapping[str, Any] | None = None, also: Sequence[str] = ()
) -> Source:
    """The source for this run; ``asked`` (of ``changes``) counts as recorded, this once. ``also``: images beside the suite's own
    that are wanted of it.

    Raises UsageError for an unknown name, ConfigError for a mirror that is not configured.
    What ``auto`` finds is recorded when the source is first prepared, so that later runs need not ask again.
    """
    settings = recorded.load(state, suite, asked)
    name = settings.source
    if name == "auto":
        known = recorded.source_name(settings.decided) if settings.decided in recorded.DECIDED else None
        name = known or _decide([*_references(suite), *also], suite, settings, say)
        settings = replace(settings, decided=name)
    return _source(name, suite, state, settings)


def changes(
    suite: Suite, state: State, source: str | None = None, mirror: str | None = None, ca_bundle: str | None = None
) -> dict[str, Any]:
    """What asking for these changes in what is recorded; ``mirror`` is HOST/PREFIX, ``ca_bundle`` a PEM file. Writes nothing.

    Raises UsageError for an unknown name, ConfigError for what cannot be used as it is configured. ``auto`` decides anew.
    """
    asked: dict[str, Any] = {"decided": None}
    if mirror is not None:
        asked |= {"source": "mirror", "mirror": recorded.mirror_at(mirror)}
    if source is not None:
        asked["source"] = recorded.source_name(source)
    if ca_bundle is not None:
        from deadweight.sources import network

        asked["ca_bundle"] = str(os.path.abspath(ca_bundle))  # noqa: PTH100 - links stay as they are written
        network.certificates(Path(asked["ca_bundle"]))
    if asked.get("source") == "mirror":
        _source("mirror", suite, state, recorded.load(state, suite, asked))
    return asked


def remember(suite: Suite, state: State, source: str, mirror: str | None = None, ca_bundle: str | None = None) -> None:
    """Record ``changes`` for later runs."""
    recorded.record(state, **changes(suite, state, source, mirror, ca_bundle))


def stop_local(say: Say) -> None:
    """End the local registry if it runs; what it holds stays."""
    from deadweight._packages import standins

    if standins.stop_local_registry():
        say("stopped the local registry")


def _source(name: str, suite: Suite, state: State, settings: Settings) -> Source:
    if name == "local":
        from deadweight._packages import standins

        return standins.LocalSource(state, settings)
    from deadweight.sources import remote

    return remote.RemoteSource(name, state, settings, _flavours(suite))


def _decide(references: Sequence[str], suite: Suite, settings: Settings, say: Say) -> recorded.SourceName:
    """A mirror where one is configured; the public registries where all that is needed answer; else the local one."""
    if settings.mirror is not None:
        say("source for base images: the configured mirror")
        return "mirror"
    from deadweight.records.reference import parse
    from deadweight.sources import network, remote

    hosts = sorted({parse(reference).host for reference in references})
    urls = {remote.front_door(host): host for host in hosts}
    if any(variant.apk_files() for variant in suite.variants):
        urls[remote.KEYS["wolfi"][0]] = "packages.wolfi.dev"
    private = settings.private_ca
    if private is not None:
        network.certificates(private)  # a wrong one is told as such, not as a host that cannot be trusted
    answers = network.ask_all(list(urls), ca=private, variables=settings.variables, seconds=PROBE_SECONDS)
    silent = {urls[url]: answer for url, answer in answers.items() if not answer.ok}
    if not silent:
        if urls:
            say(f"source for base images: the public registries ({', '.join(urls.values())} answered)")
        return "registry"
    host, answer = next(iter(silent.items()))
    why = f"{host}: {answer.problem or f'HTTP status {answer.status}'}"
    if _local_is_possible():
        say(
            f"source for base images: local stand-ins, made from OS packages ({why}); "
            "invoke setup --source auto tries the registries again"
        )
        return "local"
    say(f"source for base images: the public registries, although not all answer ({why})")
    return "registry"


def _local_is_possible() -> bool:
    from deadweight._packages import standins

    try:
        standins.this_machine()
    except DeadweightError:
        return False
    return True


def _flavours(suite: Suite) -> tuple[ApkFlavour, ...]:
    """Whose APK packages the suite's files use."""
    from deadweight.sources.adapt import flavour_of

    files = {name for variant in suite.variants for name in variant.apk_files()}
    return tuple(sorted({flavour_of(suite.root / name, suite.root) for name in files})) or ("wolfi",)


def _references(suite: Suite) -> list[str]:
    return [reference for variant in suite.variants for reference in variant.references(suite.root)]
