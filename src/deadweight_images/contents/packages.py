"""List an image's installed packages and their bytes, from dpkg, distroless and apk databases, Go binaries and jars."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from deadweight_images.archive import entries as columns
from deadweight_images.archive.model import shown
from deadweight_images.contents.facts import APK_DATABASES, DISTROLESS, DPKG_INFO, DPKG_STATUS, RECORD
from deadweight_images.findings import Package
from deadweight_images.layers.index import BITS, MASK, LayerIndex, packed, split
from deadweight_images.layers.merge import IMPLIED, Merged

# Which package brought a file: of files in which something was found, and only where the very layer says so.
#
# A package's list counts for the layer that holds it. A file that a later layer put in its place is whoever's made that layer; so
# is anything below ``/etc`` and other places where an administrator writes, whatever a package of the system listed there.
#
# Python's packages list their files in ``RECORD`` (packaging.python.org, "Recording installed projects"); one with a
# ``direct_url.json`` was not installed from an index, so it is the service's own. npm, yarn and pnpm put each package into a
# folder of ``node_modules`` with a ``package.json``, and link packages of the same project there, whose files lie elsewhere.

_YOURS = (b"etc/", b"home/", b"root/", b"run/", b"srv/", b"tmp/", b"var/")
# folders that are links to those of /usr in merged systems
_MERGED = (b"bin/", b"sbin/", b"lib/", b"lib64/", b"lib32/")


def owners(index: LayerIndex, members: Collection[int]) -> dict[int, str]:
    """The package (``deb libgnutls30``, ``apk musl``, ``pypi pydantic``, ``npm send``) of each of these members that the layer's
    own lists name."""
    by_path = {index.entries.paths[member]: member for member in members if member >= 0}
    if not by_path:
        return {}
    return {**_of_node(index, by_path), **_of_python(index, by_path), **_of_the_system(index, by_path)}


def _of_the_system(index: LayerIndex, by_path: dict[bytes, int]) -> dict[int, str]:
    wanted = {path: member for path, member in by_path.items() if not path.startswith(_YOURS)}
    known = dict(wanted)
    for path, member in wanted.items():
        if path.startswith(b"usr/") and path[4:].startswith(_MERGED):
            known.setdefault(path[4:], member)
    return {known[path]: name for name, path in _listed(index) if path in known} if known else {}


def _of_python(index: LayerIndex, by_path: dict[bytes, int]) -> dict[int, str]:
    """What lies where a package of the layer's lists files, or is the package's own record."""
    paths = index.entries.paths
    records = [(paths[member], text) for member, text in index.captured.items() if paths[member].endswith(RECORD)]
    if not records:
        return {}
    own = {path.rpartition(b"/")[0] for path in paths if path.endswith(b".dist-info/direct_url.json")}
    places: dict[bytes, str] = {}
    for record, text in records:
        folder = record.rpartition(b"/")[0]
        if folder in own:
            continue
        site, _, info = folder.rpartition(b"/")
        start, name = site + b"/" if site else b"", f"pypi {_text(info.partition(b'-')[0])}"
        places.update((start + place, name) for place in (*text.split(b"\n"), info + b"/") if place)
    named = ((member, next(filter(None, map(places.get, _places(path))), None)) for path, member in by_path.items())
    return {member: name for member, name in named if name is not None}


def _places(path: bytes) -> tuple[bytes, bytes]:
    """The names by which a record tells a file: its own, or that of its folder; bytecode is told by what it was made from."""
    folder, _, name = path.rpartition(b"/")
    if folder.endswith(b"/__pycache__"):
        folder = folder.removesuffix(b"/__pycache__")
        path = folder + b"/" + name.partition(b".")[0] + b".py"
    return path, folder + b"/"


def _of_node(index: LayerIndex, by_path: dict[bytes, int]) -> dict[int, str]:
    packages: dict[bytes, list[int]] = {}
    for path, member in by_path.items():
        before, inside, rest = path.rpartition(b"node_modules/")
        if inside and (not before or before.endswith(b"/")) and not rest.startswith(b"."):
            parts = rest.split(b"/")
            name = b"/".join(parts[: 2 if rest.startswith(b"@") else 1])
            packages.setdefault(before + inside + name, []).append(member)
    if not packages:
        return {}
    manifests = {folder + b"/package.json" for folder in packages}
    there = {path.removesuffix(b"/package.json") for path in index.entries.paths if path in manifests}
    names = {folder: f"npm {_text(folder.rpartition(b'node_modules/')[2])}" for folder in there}
    return {member: name for folder, name in names.items() for member in packages[folder]}


def _listed(index: LayerIndex) -> Iterator[tuple[str, bytes]]:
    for member, text in index.captured.items():
        path = index.entries.paths[member]
        if path in APK_DATABASES:
            for block in text.split(b"\n\n"):
                name, _version, _size, paths = apk_block(block)
                yield from ((f"apk {_text(name)}", file) for file in paths)
        elif path.startswith(DPKG_INFO):
            name = path[len(DPKG_INFO) : -len(b".list")].partition(b":")[0]
            yield from ((f"deb {_text(name)}", line.lstrip(b"/")) for line in text.splitlines())
        elif path.startswith(DISTROLESS) and path.endswith(b".md5sums"):
            name = path[len(DISTROLESS) : -len(b".md5sums")]
            lines = (line.partition(b"  ")[2].lstrip(b"./") for line in text.splitlines())
            yield from ((f"deb {_text(name)}", line) for line in lines)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:100]


_MAX_MODULES = 2000


def packages(merged: Merged, indices: Sequence[LayerIndex]) -> tuple[Package, ...]:
    """All packages that the final view knows of, the heaviest first."""
    reader = _Reader(merged, indices)
    packages = [*reader.dpkg(), *reader.distroless(), *reader.apk(), *reader.go(), *reader.jars()]
    return tuple(sorted(packages, key=lambda item: (-item.size_bytes, item.kind, item.name, item.path or "")))


class _Reader:
    def __init__(self, merged: Merged, indices: Sequence[LayerIndex]) -> None:
        self._merged, self._indices = merged, indices

    def dpkg(self) -> Iterator[Package]:
        text = self._captured(DPKG_STATUS)
        for fields in _paragraphs(text or b""):
            if fields.get(b"Status", b"").endswith(b" installed"):
                name, architecture = fields.get(b"Package", b""), fields.get(b"Architecture", b"")
                listed = self._captured(DPKG_INFO + name + b".list")
                if listed is None:
                    listed = self._captured(DPKG_INFO + name + b":" + architecture + b".list")
                paths = None if listed is None else [line.lstrip(b"/") for line in listed.splitlines()]
                yield self._package("deb", name, fields.get(b"Version", b""), paths, _kibibytes(fields))

    def distroless(self) -> Iterator[Package]:
        """Google's way: one control file per package, its file list in a ``.md5sums`` beside it."""
        for path in [path for path in self._merged.view if path.startswith(DISTROLESS)]:
            if path.endswith(b".md5sums"):
                continue
            for fields in _paragraphs(self._captured(path) or b""):
                listed = self._captured(path + b".md5sums")
                lines = None if listed is None else listed.splitlines()
                paths = None if lines is None else [line.partition(b"  ")[2].lstrip(b"./") for line in lines]
                if name := fields.get(b"Package"):
                    yield self._package("deb", name, fields.get(b"Version", b""), paths, _kibibytes(fields))

    def apk(self) -> Iterator[Package]:
        """Sources: apk-tools' ``installed`` database: P name, V version, I installed size, F folder, R file."""
        seen: set[bytes] = set()
        for database in APK_DATABASES:
            text = self._captured(database)
            if text is None or hashlib.sha256(text).digest() in seen:
                continue
            seen.add(hashlib.sha256(text).digest())
            for block in text.split(b"\n\n"):
                name, version, declared, paths = apk_block(block)
                if name:
                    yield self._package("apk", name, version, paths, declared)

    def go(self) -> Iterator[Package]:
        for layer, index in enumerate(self._indices):
            for member, program in index.programs.items():
                path = index.entries.paths[member]
                if self._seen(layer, member, path):
                    yield Package(
                        kind="go",
                        name=program.module or program.path or shown(path),
                        version=program.version,
                        size_bytes=index.entries.sizes[member],
                        files=1,
                        how="measured",
                        path=shown(path),
                        go_version=program.go_version,
                        modules=program.modules[:_MAX_MODULES],
                    )

    def jars(self) -> Iterator[Package]:
        for layer, index in enumerate(self._indices):
            for member, jars in index.jars.items():
                path = index.entries.paths[member]
                if self._seen(layer, member, path):
                    for jar in jars:
                        place = f"{shown(path)}!/{jar.inner}" if jar.inner else shown(path)
                        yield Package("jar", jar.name, jar.version, jar.size_bytes, 1, "measured", path=place)

    def _seen(self, layer: int, member: int, path: bytes) -> bool:
        return self._merged.view.get(path) == packed(layer, member)

    def _captured(self, path: bytes) -> bytes | None:
        real = self._merged.resolve(path)
        value = self._merged.view.get(real) if real is not None else None
        if value is None or value == IMPLIED:
            return None
        layer, member = split(value)
        return self._indices[layer].captured.get(member)

    def _package(self, kind: str, name: bytes, version: bytes, paths: Iterable[bytes] | None, declared: int) -> Package:
        size, files = (declared, 0) if paths is None else self._weight(paths)
        return Package(
            kind="apk" if kind == "apk" else "deb",
            name=name.decode("utf-8", "replace"),
            version=version.decode("utf-8", "replace"),
            size_bytes=size,
            files=files,
            how="declared" if paths is None else "measured",
        )

    def _weight(self, paths: Iterable[bytes]) -> tuple[int, int]:
        """Bytes and number of the regular files under these names; a file with two names counts once."""
        merged, view, layers = self._merged, self._merged.view, self._merged.layers
        contents: set[int] = set()
        for path in paths:
            value = view.get(path)
            if value is None:  # a folder of it may be a link
                parent, _, name = path.rpartition(b"/")
                folder = merged.folder(parent)
                value = None if folder is None else view.get(folder + b"/" + name if folder else name)
            if value is None or value == IMPLIED:
                continue
            kind = layers[value >> BITS].kinds[value & MASK]
            if kind == columns.HARDLINK:
                value = merged.content(value)
            if value is not None and kind in (columns.FILE, columns.HARDLINK):
                contents.add(value)
        return sum(layers[value >> BITS].sizes[value & MASK] for value in contents), len(contents)


def apk_block(block: bytes) -> tuple[bytes, bytes, int, list[bytes]]:
    """Name, version, installed size (bytes) and files of one entry of apk's database."""
    fields: dict[bytes, bytes] = {}
    folder, paths = b"", []
    for line in block.splitlines():
        key, value = line[:2], line[2:]
        if key == b"F:":
            folder = value
        elif key == b"R:":
            paths.append(folder + b"/" + value if folder else value)
        else:
            fields[key] = value
    size = fields.get(b"I:", b"0")
    return fields.get(b"P:", b""), fields.get(b"V:", b""), int(size) if size.isdigit() and len(size) < 18 else 0, paths


def _paragraphs(text: bytes) -> Iterator[dict[bytes, bytes]]:
    """Debian control paragraphs; continuation lines are dropped, nothing here needs them."""
    for block in text.replace(b"\r\n", b"\n").split(b"\n\n"):
        fields: dict[bytes, bytes] = {}
        for line in block.splitlines():
            if line[:1] not in (b" ", b"\t"):
                key, colon, value = line.partition(b":")
                if colon:
                    fields[key] = value.strip()
        if fields:
            yield fields


def _kibibytes(fields: dict[bytes, bytes]) -> int:
    value = fields.get(b"Installed-Size", b"0")
    return int(value) * 1024 if value.isdigit() and len(value) < 13 else 0
