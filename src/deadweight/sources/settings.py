"""What ``invoke setup`` recorded about the source, and how builds reach the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast, get_args

from deadweight._errors import UsageError
from deadweight.records import store
from deadweight.records.paths import State
from deadweight.sources.protocol import BuildEnvironment

SourceName = Literal["auto", "registry", "mirror", "local"]
ENVIRONMENT = "DEADWEIGHT_SOURCE"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
GO_VARIABLES = ("GOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE")


@dataclass(frozen=True)
class Mirror:
    """Where a mirror keeps things.

    ``registries`` maps a public host to ``host/prefix``; the host ``*`` stands for every host, and then the public host is
    put behind the prefix. ``apk`` maps a flavour (``wolfi``, ``alpine``) to repository URLs; ``apk_keys`` are URLs or files.
    """

    registries: Mapping[str, str] = field(default_factory=dict)
    apk: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    apk_keys: tuple[str, ...] = ()
    insecure: bool = False


@dataclass(frozen=True)
class Settings:
    """The recorded choice. ``ca_bundle`` is a PEM file; ``variables`` are proxies and Go's module settings."""

    source: SourceName = "auto"
    mirror: Mirror = field(default_factory=Mirror)
    ca_bundle: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> BuildEnvironment:
        """What builds get: the recorded variables, over those of our own environment."""
        found = {name: os.environ[name] for name in (*PROXIES, *GO_VARIABLES) if os.environ.get(name)}
        bundle = self.ca_bundle or os.environ.get("DEADWEIGHT_CA_BUNDLE")
        return BuildEnvironment({**found, **self.variables}, Path(bundle).absolute() if bundle else None)


def load(state: State) -> Settings:
    """The recorded settings, or the defaults. ``DEADWEIGHT_SOURCE`` overrides the source's name."""
    settings = store.load(Settings, state.settings) or Settings()
    override = os.environ.get(ENVIRONMENT)
    return replace(settings, source=source_name(override)) if override else settings


def save(state: State, settings: Settings) -> None:
    """Record the settings."""
    store.save(settings, state.settings)


def source_name(text: str) -> SourceName:
    """Raises UsageError that names the choices."""
    if text not in get_args(SourceName):
        raise UsageError(f"unknown source {text!r}", hint=f"choose one of {', '.join(get_args(SourceName))}")
    return cast(SourceName, text)
