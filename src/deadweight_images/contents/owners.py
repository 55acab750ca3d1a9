"""Which package brought a file: of files in which something was found, and only where the very layer says so.

A package's list counts for the layer that holds it. A file that a later layer put in its place is whoever's made that layer; so is
anything below ``/etc`` and other places where an administrator writes, whatever a package of the system listed there.

Python's packages list their files in ``RECORD`` (packaging.python.org, "Recording installed projects"); one with a
``direct_url.json`` was not installed from an index, so it is the service's own. npm, yarn and pnpm put each package into a
folder of ``node_modules`` with a ``package.json``, and link packages of the same project there, whose files lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from deadweight_images.contents.facts import APK_DATABASES, DISTROLESS, DPKG_INFO, RECORD
from deadweight_images.contents.packages import apk_block
from deadweight_images.layers.index import LayerIndex

_YOURS = (b"etc/", b"home/", b"root/", b"run/", b"srv/", b"tmp/", b"var/")
_MERGED = (
    b"bin/",
    b"sbin/",
    b"lib/",
    b"lib64/",
    b"lib32/",
)  # folders that are links to those of /usr in merged systems


def owners(index: LayerIndex, members: Collection[int]) -> dict[int, str]:
    """The package (``deb libgnutls30``, ``apk musl``, ``pypi pydantic``, ``npm send``) of each of these members that the layer's
    own lists name."""
    found = {index.entries.paths[member]: member for member in members if member >= 0}
    if not found:
        return {}
    return {**_of_node(index, found), **_of_python(index, found), **_of_the_system(index, found)}


def _of_the_system(index: LayerIndex, found: dict[bytes, int]) -> dict[int, str]:
    wanted = {path: member for path, member in found.items() if not path.startswith(_YOURS)}
    known = dict(wanted)
    for path, member in wanted.items():
        if path.startswith(b"usr/") and path[4:].startswith(_MERGED):
            known.setdefault(path[4:], member)
    return {known[path]: name for name, path in _listed(index) if path in known} if known else {}


def _of_python(index: LayerIndex, found: dict[bytes, int]) -> dict[int, str]:
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
    named = ((member, next(filter(None, map(places.get, _places(path))), None)) for path, member in found.items())
    return {member: name for member, name in named if name is not None}


def _places(path: bytes) -> tuple[bytes, bytes]:
    """The names by which a record tells a file: its own, or that of its folder; bytecode is told by what it was made from."""
    folder, _, name = path.rpartition(b"/")
    if folder.endswith(b"/__pycache__"):
        folder = folder.removesuffix(b"/__pycache__")
        path = folder + b"/" + name.partition(b".")[0] + b".py"
    return path, folder + b"/"


def _of_node(index: LayerIndex, found: dict[bytes, int]) -> dict[int, str]:
    packages: dict[bytes, list[int]] = {}
    for path, member in found.items():
        before, inside, rest = path.rpartition(b"node_modules/")
        if inside and (not before or before.endswith(b"/")) and not rest.startswith(b"."):
            parts = rest.split(b"/")
            name = b"/".join(parts[: 2 if rest.startswith(b"@") else 1])
            packages.setdefault(before + inside + name, []).append(member)
    if not packages:
        return {}
    manifests = {folder + b"/package.json" for folder in packages}
    there = {path.removesuffix(b"/package.json") for path in index.entries.paths if path in manifests}
    return {
        member: f"npm {_text(folder.rpartition(b'node_modules/')[2])}"
        for folder in there
        for member in packages[folder]
    }


def _listed(index: LayerIndex) -> Iterator[tuple[str, bytes]]:
    for member, text in index.captured.items():
        path = index.entries.paths[member]
        if path in APK_DATABASES:
            for block in text.split(b"\n\n"):
                name, _version, _size, paths = apk_block(block)
                yield from ((f"apk {_text(name)}", each) for each in paths)
        elif path.startswith(DPKG_INFO):
            name = path[len(DPKG_INFO) : -len(b".list")].partition(b":")[0]
            yield from ((f"deb {_text(name)}", line.lstrip(b"/")) for line in text.splitlines())
        elif path.startswith(DISTROLESS) and path.endswith(b".md5sums"):
            name = path[len(DISTROLESS) : -len(b".md5sums")]
            lines = (line.partition(b"  ")[2].lstrip(b"./") for line in text.splitlines())
            yield from ((f"deb {_text(name)}", line) for line in lines)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:100]
