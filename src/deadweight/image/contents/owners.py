"""Which package brought a file: of files in which something was found, and only where the very layer says so.

A package's list counts for the layer that holds it. A file that a later layer put in its place is whoever's made that layer; so is
anything below ``/etc`` and other places where an administrator writes, whatever a package listed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from deadweight.image.contents.facts import APK_DATABASES, DISTROLESS, DPKG_INFO
from deadweight.image.contents.packages import apk_block
from deadweight.image.layers.index import LayerIndex

_YOURS = (b"etc/", b"home/", b"root/", b"run/", b"srv/", b"tmp/", b"var/")
_MERGED = (
    b"bin/",
    b"sbin/",
    b"lib/",
    b"lib64/",
    b"lib32/",
)  # folders that are links to those of /usr in merged systems


def owners(index: LayerIndex, members: Collection[int]) -> dict[int, str]:
    """The package (``deb libgnutls30``, ``apk musl``) of each of these members that the layer's own lists name."""
    wanted = {index.entries.paths[member]: member for member in members if member >= 0}
    wanted = {path: member for path, member in wanted.items() if not path.startswith(_YOURS)}
    if not wanted:
        return {}
    known = dict(wanted)
    for path, member in wanted.items():
        if path.startswith(b"usr/") and path[4:].startswith(_MERGED):
            known.setdefault(path[4:], member)
    return {known[path]: name for name, path in _listed(index) if path in known}


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
