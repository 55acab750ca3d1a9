"""The seed: two throw-away packages, just enough of a root file system for melange's sandbox to run in.

An APK (version 2) is a gzipped tar of metadata without its end mark, then a gzipped tar of files. Everything that reaches an
image is packed by melange; the seed is the one thing that has to be there before melange can run.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from deadweight import _run
from deadweight_standins.workshop import Workshop

FOLDER = "seed"
PACKAGES = ("busybox", "wolfi-baselayout")
VERSION = "1.0.0-r0"
_CHECKSUM = "APK-TOOLS.checksum.SHA1"
_LINKS = (("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib"))
_INNER_LINKS = (("usr/sbin", "bin"), ("usr/lib64", "lib"))
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/os-release": 'ID=deadweight-seed\nNAME="seed"\nPRETTY_NAME="seed"\nVERSION_ID="1"\n',
}


def make(shop: Workshop, work: Path, key: Path, melange: Path) -> None:
    """Put the seed's repository and both keys into ``work``. It uses the OS's busybox: it has no need of awk."""
    binary = next(
        path for path in shop.unpacked("busybox-static").rglob("busybox") if path.is_file() and "bin" in path.parts
    )
    out = work / FOLDER / shop.machine.apk
    out.mkdir(parents=True)
    for suffix in ("", ".pub"):
        shutil.copy(key.with_name(key.name + suffix), work / (key.name + suffix))
    applets = sorted(set(_run.run([binary, "--list-full"]).output.split()) - {"bin/busybox"})
    paths = "".join(f"/{path}\n" for path in applets).encode()
    tools = [
        *_folders("etc", "etc/busybox-paths.d", "usr", "usr/bin"),
        *(_file("etc/busybox-paths.d/busybox", paths), _file("usr/bin/busybox", binary.read_bytes(), 0o755)),
    ]
    layout = [
        *_folders("etc", "tmp", "usr", "usr/bin", "usr/lib"),
        *(_file(name, text.encode()) for name, text in _TEXTS.items()),
        *(_link(name, target) for name, target in (*_LINKS, *_INNER_LINKS)),
    ]
    _write(out, "busybox", shop.machine.apk, tools, depends="wolfi-baselayout")
    _write(out, "wolfi-baselayout", shop.machine.apk, layout)
    names = [f"{name}-{VERSION}.apk" for name in PACKAGES]
    index: list[str | Path] = [melange, "index", "--arch", shop.machine.apk, "--signing-key", work / key.name, *names]
    _run.run(index, cwd=out, log=shop.log)


Member = tuple[tarfile.TarInfo, bytes]


def _write(out: Path, name: str, arch: str, members: Sequence[Member], *, depends: str = "") -> None:
    data = gzip.compress(_tar(members), mtime=0)
    lines = [f"pkgname = {name}", f"pkgver = {VERSION}", f"arch = {arch}", "pkgdesc = seed", "license = none"]
    lines += [f"size = {sum(len(content) for _, content in members)}", f"datahash = {hashlib.sha256(data).hexdigest()}"]
    lines += [f"depend = {depends}"] if depends else []
    metadata = _tar([_file(".PKGINFO", ("\n".join(lines) + "\n").encode(), checksum=False)], end_mark=False)
    (out / f"{name}-{VERSION}.apk").write_bytes(gzip.compress(metadata, mtime=0) + data)


def _tar(members: Sequence[Member], *, end_mark: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
        length = tar.offset
    return buffer.getvalue() if end_mark else buffer.getvalue()[:length]


def _folders(*names: str) -> list[Member]:
    members: list[Member] = []
    for name in names:
        member = tarfile.TarInfo(name)
        member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        members.append((member, b""))
    return members


def _file(name: str, content: bytes, mode: int = 0o644, *, checksum: bool = True) -> Member:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    if checksum:
        member.pax_headers = {_CHECKSUM: hashlib.sha1(content, usedforsecurity=False).hexdigest()}
    return member, content


def _link(name: str, target: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    member.pax_headers = {_CHECKSUM: hashlib.sha1(target.encode(), usedforsecurity=False).hexdigest()}
    return member, b""
