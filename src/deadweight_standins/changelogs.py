"""Read fixed CVEs from the changelogs inside Debian and Ubuntu ``.deb`` files.

A changelog entry that names a CVE counts as its fix; if several do, the earliest. This is a lower bound: CVEs that are known but
not fixed are in no changelog, and an installed package as new as the changelog lacks none of its fixes.
Sources: deb(5), deb-changelog(5).
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, cast

import zstandard

_HEAD = re.compile(r"^(\S+) \(([^)\s]+)\) ")
_TAIL = re.compile(r"^ -- .*>  (.+)$")
_CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")
MAX_TEXT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Fixes:
    """``packages`` maps a source package to its fixed CVEs and the version that fixes each; ``newest`` is the date of the last
    entry that was read (None where none was)."""

    packages: Mapping[str, Mapping[str, str]]
    newest: datetime | None

    @property
    def count(self) -> int:
        """Different CVEs."""
        return len({cve for fixed in self.packages.values() for cve in fixed})


def read(debs: Iterable[Path]) -> Fixes:
    """The fixes that the changelogs of these files name: of each source package and version, that of the smallest file with one.

    A file that is no package, or has no changelog, adds nothing.
    """
    packages: dict[str, dict[str, str]] = {}
    dates: list[datetime] = []
    for source, files in _by_source(debs):
        text = next((text for text in map(_changelog, files) if text), "")
        fixed, newest = parse(text, source)
        kept = packages.setdefault(source, {})
        kept |= {cve: fix for cve, fix in fixed.items() if cve not in kept}
        dates += [newest] if newest else []
    return Fixes({name: fixed for name, fixed in packages.items() if fixed}, max(dates, default=None))


def parse(text: str, source: str) -> tuple[dict[str, str], datetime | None]:
    """CVEs of a changelog with the version of the earliest entry that names each, and the date of its newest entry."""
    fixed: dict[str, str] = {}
    newest: datetime | None = None
    version = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            version = head[2] if head[1] == source else ""
        elif newest is None and (tail := _TAIL.match(line)):
            with contextlib.suppress(ValueError):
                newest = parsedate_to_datetime(tail[1]).astimezone(UTC)
        elif version:
            fixed |= dict.fromkeys(_CVE.findall(line), version)  # entries run from new to old: the oldest one stays
    return fixed, newest


def _by_source(debs: Iterable[Path]) -> Iterator[tuple[str, list[Path]]]:
    """Files by source package, those of each version on their own."""
    sources: dict[tuple[str, str], list[Path]] = {}
    for deb in sorted(debs, key=lambda path: path.stat().st_size):
        control = _control(deb)
        name, _, version = control.get("Source", control.get("Package", "")).partition(" ")
        if name:
            sources.setdefault((name, version.strip("()") or control.get("Version", "")), []).append(deb)
    return ((name, files) for (name, _version), files in sources.items())


def _control(deb: Path) -> dict[str, str]:
    for name, file in _files(deb, "control.tar"):
        if name == "control":
            text = file.read(1 << 20).decode("utf-8", "replace")
            return dict(re.findall(r"^(\S+): *(.*)$", text, re.MULTILINE))
    return {}


def _changelog(deb: Path) -> str:
    """The Debian changelog in a package's own documentation: a native package calls it ``changelog.gz``."""
    other = ""
    for name, file in _files(deb, "data.tar"):
        if re.fullmatch(r"usr/share/doc/[^/]+/changelog(\.Debian)?\.gz", name):
            text = _text(file)
            if name.endswith(".Debian.gz"):
                return text
            other = text if _HEAD.match(text) else other
    return other


def _text(file: IO[bytes]) -> str:
    try:
        with gzip.open(file) as unpacked:
            return unpacked.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return ""


def _files(deb: Path, member: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Regular files of one of the two tars in a package, by their names without a leading ``./``."""
    with deb.open("rb") as stream:
        kind = _find(stream, member)
        if kind is None:
            return
        try:
            with tarfile.open(fileobj=_unpacked(stream, kind), mode="r|") as tar:
                for entry in tar:
                    content = tar.extractfile(entry) if entry.isreg() else None
                    if content is not None:
                        yield entry.name.removeprefix("./"), content
        except (tarfile.TarError, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError):
            return


def _find(stream: IO[bytes], member: str) -> str | None:
    """Leave the stream at the content of an ar archive's member (``data.tar``), and give how that is packed (``.xz``)."""
    if stream.read(8) != b"!<arch>\n":
        return None
    while len(head := stream.read(60)) == 60:
        name, size = head[:16].decode("ascii", "replace").strip().rstrip("/"), head[48:58].strip()
        if name.startswith(member):
            return name.removeprefix(member)
        if not size.isdigit():
            return None
        stream.seek(int(size) + int(size) % 2, 1)
    return None


def _unpacked(stream: IO[bytes], kind: str) -> IO[bytes]:
    if kind == ".xz":
        return cast(IO[bytes], lzma.open(stream))
    if kind == ".zst":
        return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(stream))
    return cast(IO[bytes], gzip.open(stream)) if kind == ".gz" else stream
