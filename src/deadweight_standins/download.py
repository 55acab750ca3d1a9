"""A file of a package registry, over HTTP, bounded in size and time."""

from __future__ import annotations

import urllib.request

from deadweight._errors import MissingError

MAX_BYTES = 200 * 2**20
SECONDS = 120


def download(url: str, whose: str) -> bytes:
    """``whose`` is told in errors (``npm's registry``). Raises MissingError for what is no address, out of reach or too large."""
    if not url.startswith(("https://", "http://")):
        raise MissingError(f"{url}: not an address of {whose}", hint=f"correct it in the settings that name {whose}")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - http and https only
            raw: bytes = answer.read(MAX_BYTES + 1)
    except OSError as error:
        raise MissingError(
            f"{whose} cannot be reached: {error}", hint="check network and proxies: invoke doctor"
        ) from error
    if len(raw) > MAX_BYTES:
        raise MissingError(
            f"{url}: is larger than {MAX_BYTES} bytes, more than is downloaded of any file",
            hint="check that this address is the right one",
        )
    return raw
