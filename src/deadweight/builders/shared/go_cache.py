"""One Go compile cache for the builders that compile on this machine: ko, and melange inside its sandbox.

melange binds its ``--cache-dir`` to ``/var/cache/melange``; a melange.yaml that sets ``GOCACHE: /var/cache/melange/go-build``
therefore works on the same cache as ko. With one Go version, the same tags and instruction set, ``-trimpath`` (which takes
folders out of Go's action ids) and ``-buildvcs=false`` every package, the service's own too, is compiled once for both.
"""

from __future__ import annotations

from pathlib import Path

from deadweight.records.built_image import BUILT_FILE, BuiltImage
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.suite.model import Variant


def melange_cache(state: State) -> Path:
    """What melange sees as /var/cache/melange."""
    return state.cache / "melange"


def environment(state: State) -> dict[str, str]:
    """Go's environment on this machine."""
    folder = melange_cache(state) / "go-build"
    folder.mkdir(parents=True, exist_ok=True)
    return {"GOCACHE": str(folder), "GOTOOLCHAIN": "local"}


def is_warm(state: State) -> bool:
    """Whether anything was ever compiled into the cache."""
    return (melange_cache(state) / "go-build/00").is_dir()


def filled(state: State, variant: Variant, go: str | None) -> bool:
    """Whether the cache holds what a build of this variant with this Go has compiled."""
    built = load(BuiltImage, state.image(variant.name) / BUILT_FILE)
    return built is not None and go is not None and built.go_version == go and is_warm(state)
