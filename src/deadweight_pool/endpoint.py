"""Probe a BuildKit endpoint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from deadweight import _run
from deadweight._errors import CommandError
from deadweight.toolchain.find import find, number
from deadweight_images.errors import Catalogue, Message

wording = Catalogue("deadweight_pool")
"""This package's sentences, by code (``messages.toml``)."""


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


class Seen(NamedTuple):
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


# Asking an endpoint what it is, and whether it still answers.
LEAST = "0.16"
"""BuildKit that rewrites times of files (0.13) and gives a build's secret as a variable (Dockerfile 1.10)."""

_REASON = r'(?s)(?:desc = "(?P<inner>.*)"|(?P<outer>Unavailable: .*|rpc error: .*))$'
_WHY: tuple[tuple[str, Callable[[str], Message]], ...] = (
    ("x509: certificate signed by unknown authority", lambda _: wording("endpoint.ca")),
    ("x509: ", lambda reason: wording("endpoint.certificate", reason=reason)),
    ("first record does not look like a TLS handshake", lambda _: wording("endpoint.no_tls")),
    ("remote error: tls", lambda _: wording("endpoint.not_accepted")),
    ("frame too large", lambda _: wording("endpoint.no_http2")),
    ("connection refused", lambda _: wording("endpoint.no_listener")),
    ("no such host", lambda reason: wording("endpoint.unknown_host", reason=reason)),
    ("authentication handshake failed: context deadline", lambda _: wording("endpoint.silent")),
    ("authentication handshake failed: EOF", lambda _: wording("endpoint.no_tls_or_refused")),
    ("deadline exceeded", lambda _: wording("endpoint.silent")),
    ("no such file or directory", lambda reason: wording("endpoint.missing", reason=reason)),
)  # fmt: skip
_PLATFORM = ("os", "architecture", "variant")
_CLOSED = "broken pipe|connection reset|EOF|connection closed|error reading server preface"


class Unreachable(Exception):
    """Why an endpoint cannot be used."""

    def __init__(self, why: Message) -> None:
        super().__init__(why)
        self.why = why


def probe(endpoint: Endpoint, seconds: float) -> Seen:
    """What it says of itself. Raises Unreachable with the reason, MissingError where there is no buildctl."""
    words: list[str | Path] = [find("buildctl").path, "--timeout", str(max(1, int(seconds))), *endpoint.words]
    try:
        words += ["debug", "workers", "--format", "{{json .}}"]
        workers: list[dict[str, Any]] = json.loads(_run.run(words, env=endpoint.env, timeout=seconds).output)
        version = str(workers[0]["buildkitVersion"]["version"]).removeprefix("v")
        parts = [[one.get(key) for key in _PLATFORM] for worker in workers for one in worker["platforms"]]
    except CommandError as error:
        silent = error.exit_code_of_command is None
        why = wording("endpoint.silent") if silent else _why_not(endpoint, "\n".join(error.tail))
        raise Unreachable(why) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Unreachable(wording("endpoint.not_buildkit")) from None
    if re.match(r"\d", version) and number(version) < number(LEAST):
        raise Unreachable(wording("endpoint.too_old", version=version, least=LEAST))
    return Seen(version, tuple(dict.fromkeys("/".join(filter(None, part)) for part in parts)))


def _why_not(endpoint: Endpoint, output: str) -> Message:
    match = re.search(_REASON, output)
    reason = ((match["inner"] or match["outer"]) if match else output).strip()
    reason = reason.replace('\\"', '"').replace("\\n", " ")
    last = reason.rpartition("transport: ")[2].removeprefix("authentication handshake failed: ")
    # a helper program's own words stand at the end of long ones about how it was started
    last = last.rpartition("stderr=")[2]
    for words, say in _WHY:
        if words in reason:
            return say(last[:200])
    if endpoint.tls and re.search(_CLOSED, reason):
        return wording("endpoint.not_accepted")
    return wording("endpoint.other", reason=last[:300]) if last else wording("endpoint.silent")
