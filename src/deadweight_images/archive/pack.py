"""Pack files into an image layer: a reproducible gzipped tar (zero times, names sorted, owned by root by default)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

CHUNK = 1 << 20
LEVEL = 6
FAST = 1


@dataclass(frozen=True)
class Layer:
    """A finished layer: its file, the digest of that file, the digest of the tar inside, and its size in bytes."""

    path: Path
    digest: str
    diff_id: str
    size: int


class _Sink:
    """Takes the tar; writes it gzipped; keeps both digests. A gzip header from zlib holds no time and no name."""

    def __init__(self, out: IO[bytes], level: int) -> None:
        self.inner, self.outer, self.size = hashlib.sha256(), hashlib.sha256(), 0
        self._out, self._gzip = out, _encoder(level)

    def write(self, data: bytes) -> int:
        self.inner.update(data)
        self._emit(self._gzip.compress(data))
        return len(data)

    def finish(self) -> None:
        self._emit(self._gzip.flush())

    def _emit(self, data: bytes) -> None:
        self.outer.update(data)
        self.size += len(data)
        self._out.write(data)


def from_tar(source: Path, target: Path, *, level: int = LEVEL) -> Layer:
    """Gzip a tar that is already in its final form."""

    def copy(sink: _Sink) -> None:
        with source.open("rb") as file:
            while data := file.read(CHUNK):
                sink.write(data)

    return _write_layer(target, level, copy)


def from_tree(
    folder: Path, target: Path, *, prefix: str = "", level: int = LEVEL, owners: Mapping[str, int] | None = None
) -> Layer:
    """Pack a folder. Directories become 0755, files 0755 or 0644 unless ``modes`` in the tree are special (sticky, setuid).

    ``owners`` are numbers of users, by the paths of what is theirs.
    """

    def pack(sink: _Sink) -> None:
        with _tar(sink) as tar:
            for name in _parents(prefix):
                tar.addfile(_member(name, stat.S_IFDIR | 0o755))
            for path in _walk(folder):
                name = "/".join(part for part in (prefix, path.relative_to(folder).as_posix()) if part)
                _add(tar, path, name, _owner(name, owners or {}))

    return _write_layer(target, level, pack)


def _encoder(level: int) -> Any:
    """Who writes gzip: for FAST it is ISA-L, in a fifth of zlib's time, where its package is there."""
    if level == FAST:
        with contextlib.suppress(ImportError):
            from isal import isal_zlib

            return isal_zlib.compressobj(FAST, zlib.DEFLATED, 31)
    return zlib.compressobj(level, zlib.DEFLATED, 31)


def _write_layer(target: Path, level: int, fill: Callable[[_Sink], None]) -> Layer:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as out:
            sink = _Sink(out, level)
            fill(sink)
            sink.finish()
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Layer(target, f"sha256:{sink.outer.hexdigest()}", f"sha256:{sink.inner.hexdigest()}", sink.size)


def _tar(sink: _Sink) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], sink), mode="w|", bufsize=CHUNK, format=tarfile.GNU_FORMAT)


def _parents(prefix: str) -> list[str]:
    parts = [part for part in prefix.split("/") if part]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _walk(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _owner(name: str, owners: Mapping[str, int]) -> int:
    return next((number for place, number in owners.items() if name == place or name.startswith(f"{place}/")), 0)


def _add(tar: tarfile.TarFile, path: Path, name: str, owner: int) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        link = _member(name, stat.S_IFLNK | 0o777, owner)
        link.linkname = str(path.readlink())
        tar.addfile(link)
    elif stat.S_ISDIR(status.st_mode):
        tar.addfile(_member(name, status.st_mode, owner))
    else:
        member = _member(name, status.st_mode, owner)
        member.size = status.st_size
        with path.open("rb") as file:
            tar.addfile(member, file)


def _member(name: str, mode: int, owner: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    special, executable = stat.S_IMODE(mode) & 0o7000, bool(mode & 0o111)
    kinds = {stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
    member.type = kinds.get(stat.S_IFMT(mode), tarfile.REGTYPE)
    member.mode = 0o777 if special & stat.S_ISVTX or stat.S_ISLNK(mode) else 0o755 if executable else 0o644
    member.mode |= special
    member.uid = member.gid = owner
    return member
