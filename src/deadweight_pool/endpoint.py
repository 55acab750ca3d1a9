"""One endpoint as buildctl reaches it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """``tls`` are buildctl's words for the certificates, ``env`` is what its helper programs need (``DOCKER_HOST``).

    ``wanted`` are the platforms that it may be given (empty: all that it builds). ``places`` is how many builds it runs at once.
    """

    name: str
    address: str
    tls: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    places: int = 2

    @property
    def words(self) -> tuple[str, ...]:
        """The words of buildctl that say where."""
        return ("--addr", self.address, *self.tls)


@dataclass(frozen=True)
class Seen:
    """What an endpoint says of itself: BuildKit's version (``0.34.2``) and the platforms that it builds."""

    version: str
    platforms: tuple[str, ...]

    def fits(self, endpoint: Endpoint, platform: str) -> bool:
        """Whether it is to build for this platform, and can."""
        return platform in self.platforms and (not endpoint.wanted or platform in endpoint.wanted)


# Rendezvous hashing: each key has an order of preference over all endpoints, which changes for no key but a lost endpoint's.
#
# Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
def ranked(key: str, names: Iterable[str]) -> list[str]:
    """The names, the one first that the key prefers."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{name}\0{key}".encode()).digest(), reverse=True)
