"""Define the ``pool:`` records: BuildKit endpoints for Dockerfile builds, their shared caches, engines for checks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from deadweight._errors import wording
from deadweight.suite.values import STRICT, AnyPath, Name, Record, Seconds, Text, matching

_TCP_OR_UNIX = r"tcp://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}|unix:///[^\x00-\x1f]+"
_SECRETS = ("access_key_id", "secret_access_key", "session_token", "token")
_CACHE = re.compile(r"type=(?:registry|local|s3|gha|azblob)(?:,[\w.-]+=[^,\s]+)*")


def _cache(text: str) -> str:
    if not _CACHE.fullmatch(text):
        raise ValueError(wording("suite.buildkit_cache"))
    for secret in _SECRETS:
        if f",{secret}=" in text:
            raise PydanticCustomError("secret", "{name}", {"name": secret})
    return text


Address = Annotated[
    str,
    matching(
        rf"{_TCP_OR_UNIX}|docker-container://[\w.-]+|kube-pod://[\w.-]+(?:\?[\w.=&-]+)?",
        lambda: wording("suite.buildkit_address"),
    ),
]
Host = Annotated[
    str,
    matching(
        rf"{_TCP_OR_UNIX}|ssh://[^\s/]+(?:/[^\s]*)?",
        lambda: wording("suite.engine_host"),
    ),
]
Platform = Annotated[str, matching(r"[a-z0-9]+/[a-z0-9_]+(?:/v\d+)?", lambda: wording("suite.platform"))]
Cache = Annotated[str, AfterValidator(_cache)]


class Endpoint(Record):
    """One place that builds: a BuildKit daemon by ``address``, or a buildx builder by name (``builder``), each of its nodes.

    ``ca``, ``cert`` and ``key`` are PEM files for mutual TLS, relative to the file that names them; ``server_name`` is the name in
    the daemon's certificate where that is not the address's. ``platforms`` are those that it may be given (default: all that it
    says it builds), ``places`` is how many builds it runs at once.
    """

    address: Address | None = None
    builder: Text | None = None
    ca: AnyPath | None = None
    cert: AnyPath | None = None
    key: AnyPath | None = None
    server_name: Text | None = None
    platforms: tuple[Platform, ...] = ()
    places: Annotated[int, Field(ge=1, le=256), STRICT] = 2

    @model_validator(mode="after")
    def _one_of_both(self) -> Endpoint:
        if (self.address is None) == (self.builder is None):
            raise ValueError(wording("suite.address_or_builder"))
        tls = (self.ca, self.cert, self.key)
        if any(tls) and not (self.address or "").startswith("tcp://"):
            raise ValueError(wording("suite.certificates_of_tcp"))
        if any(tls) and not all(tls):
            raise ValueError(wording("suite.certificates_together"))
        return self


class CheckEngine(Record):
    """A container engine that runs checks: ``host`` is what ``DOCKER_HOST`` would be.

    ``certificates`` is a folder with ca.pem, cert.pem and key.pem for a ``tcp://`` engine with TLS, relative to the file that names
    it. ``places`` is how many variants are checked there at once.
    """

    host: Host
    certificates: AnyPath | None = None
    places: Annotated[int, Field(ge=1, le=256), STRICT] = 2

    @model_validator(mode="after")
    def _tls_over_tcp(self) -> CheckEngine:
        if self.certificates is not None and not self.host.startswith("tcp://"):
            raise ValueError(wording("suite.certificates_of_tcp"))
        return self


class PoolCache(Record):
    """Layers that endpoints share: ``import`` is always read, ``export`` is written as ``when`` says.

    ``auto`` writes where what was written was used in the last builds (measured). ``{service}`` and ``{variant}`` in a cache's
    text are the variant's.
    """

    read: Annotated[tuple[Cache, ...], Field(alias="import")] = ()
    export: Cache | None = None
    when: Literal["auto", "always", "never"] = "auto"


class Pool(Record):
    """``pool:``. ``endpoints`` build, ``engines`` run checks. An endpoint that gives no answer for ``lost_after_seconds`` loses its
    builds to the others."""

    endpoints: dict[Name, Endpoint] = {}
    engines: dict[Name, CheckEngine] = {}
    cache: PoolCache = PoolCache()
    lost_after_seconds: Seconds = 20.0

    @model_validator(mode="after")
    def _some(self) -> Pool:
        if not self.endpoints and not self.engines:
            raise ValueError(wording("suite.empty_pool"))
        return self
