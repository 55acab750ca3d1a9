"""Find which files of a built image its service needs: those copied in, those opened in a run, and their dependencies.

Nothing else of the base is kept. An interpreter keeps its whole folder and folders of its name: code that no request has used yet
loads from there. Libraries are followed as the loader does (ELF: System V gABI, chapter 5). Links stay links.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
import struct
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import Archive, open_archive
from deadweight_images.contents.filesystem import Filesystem
from deadweight_images.contents.packages import apk_block
from deadweight_images.layers.index import split
from deadweight_images.layers.indexing import Indexer
from deadweight_images.layers.merge import IMPLIED, Merged

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class LoaderNeeds:
    """``interpreter`` is empty for a library and for a static program; ``paths`` are its own, with ``$ORIGIN`` as written."""

    interpreter: str = ""
    needed: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def loader_needs(binary: bytes) -> LoaderNeeds | None:
    """What an ELF file of 64 bits and little endian asks; None for any other file, and for a damaged one."""
    if binary[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        return _read(binary)
    except (struct.error, ValueError):
        return None


def _read(binary: bytes) -> LoaderNeeds:
    (table,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + size * at) for at in range(count)]
    spans = {kind: (offset, length) for kind, _, offset, _, _, length in headers}
    loads = [(address, offset, length) for kind, _, offset, address, _, length in headers if kind == _LOAD]
    interpreter = _text(binary, spans[_INTERPRETER][0]) if _INTERPRETER in spans else ""
    if _DYNAMIC not in spans:
        return LoaderNeeds(interpreter)
    start, length = spans[_DYNAMIC]
    pairs = list(struct.iter_unpack("<qQ", binary[start : start + length - length % 16]))
    strings = next((value for tag, value in pairs if tag == _STRINGS), 0)
    holding = (offset - address for address, offset, size in loads if address <= strings < address + size)
    base = next((start + strings for start in holding), 0)
    named = {
        tag: [_text(binary, base + value) for kind, value in pairs if kind == tag]
        for tag in (_NEEDED, _RPATH, _RUNPATH)
    }
    paths = [path for tag in (_RPATH, _RUNPATH) for text in named[tag] for path in text.split(":") if path]
    return LoaderNeeds(interpreter, tuple(named[_NEEDED]), tuple(paths))


def _text(binary: bytes, at: int) -> str:
    return binary[at : binary.index(b"\0", at)].decode("utf-8", "replace")


_HOPS = 40
_MOST_BINARY = 512 * 2**20
_LIBRARY = re.compile(r"\.so(?:\.[\d.]+)?$")
_NAMED_LIBRARY = re.compile(rb"\blib[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,60}\.so(?:\.\d+)*")
_NAMED_PROGRAM = re.compile(rb"/(?:usr/(?:local/)?)?s?bin/[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}")
_MOST_TEXT, _MOST_TEXTS = 256 * 1024, 5000
"""So large a file, and so many of them, are searched for names."""
_STEM = re.compile(r"[a-z]{3,}")
DPKG, APK = "var/lib/dpkg/status", ("lib/apk/db/installed", "usr/lib/apk/db/installed")
"""Where package managers say what is installed."""


@dataclass(frozen=True)
class Folder:
    """A folder that is not root's with 0755."""

    path: str
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class RuntimeFiles:
    """``paths`` are files, links and whole folders, without a leading slash; ``packages`` are the OS's of which some
    is kept, by the database that lists them.

    ``gone`` are programs of the base that are not kept, ``left``
    are leavings of tools. ``checks_health``: the image's health check can run with what is kept.
    """

    paths: tuple[str, ...]
    folders: tuple[Folder, ...]
    packages: Mapping[str, tuple[str, ...]]
    gone: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    checks_health: bool = True


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("runtime.toml").read_text(encoding="utf-8"))


def config_of(archive: Path) -> Mapping[str, Any]:
    """The settings of an image (OCI: ``Env``, ``Entrypoint``, ``User`` …)."""
    with open_archive(archive) as image:
        return _config_of(image)


def _config_of(image: Archive) -> Mapping[str, Any]:
    return json.loads(image.image.raw_config).get("config") or {}


def runtime_files(
    archive: Path, base_layers: frozenset[str], opened: Iterable[str], executed: Iterable[str]
) -> RuntimeFiles:
    """Look into an image's archive. ``base_layers`` are the diff-ids of its base; ``opened`` and ``executed`` are what was seen."""
    with ExitStack() as stack:
        image = stack.enter_context(open_archive(archive))
        indexer = stack.enter_context(Indexer(verify=False))
        indices = [
            indexer.blob(image.blob(layer), layer.compression, f"{archive}: layer {layer.index + 1}")
            for layer in image.image.layers
        ]
        mine = {layer.index for layer in image.image.layers if layer.diff_id not in base_layers}
        config = _config_of(image)
        view = _View(Merged([index.entries for index in indices]), Filesystem(image, indices), mine)
        return _Choice(view, config, list(opened), list(executed)).made()


class _View:
    """The image's files by text paths without a leading slash."""

    def __init__(self, merged: Merged, files: Filesystem, mine: set[int]) -> None:
        self._merged, self._files = merged, files
        self.values = {path.decode("utf-8", "surrogateescape"): value for path, value in merged.view.items() if path}
        self._children: dict[str, list[str]] = {}
        for path in self.values:
            self._children.setdefault(posixpath.dirname(path), []).append(path)
        self._mine = mine

    def kind(self, path: str) -> int | None:
        value = self.values.get(path)
        return None if value is None else self._merged.kind(value)

    def is_mine(self, path: str) -> bool:
        value = self.values[path]
        return value != IMPLIED and split(value)[0] in self._mine

    def target(self, path: str) -> str:
        layer, member = split(self.values[path])
        return self._merged.layers[layer].targets[member].decode("utf-8", "surrogateescape")

    def owned(self, path: str) -> Folder:
        value = self.values[path]
        if value == IMPLIED:
            return Folder(path, 0o755, 0, 0)
        layer, member = split(value)
        entries = self._merged.layers[layer]
        return Folder(path, entries.modes[member] & 0o7777, entries.uids[member], entries.gids[member])

    def walk(self, path: str) -> list[str]:
        """Each step that a name takes: links on the way, and what they lead to; empty where it leads nowhere."""
        steps, current, hops = list[str](), "", 0
        todo = [part for part in path.split("/") if part]
        while todo:
            part = todo.pop(0)
            if part in (".", ".."):
                current = posixpath.dirname(current) if part == ".." else current
                continue
            here = f"{current}/{part}" if current else part
            kind = self.kind(here)
            if kind is None:
                return []
            if kind != columns.SYMLINK:
                current = here
                continue
            hops += 1
            if hops > _HOPS:
                return []
            steps.append(here)
            target = self.target(here)
            current = "" if target.startswith("/") else current
            todo = [*(part for part in target.split("/") if part), *todo]
        return [*steps, current] if current else []

    def inside(self, folder: str) -> Sequence[str]:
        """What is right in a folder."""
        return self._children.get(folder, ())

    def below(self, folder: str) -> Iterator[str]:
        """All that is in a folder and is none itself; folders with nothing in them too."""
        todo = [folder]
        while todo:
            path = todo.pop()
            inside = self.inside(path)
            todo += inside
            if not inside:
                yield path

    def head(self, path: str, most: int) -> bytes:
        file = self._files.file(path)
        return self._files.start(file, most) if file is not None else b""

    def content(self, path: str) -> bytes:
        file = self._files.file(path)
        if file is None or file.size_bytes > _MOST_BINARY:
            return b""
        return b"".join(self._files.pieces(file))

    def size(self, path: str) -> int:
        file = self._files.file(path)
        return file.size_bytes if file is not None else 0

    def is_program(self, path: str) -> bool:
        value = self.values.get(path)
        if value is None or self.kind(path) not in (columns.FILE, columns.HARDLINK):
            return False
        return bool(self.owned(path).mode & 0o111)


class _Choice:
    """What is kept, as it grows."""

    def __init__(self, view: _View, config: Mapping[str, Any], opened: list[str], executed: list[str]) -> None:
        self.view, self.config = view, config
        self.env = dict(pair.partition("=")[::2] for pair in config.get("Env") or ())
        steps = (step for path in (*opened, *executed) for step in view.walk(path)[-1:])
        self.opened = [step for step in dict.fromkeys(steps) if view.kind(step) != columns.DIRECTORY]
        self.executed = [path.strip("/") for path in executed]
        self.kept: set[str] = set()
        self._todo: list[str] = []
        self._texts = _MOST_TEXTS

    def made(self) -> RuntimeFiles:
        home = (self.config.get("WorkingDir") or "").strip("/")
        for path in (*_table()["always"], *(() if home in _table()["shared"] else (home,))):
            self._keep_all(path)
        self._keep_own()
        for path in self.opened:
            self._keep_all(self._unit(path))
        self._keep_languages()
        self._keep_started()
        self._follow()
        paths = tuple(sorted(self._fewest_paths()))
        gone, left = tuple(self._dropped_programs()), tuple(self._dropped_leftovers())
        return RuntimeFiles(
            paths, tuple(self._folders(paths)), self._packages(), gone, left, checks_health=self._can_check_health()
        )

    def _keep(self, path: str) -> None:
        """Keep a file with the links that lead to it."""
        for step in self.view.walk(path):
            if any(_is_in(step, folder) for folder in _table()["never"]):
                continue
            if step not in self.kept and not self.view.inside(step):
                self.kept.add(step)
                self._todo.append(step)
        if self.view.kind(path) == columns.SYMLINK and path not in self.kept:  # one that leads nowhere
            self.kept.add(path)

    def _keep_all(self, path: str) -> None:
        """Keep a file, or all of a folder."""
        path = path.strip("/")
        if not path:
            return
        self._keep(path)
        steps = self.view.walk(path)
        if steps and self.view.kind(steps[-1]) == columns.DIRECTORY:
            for entry in self.view.below(steps[-1]):
                self._keep(entry)

    def _keep_own(self) -> None:
        """What the Dockerfile put in, without what its tools left behind and nothing opens."""
        used = {folder for folder in _table()["leftovers"] if any(_is_in(path, folder) for path in self.opened)}
        unused = [folder for folder in _table()["leftovers"] if folder not in used]
        for path in self.view.values:
            if (
                not self.view.inside(path)
                and self.view.is_mine(path)
                and not any(_is_in(path, folder) for folder in unused)
            ):
                self._keep(path)

    def _unit(self, path: str) -> str:
        """The folder that a file of the base belongs to, or the file itself."""
        folder = posixpath.dirname(path)
        if self.view.is_mine(path) or _LIBRARY.search(path) or folder in _table()["programs"] or _is_in(path, "etc"):
            return path
        while folder and posixpath.dirname(folder) not in _table()["shared"]:
            folder = posixpath.dirname(folder)
        return path if folder in _table()["shared"] or not folder else folder

    def _keep_languages(self) -> None:
        """The folders that bear the name of a program that was run: ``perl5`` and ``perl-base`` of ``perl``."""
        for path in self.executed:
            stem = _STEM.match(posixpath.basename(path))
            if stem is None or posixpath.basename(path) in _table()["starters"]:
                continue
            shared = (folder for folder in _table()["shared"] if folder and folder not in _table()["programs"])
            for path_of in (inner for folder in shared for inner in self.view.inside(folder)):
                if posixpath.basename(path_of).startswith(stem[0]) and self.view.kind(path_of) == columns.DIRECTORY:
                    self._keep_all(path_of)

    def _keep_started(self) -> None:
        """The program that the image starts, by every name on its PATH, and those that lead to what was run."""
        words = [*(self.config.get("Entrypoint") or ()), *(self.config.get("Cmd") or ())]
        if words:
            self._keep(self._on_path(words[0]))
        run = {step for path in self.executed for step in self.view.walk(path)[-1:]}
        for link in (inner for folder in self._path() for inner in self.view.inside(folder)):
            if self.view.kind(link) == columns.SYMLINK and run & set(self.view.walk(link)[-1:]):
                self._keep(link)

    def _path(self) -> list[str]:
        """The folders of PATH, really."""
        named = self.env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":")
        return list(dict.fromkeys(step for folder in named for step in self.view.walk(folder)[-1:]))

    def _on_path(self, word: str) -> str:
        if "/" in word:
            return posixpath.normpath(posixpath.join(self.config.get("WorkingDir") or "/", word)).strip("/")
        return next((f"{folder}/{word}" for folder in self._path() if f"{folder}/{word}" in self.view.values), "")

    def _follow(self) -> None:
        """Follow programs and libraries to what they need, and scripts to their interpreters."""
        for name in _table()["libraries"]:
            for folder in self._search(()):
                self._keep(f"{folder}/{name}")
        while self._todo:
            path = self._todo.pop()
            if self.view.is_mine(path):
                self._search_text(path)
            if _LIBRARY.search(path) or self.view.is_program(path):
                self._load(path)

    def _load(self, path: str) -> None:
        """Keep what a program or library needs to be loaded."""
        head = self.view.head(path, 128)
        if head[:2] == b"#!" and path in self.executed:
            self._keep(head[2:].split()[0].decode("utf-8", "replace"))
        content = self.view.content(path) if head[:4] == b"\x7fELF" else b""
        needs = loader_needs(content)
        if needs is None:
            return
        if needs.interpreter:
            self._keep(needs.interpreter)
        if self.view.is_mine(path):
            self._keep_named(content)
        origin = "/" + posixpath.dirname(path)
        own = [re.sub(r"\$\{?ORIGIN\}?", origin, path) for path in needs.paths]
        for name in needs.needed:
            for library in self._library_paths(name, own):
                self._keep(library)

    def _search_text(self, path: str) -> None:
        """Look into a small file of the own for what it names."""
        if self._texts and self.view.size(path) <= _MOST_TEXT:
            self._texts -= 1
            self._keep_named(self.view.content(path))

    def _keep_named(self, content: bytes) -> None:
        """Keep the libraries and programs that a file of the own names: it may open them when it is first asked to."""
        for name in {raw.decode() for raw in _NAMED_LIBRARY.findall(content)}:
            for library in self._library_paths(name, ()):
                self._keep(library)
        for name in {raw.decode() for raw in _NAMED_PROGRAM.findall(content)}:
            if posixpath.basename(name) not in _table()["starters"]:
                self._keep(name)

    def _library_paths(self, name: str, own: Sequence[str]) -> list[str]:
        """Where the loader finds a library."""
        if "/" in name:
            return [name]
        return [f"{folder}/{name}" for folder in self._search(own) if self.view.walk(f"{folder}/{name}")][:1]

    def _search(self, own: Sequence[str]) -> list[str]:
        return [*own, *self._configured]

    @functools.cached_property
    def _configured(self) -> list[str]:
        """Folders of libraries: those that the image's settings name, then those that are built in (glibc, musl)."""
        named = [folder for folder in self.env.get("LD_LIBRARY_PATH", "").split(":") if folder]
        for file in self.view.below("etc/ld.so.conf.d"):
            text = self.view.head(file, 65536).decode("utf-8", "replace") if self.view.kind(file) is not None else ""
            named += [line.strip() for line in text.splitlines() if line.startswith("/")]
        return list(dict.fromkeys((*named, *_table()["loader"])))

    def _fewest_paths(self) -> Iterator[str]:
        """The fewest paths: a folder of which all is kept stands for it."""
        whole: dict[str, bool] = {}
        for path in sorted(self.view.values, key=lambda path: -path.count("/")):
            inside = self.view.inside(path)
            whole[path] = all(whole[child] for child in inside) if inside else path in self.kept
        todo = list(self.view.inside(""))
        while todo:
            path = todo.pop()
            if whole[path]:
                yield path
            else:
                todo += self.view.inside(path)

    def _folders(self, paths: Sequence[str]) -> Iterator[Folder]:
        """Folders above what is kept that are anybody's but root's, or open to all."""
        above = {parent for path in paths for parent in _above(path)}
        for path in sorted(above):
            owned = self.view.owned(path)
            if (owned.mode, owned.uid, owned.gid) != (0o755, 0, 0):
                yield owned

    def _packages(self) -> dict[str, tuple[str, ...]]:
        """Packages of the OS of which a program or a library is kept."""
        packages: dict[str, list[str]] = {}
        for database, name, files in self._listed():
            real = (step for path in files for step in self.view.walk(path)[-1:] if not _is_in(step, "usr/share/doc"))
            if any(step in self.kept and self.view.kind(step) in (columns.FILE, columns.HARDLINK) for step in real):
                packages.setdefault(database, []).append(name)
        return {database: tuple(names) for database, names in packages.items()}

    def _listed(self) -> Iterator[tuple[str, str, list[str]]]:
        """Databases with the packages that they list, and the files of each."""
        for path in sorted(self.view.inside("var/lib/dpkg/info")):
            if path.endswith(".list"):
                name = posixpath.basename(path).removesuffix(".list").partition(":")[0]
                yield DPKG, name, self.view.content(path).decode("utf-8", "replace").split("\n")
        for database in APK:
            for block in self.view.content(database).split(b"\n\n"):
                package, _, _, files = apk_block(block)
                if package:
                    names = [path.decode("utf-8", "replace") for path in files]
                    yield database, package.decode("utf-8", "replace"), names

    def _dropped_programs(self) -> list[str]:
        """Programs on the PATH that are not kept."""
        programs = {path for folder in self._path() for path in self.view.inside(folder)} - self.kept
        return sorted({name for path in programs if (name := posixpath.basename(path))[0].isalnum()})

    def _dropped_leftovers(self) -> Iterator[str]:
        """What the own layers have and was taken for a tool's leavings."""
        for folder in _table()["leftovers"]:
            paths = (path for path in self.view.below(folder) if path in self.view.values and path not in self.kept)
            if any(map(self.view.is_mine, paths)):
                yield folder

    def _can_check_health(self) -> bool:
        test = (self.config.get("Healthcheck") or {}).get("Test") or []
        shell = self.config.get("Shell") or ["/bin/sh"]
        words = test[1:] if test[:1] == ["CMD"] else shell if test[:1] == ["CMD-SHELL"] else []
        if not words:
            return True
        steps = self.view.walk(self._on_path(words[0]))
        if not steps or not all(step in self.kept for step in steps):
            return False
        called = re.findall(r"[\w./-]+", test[1])[:1] if test[:1] == ["CMD-SHELL"] else []
        return all(self._on_path(word) in self.kept for word in called if self._on_path(word))


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
