"""Parse image references, as people write them, as registry clients need them, and as engines list them.

``ubuntu:23.10`` means ``docker.io/library/ubuntu:23.10``; the first part is a host only if it contains a dot or a colon, or is
``localhost`` (distribution's reference grammar).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from deadweight._errors import UsageError, wording

DOCKER_HUB = "docker.io"

_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ImageReference(NamedTuple):
    """A reference in parts: ``docker.io``, ``library/ubuntu``, ``23.10``. ``tag`` is None only beside a digest."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """The repository with its registry, without tag and digest."""
        return f"{self.host}/{self.repository}"

    def at(self, prefix: str) -> str:
        """The same image under another host or host/prefix."""
        name = f"{prefix.rstrip('/')}/{self.repository}"
        name += f":{self.tag}" if self.tag else ""
        return name + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.at(self.host)


NO_MANIFEST = "check the reference, and that a registry answers there: it may be a proxy or a login page"


def split(text: str) -> tuple[str, str, str]:
    """Name, tag and digest as they stand, empty where there is none: ``h:5000/a:1@sha256:…``. Judges nothing."""
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag, digest


def parse(text: str) -> ImageReference:
    """Take a reference apart as a container engine does. Raises UsageError for what the engine would refuse too."""
    head, slash, tail = text.partition("/")
    has_host = bool(slash) and (_is_host(head) or head != head.lower())
    host, rest = (head, tail) if has_host else (DOCKER_HUB, text)
    name, tag, digest = split(rest)
    if host in _HUB_NAMES:
        host, name = DOCKER_HUB, name if "/" in name else f"library/{name}"
    good = _HOST.fullmatch(host) and _PATH.fullmatch(name) and (not tag or _TAG.fullmatch(tag))
    if not good or ("@" in text and not _DIGEST.fullmatch(digest)) or rest.partition("@")[0].endswith(":"):
        raise UsageError(wording("records.not_a_reference", text=text))
    return ImageReference(host, name, tag or (None if digest else "latest"), digest or None)


def _is_host(head: str) -> bool:
    return "." in head or ":" in head or head == "localhost"


def is_reference(text: str) -> bool:
    """Whether ``parse`` takes it."""
    try:
        parse(text)
    except UsageError:
        return False
    return True


def names_registry(text: str) -> bool:
    """Whether it is a reference that says which registry is meant."""
    head, slash, _ = text.partition("/")
    return bool(slash) and _is_host(head) and is_reference(text)


def in_registry(text: str) -> ImageReference:
    """A reference that names its registry, as a registry's client takes it; here a tag is None where none is given.

    Raises UsageError, which never repeats a reference that carries a password.
    """
    host, _, rest = text.partition("/")
    if "@" in host:
        raise UsageError(wording("records.credentials"))
    name, tag, digest = split(rest)
    reference = ImageReference(host, name, tag or None, digest or None)
    good = _HOST.fullmatch(host) and _PATH.fullmatch(name) and (not tag or _TAG.fullmatch(tag))
    if not good or (digest and not _DIGEST.fullmatch(digest)) or str(reference) != text:
        raise UsageError(wording("records.not_in_registry", text=text))
    return reference


def with_registry(text: str) -> str:
    """The same with the registry that goes without saying, which Podman would not ask by itself. Judges nothing."""
    head, slash, _ = text.partition("/")
    if slash and _is_host(head):
        return text
    return f"{DOCKER_HUB}/{text}" if slash else f"{DOCKER_HUB}/library/{text}"


def short(text: str) -> str:
    """A reference as people say it: without the registry that goes without saying, and without a digest."""
    return text.partition("@")[0].removeprefix(f"{DOCKER_HUB}/").removeprefix("library/")
