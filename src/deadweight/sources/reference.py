"""Image references as people write them, taken apart the way the container engine does it.

``ubuntu:23.10`` means ``docker.io/library/ubuntu:23.10``; the first part is a host only if it holds a dot or a colon, or is
``localhost`` (distribution's reference grammar).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deadweight._errors import MissingError, UsageError

DOCKER_HUB = "docker.io"
APK = "APK repositories"
"""What a problem of ``NoBase`` is about where it is no base: what apko and melange take packages from."""

_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageReference:
    """A reference in parts: ``docker.io``, ``library/ubuntu``, ``23.10``. ``tag`` is None only beside a digest."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    def at(self, prefix: str) -> str:
        """The same image under another host or host/prefix."""
        name = f"{prefix.rstrip('/')}/{self.repository}"
        name += f":{self.tag}" if self.tag else ""
        return name + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.at(self.host)


class NoBase(MissingError):
    """Bases that cannot be had. ``problems`` are the message's lines, each with the reference that it is about, or ``APK``.

    A source knows no files: whoever does says where each is named (``placed``).
    """

    def __init__(self, *problems: tuple[str | None, str], hint: str | None = None) -> None:
        super().__init__("\n".join(text for _, text in problems), hint=hint)
        self.problems = problems

    def placed(self, places: Mapping[str, str]) -> NoBase:
        """The same, each line led by the place of its reference."""
        leads = {about: f"{place}: " for about, place in places.items()}
        return NoBase(*((about, leads.get(about or "", "") + text) for about, text in self.problems), hint=self.hint)


def parse(text: str) -> ImageReference:
    """Take a reference apart. Raises UsageError for what the container engine would refuse too."""
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.partition("/")
    has_host = bool(slash) and ("." in head or ":" in head or head == "localhost" or head != head.lower())
    host, path = (head, tail) if has_host else (DOCKER_HUB, rest)
    name, _, tag = path.partition(":")
    if host in _HUB_NAMES:
        host, name = DOCKER_HUB, name if "/" in name else f"library/{name}"
    good = _HOST.fullmatch(host) and _PATH.fullmatch(name) and (not tag or _TAG.fullmatch(tag))
    if not good or ("@" in text and not _DIGEST.fullmatch(digest)) or path.endswith(":"):
        raise UsageError(
            f"{text!r} is no image reference", hint="write it as HOST/REPOSITORY:TAG, for example ubuntu:23.10"
        )
    return ImageReference(host, name, tag or (None if digest else "latest"), digest or None)


def is_reference(text: str) -> bool:
    """Whether ``parse`` takes it."""
    try:
        parse(text)
    except UsageError:
        return False
    return True
