"""Detect the runtime and version that an image's service uses: Go, JRE, Node, Python and more.

It is read from the program that the entry point leads to, in place and in pieces, however large the program is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deadweight_images.archive.archive import Archive, open_archive
from deadweight_images.archive.model import Layer, shown
from deadweight_images.contents.entrypoint import DEFAULT_PATH, SHELLS, Setting, Started, identified, on_path, started
from deadweight_images.contents.filesystem import Filesystem
from deadweight_images.inspect.cache import Cache, identity
from deadweight_images.layers.index import LayerIndex
from deadweight_images.layers.indexing import Indexer

EDITION = 1
"""Raised when the same image gives another runtime: what the cache holds is then looked at anew."""

_RUSTC = re.compile(rb"rustc version (\d+\.\d+\.\d+)")
_OVERLAP = 64
_DEBUG_INFO = b".debug_info\0"
"""As the names of an ELF file's sections have it."""
_SEARCHED = ("java", "node", "python3", "python", "ruby", "php", "dotnet", "perl")


@dataclass(frozen=True, slots=True)
class Runtime:
    """``name``: Go, JRE, JDK, Node, Python, Ruby, PHP, Perl, .NET, Deno, Bun, Rust; ``native`` for a compiled program of which no
    more is known, ``shell`` for a shell, ``none`` where the image names no program that is in it. ``version`` may be empty.
    ``path`` is the program's place in the image.
    """

    name: str
    version: str = ""
    path: str = ""


def runtime(archive: Path, cache_dir: Path | None = None) -> Runtime:
    """The runtime of an archive's image; with ``cache_dir`` it is kept for this very file. Raises ArchiveError."""
    cache = Cache(cache_dir)
    key = f"runtime {EDITION} {identity(archive)}"
    known = cache.note(key)
    if known is not None:
        return Runtime(known.get("name", ""), known.get("version", ""), known.get("path", ""))
    with open_archive(archive) as opened, Indexer(verify=False) as indexer:
        runtime = of_image(opened, [_index(opened, layer, cache, indexer) for layer in opened.image.layers])
    cache.keep_note(key, asdict(runtime))
    return runtime


@dataclass(frozen=True, slots=True)
class Listing:
    """What an image holds: ``files`` as ``Filesystem.listed``, ``programs`` are the names of what ``PATH`` leads to. The service's
    own is of ``size_bytes`` and ``mode``. ``author`` and ``created`` (RFC 3339) are the config's."""

    files: Mapping[str, str]
    programs: frozenset[str]
    runtime: Runtime
    size_bytes: int = 0
    mode: int = 0
    debug_info: bool = False
    layers: int = 0
    author: str = ""
    created: str = ""


def listing(archive: Path, cache_dir: Path | None = None) -> Listing:
    """The files and programs of an archive's image, to compare them with another one's. Raises ArchiveError."""
    with open_archive(archive) as opened, Indexer(verify=False) as indexer:
        indices = [_index(opened, layer, Cache(cache_dir), indexer) for layer in opened.image.layers]
        files, config, runtime = Filesystem(opened, indices), opened.image.config, of_image(opened, indices)
        listed = dict(files.listed())
        folders = dict(entry.partition("=")[::2] for entry in config.env).get("PATH", DEFAULT_PATH).split(":")
        on_path = (path for path in listed if path.rpartition("/")[0] in folders)
        programs = frozenset(
            path.rpartition("/")[2] for path in on_path if (it := files.file(path)) and it.mode & 0o111
        )
        author = str(json.loads(opened.image.raw_config).get("author") or "")
        seen = Listing(listed, programs, runtime, 0, 0, False, len(indices), author, config.created)
        if (program := started(config, files)) is None:
            return seen
        debug_info = _DEBUG_INFO in b"".join(files.pieces(program.file))
        return replace(seen, size_bytes=program.file.size_bytes, mode=program.file.mode, debug_info=debug_info)


def _index(archive: Archive, layer: Layer, cache: Cache, indexer: Indexer) -> LayerIndex:
    """A layer's structure: as any earlier look at it kept it, else read now."""
    known = cache.any_layer(layer.diff_id)
    return known or indexer.blob(archive.blob(layer), layer.compression, f"{archive.path}: layer {layer.index + 1}")


def of_image(archive: Archive, indices: list[LayerIndex]) -> Runtime:
    """The runtime of an image whose layers were read."""
    config = archive.image.config
    setting = Setting(Filesystem(archive, indices), dict(item.partition("=")[::2] for item in config.env))
    program = started(config, setting.files)
    if program is None:
        return Runtime("none")
    runtime = _program(program, setting)
    is_script = runtime.name == "shell" and program.called not in SHELLS
    return (_only(setting) or runtime) if is_script else runtime


def _program(program: Started, setting: Setting) -> Runtime:
    place = shown(program.file.path)
    known = identified(program.called, program.file, setting)
    if known is not None:
        return Runtime(*known, place)
    go = setting.files.go_program(program.file)
    if go is not None:
        return Runtime("Go", go.go_version.removeprefix("go").split(" ")[0], place)
    if program.called in SHELLS or setting.files.start(program.file, 2) == b"#!":
        return Runtime("shell", "", place)
    rust = _rust(setting.files.pieces(program.file))
    return Runtime("Rust", rust, place) if rust else Runtime("native", "", place)


def _only(setting: Setting) -> Runtime | None:
    """Behind a script that cannot be followed: the one runtime that the image has, if it is one."""
    there = ((name, on_path(name, setting.files, setting.env)) for name in _SEARCHED)
    runtimes = {_program(Started(file, name), setting) for name, file in there if file is not None}
    return runtimes.pop() if len(runtimes) == 1 else None


def _rust(pieces: Iterable[bytes]) -> str:
    """What rustc wrote into the section ``.comment``, which stripping leaves in place."""
    rest = b""
    for piece in pieces:
        match = _RUSTC.search(rest + piece)
        if match:
            return match[1].decode()
        rest = piece[-_OVERLAP:]
    return ""
