"""One endpoint as buildctl reaches it."""

from __future__ import annotations

from collections.abc import Mapping
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
