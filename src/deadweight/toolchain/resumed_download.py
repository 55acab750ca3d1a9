"""The rest of a blob whose transfer broke off: one request for a range (RFC 9110, 14.2), with the token that crane gets.

crane reads a blob from its beginning only. Credentials stay its own business: it tells a header for one repository, which is sent
to that registry and to no host that it refers to.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from deadweight._errors import CommandError
from deadweight._run import run
from deadweight.records.reference import DOCKER_HUB, in_registry

_HUB = "registry-1.docker.io"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SECONDS = 60.0  # without a byte


@contextmanager
def rest(
    crane: Path, reference: str, digest: str, offset: int, *, insecure: bool, env: Mapping[str, str] | None
) -> Iterator[IO[bytes]]:
    """A blob from that offset (bytes) on. Raises OSError where the registry cannot be reached, or gives no ranges."""
    place = in_registry(reference)
    plain = insecure or place.host.rpartition(":")[0] in _LOOPBACK or place.host in _LOOPBACK
    host = _HUB if place.host == DOCKER_HUB else place.host
    request = Request(f"{'http' if plain else 'https'}://{host}/v2/{place.repository}/blobs/{digest}")  # noqa: S310 - http(s) only
    request.add_header("Range", f"bytes={offset}-")
    if header := _authorization(crane, place.name, insecure, env):
        request.add_unredirected_header("Authorization", header)
    around = {**os.environ, **(env or {})}
    trusted = ssl.create_default_context(cafile=around.get("SSL_CERT_FILE"))
    opener = build_opener(ProxyHandler(_proxies(around)), HTTPSHandler(context=trusted))
    with opener.open(request, timeout=_SECONDS) as answer:
        if answer.status != 206 or not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-"):
            raise OSError(f"{host} gives no part of a blob")
        yield cast(IO[bytes], answer)


def _authorization(crane: Path, name: str, insecure: bool, env: Mapping[str, str] | None) -> str:
    """The header's value; empty where the registry asks for no token."""
    words = [str(crane), *(["--insecure"] if insecure else []), "auth", "token", "-H", name]
    try:
        told = run(words, timeout=60, env=env).output.strip()
    except CommandError:
        return ""
    return told.removeprefix("Authorization:").strip()


def _proxies(around: Mapping[str, str]) -> dict[str, str]:
    found = {key: around.get(f"{key}_proxy") or around.get(f"{key.upper()}_PROXY") or "" for key in ("http", "https")}
    return {key: value for key, value in found.items() if value}
