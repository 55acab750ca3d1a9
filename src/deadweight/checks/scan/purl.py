"""Packages by their package URLs, in one normal form whoever wrote them.

The same Debian package is ``bsdutils@2.38.1?epoch=1`` to the scanner and ``bsdutils@1%3A2.38.1`` to others; the same jar is named
with and without ``?type=jar``. Source: the package URL specification, and its types apk, deb, golang and maven.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote

COMPARED = ("apk", "deb", "golang", "maven")
"""The types of which our reader sees what is in an image."""

_UNSAID = ("(devel)", "devel", "unknown", "UNKNOWN")


@dataclass(frozen=True, order=True)
class Part:
    """One package. ``version`` is empty where an SBOM does not say it; ``type`` is that of package URLs.

    ``namespace`` is a distribution's name or a Maven group; it takes no part in comparisons, since not every side knows it.
    """

    type: str
    name: str
    version: str
    namespace: str = field(default="", compare=False)

    @property
    def purl(self) -> str:
        """Its package URL; empty for a jar whose Maven group nobody tells, since there is none without."""
        if self.type == "maven" and not self.namespace:
            return ""
        namespace = f"{quote(self.namespace, safe='')}/" if self.namespace else ""
        version = f"@{quote(self.version, safe='')}" if self.version else ""
        return f"pkg:{self.type}/{namespace}{quote(self.name, safe='/')}{version}"

    def __str__(self) -> str:
        return f"{self.type} {self.name} {self.version}".strip()


def part(purl: str) -> Part | None:
    """A package URL in the normal form; None for what is none, or is an image."""
    bare, _, query = purl.partition("#")[0].partition("?")
    kind, _, rest = bare.removeprefix("pkg:").partition("/")
    name, at, version = rest.rpartition("@")
    if not at or "/" in version:
        name, version = rest, ""
    namespace, name = "", unquote(name)
    if kind not in (
        "golang",
        "npm",
    ):  # a path of these is a name; elsewhere what stands before it is a distribution or a group
        namespace, _, name = name.rpartition("/")
    if not bare.startswith("pkg:") or kind == "oci" or not name:
        return None
    return Part(kind, name, _with_epoch(stated(unquote(version)), query), namespace)


def _with_epoch(version: str, query: str) -> str:
    epoch = parse_qs(query).get("epoch", ["0"])[0]
    return f"{epoch}:{version}" if version and epoch != "0" and not version.startswith(f"{epoch}:") else version


def stated(version: str) -> str:
    """A version, or nothing where it says that there is none."""
    return "" if version in _UNSAID else version
