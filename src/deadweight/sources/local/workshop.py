"""The parts that stand-ins are made of, each made at most once however many ask for it at the same time."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from deadweight import _run
from deadweight._errors import CommandError, MissingError
from deadweight.sources.local.busybox import Busybox, busybox
from deadweight.sources.local.debian import Packages
from deadweight.sources.local.layer import FAST, LEVEL, Layer, from_tar, from_tree
from deadweight.sources.local.machine import Machine, scratch

T = TypeVar("T")


class Workshop:
    """Makes parts below ``folder``. Thread-safe. ``seconds`` tells what each part took, in the order of being done."""

    def __init__(self, folder: Path, machine: Machine, log: Path, environment: dict[str, str] | None = None) -> None:
        self.folder, self.machine, self.log = folder, machine, log
        self.packages = Packages(folder / "debs", machine, log)
        self.environment = dict(environment or {})
        self.seconds: dict[str, float] = {}
        self._guard = threading.Lock()
        self._parts: dict[str, tuple[threading.Lock, list[object]]] = {}

    def once(self, name: str, make: Callable[[], T]) -> T:
        """``make()`` the first time, the same result for everybody else; whoever comes meanwhile waits."""
        with self._guard:
            lock, result = self._parts.setdefault(name, (threading.Lock(), []))
        with lock:
            if not result:
                started = time.monotonic()
                result.append(make())
                self.seconds[name] = round(time.monotonic() - started, 2)
            return cast(T, result[0])

    def busybox(self) -> Busybox:
        return self.once("busybox", lambda: busybox(self.packages, self.folder / "busybox", self.log))

    def unpacked(self, package: str) -> Path:
        """A package's files, unpacked."""
        target = self.folder / "unpacked" / package
        return self.once(f"package {package}", lambda: self.packages.unpack(package, target))

    def rootfs_layer(self, names: Sequence[str], *, variant: str = "apt", fast: bool = False) -> Layer:
        """The layer of an OS root file system with these packages beside the essential ones."""
        word = hashlib.sha256(f"{variant} {' '.join(names)}".encode()).hexdigest()[:12]

        def make() -> Layer:
            tar = self.packages.rootfs(names, self.folder / "layers" / f"rootfs-{word}.tar", variant=variant)
            try:
                return from_tar(tar, tar.with_suffix(".tgz"), level=FAST if fast else LEVEL)
            finally:
                tar.unlink(missing_ok=True)

        return self.once(f"rootfs {word}", make)

    def tree_layer(self, name: str, fill: Callable[[Path], None], *, prefix: str = "") -> Layer:
        """The layer of a folder that ``fill`` fills."""

        def make() -> Layer:
            with tempfile.TemporaryDirectory(prefix="deadweight-tree-", dir=scratch()) as work:
                root = Path(work) / "root"
                root.mkdir()
                fill(root)
                return from_tree(root, self.folder / "layers" / f"{name}.tgz", prefix=prefix)

        return self.once(f"tree {name}", make)

    def go_layer(self, version: str) -> Layer:
        """The layer with exactly this Go below /usr/local/go."""

        def make() -> Layer:
            target = self.folder / "layers" / f"go-{version}.tgz"
            return from_tree(self.go_toolchain(version), target, prefix="usr/local/go", level=FAST)

        return self.once(f"go layer {version}", make)

    def go_toolchain(self, version: str) -> Path:
        """GOROOT of exactly this Go, fetched as Go's own toolchain module and verified by Go's checksum database."""
        from deadweight.toolchain.find import find

        go = find("go").path
        environment = {**self.environment, "GOTOOLCHAIN": f"go{version}", "GOFLAGS": "-modcacherw"}
        try:
            root = _run.run([go, "env", "GOROOT"], env=environment, cwd=Path("/"), timeout=300).output.strip()
        except CommandError as error:
            said = error.tail[-1] if error.tail else error.reason
            raise MissingError(
                f"Go {version} cannot be fetched as a toolchain module: {said}", hint="check GOPROXY"
            ) from error
        return Path(root)

    def certificates(self) -> bytes:
        """The CA bundle, joined from the package's certificates in the order of their names."""

        def make() -> bytes:
            found = sorted((self.unpacked("ca-certificates") / "usr/share/ca-certificates").rglob("*.crt"))
            return b"".join(path.read_bytes() for path in found)

        return self.once("certificates", make)


def accounts(root: Path, shell: str) -> None:
    """passwd, group and the folders that go with them: root, nobody, and distroless' nonroot (65532)."""
    for name, mode in (("etc", 0o755), ("tmp", 0o1777), ("root", 0o755), ("home/nonroot", 0o755)):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    (root / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    (root / "etc/group").write_text("root:x:0:\ntty:x:5:\nnobody:x:65534:\nnonroot:x:65532:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def put(root: Path, name: str, content: bytes | str | Path, *, executable: bool = False) -> None:
    """One file in a tree."""
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    else:
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    target.chmod(0o755 if executable else 0o644)


def link(root: Path, name: str, target: str) -> None:
    """One symbolic link in a tree; an existing file stays."""
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(place):
        place.symlink_to(target)
