"""Which source a run uses: the one asked for, else the recorded one, else what ``auto`` finds."""

from __future__ import annotations

from dataclasses import replace

from deadweight.records.paths import State
from deadweight.sources import settings as recorded
from deadweight.sources.protocol import Say, Source
from deadweight.suite.model import Suite


def choose(suite: Suite, state: State, say: Say, override: str | None = None) -> Source:
    """The source for this run. Raises UsageError for an unknown name, ConfigError for a mirror that is not configured."""
    from deadweight.sources.local.source import LocalSource

    settings = recorded.load(state)
    return LocalSource(state, settings)


def remember(suite: Suite, state: State, source: str) -> None:
    """Record the source for later runs. Raises UsageError for an unknown name."""
    recorded.save(state, replace(recorded.load(state), source=recorded.source_name(source)))


def stop_local(say: Say) -> None:
    """End the local registry if it runs; what it holds stays."""
    from deadweight.sources.local.source import stop_local_registry

    if stop_local_registry():
        say("ended the local registry")
