"""Make the parts shared by stand-in images, each at most once even if several ask at the same time."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from deadweight import _run
from deadweight._errors import CommandError, MissingError
from deadweight_images.archive.pack import FAST, LEVEL, Layer, from_tar, from_tree
from deadweight_standins.bases import number
from deadweight_standins.busybox import Busybox, busybox
from deadweight_standins.debian import Packages
from deadweight_standins.machine import Machine, scratch, wording

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """The run-time part of an image's config."""

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    workdir: str = "/"
    ports: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class BuildCache:
    """Makes parts below ``folder``. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        machine: Machine,
        log: Path,
        environment: dict[str, str] | None = None,
        authorities: Sequence[bytes] = (),
    ) -> None:
        self.folder, self.machine, self.log = folder, machine, log
        self.authorities = tuple(authorities)
        self.packages = Packages(folder / "debs", machine, log, authorities=authorities)
        self.environment = dict(environment or {})
        self._guard = threading.Lock()
        self._parts: dict[str, tuple[threading.Lock, list[object]]] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        """``make()`` the first time, the same result for everybody else; whoever comes meanwhile waits."""
        with self._guard:
            lock, result = self._parts.setdefault(name, (threading.Lock(), []))
        with lock:
            if not result:
                result.append(make())
            return cast(T, result[0])

    def busybox(self) -> Busybox:
        return self.get("busybox", lambda: busybox(self.packages, self.folder / "busybox", self.log))

    def of(self, suite: str) -> Packages:
        """The packages of another release of the OS; those of the machine's own where ``suite`` is empty or that one."""
        if suite in ("", self.machine.codename):
            return self.packages
        folder = self.packages.folder
        return self.get(f"suite {suite}", lambda: Packages(folder, self.machine, self.log, suite, self.authorities))

    def unpacked(self, package: str, suite: str = "") -> Path:
        """A package's files, unpacked."""
        packages = self.of(suite)
        folder = self.folder / ("unpacked" if packages is self.packages else f"unpacked-{suite}")
        return self.get(f"package {package} {packages.suite}", lambda: packages.unpack(package, folder / package))

    def rootfs_layer(
        self, names: Sequence[str], *, fast: bool = False, suite: str = "", hooks: Sequence[str] = ()
    ) -> Layer:
        """The layer of an OS root file system with these packages beside the essential ones; ``hooks`` are mmdebstrap's."""
        packages = self.of(suite)
        word = hashlib.sha256(" ".join(["apt", packages.suite, *names, *hooks]).encode()).hexdigest()[:12]

        def make() -> Layer:
            target = self.folder / "layers" / f"rootfs-{word}.tar"
            tar = packages.rootfs(names, target, hooks=hooks)
            try:
                return from_tar(tar, tar.with_suffix(".tgz"), level=FAST if fast else LEVEL)
            finally:
                tar.unlink(missing_ok=True)

        return self.get(f"rootfs {word}", make)

    def tree_layer(
        self,
        name: str,
        fill: Callable[[Path], None],
        *,
        prefix: str = "",
        owners: Mapping[str, int] | None = None,
        level: int = LEVEL,
    ) -> Layer:
        """The layer of a folder that ``fill`` fills; ``owners`` are numbers of users, by the paths of what is theirs."""

        def make() -> Layer:
            with tempfile.TemporaryDirectory(prefix="deadweight-tree-", dir=scratch()) as work:
                root = Path(work) / "root"
                root.mkdir()
                fill(root)
                target = self.folder / "layers" / f"{name}.tgz"
                return from_tree(root, target, prefix=prefix, owners=owners, level=level)

        return self.get(f"tree {name}", make)

    def go_layer(self, version: str) -> Layer:
        """The layer with exactly this Go below /usr/local/go.

        It is fetched as Go's own toolchain module, and verified by Go's checksum database.
        """
        from deadweight.toolchain.find import find

        def make() -> Layer:
            environment = {**self.environment, "GOTOOLCHAIN": f"go{version}", "GOFLAGS": "-modcacherw"}
            words: list[str | Path] = [find("go").path, "env", "GOROOT"]
            try:
                root = _run.run(words, env=environment, cwd=Path("/"), timeout=300).output.strip()
            except CommandError as error:
                reason = error.tail[-1] if error.tail else error.reason
                raise MissingError(wording("go.not_downloaded", version=version, reason=reason)) from error
            target = self.folder / "layers" / f"go-{version}.tgz"
            return from_tree(Path(root), target, prefix="usr/local/go", level=FAST)

        return self.get(f"go layer {version}", make)

    def go_release(self, wanted: str) -> str:
        """The release that ``wanted`` means: ``1.21.3`` itself, of ``1.24`` and ``1`` the newest, of one that is
        not there the next.

        Go's own promise is that a later release builds what an earlier one did.
        """
        return wanted if wanted.count(".") == 2 and number(wanted) >= (1, 21) else self._newest_go(wanted)

    def _newest_go(self, wanted: str) -> str:
        def ask() -> list[str]:
            from deadweight.toolchain.find import find

            environment = {**self.environment, "GOFLAGS": "-mod=mod", "GOWORK": "off"}
            words: list[str | Path] = [find("go").path, "list", "-m", "-versions", "golang.org/toolchain"]
            with tempfile.TemporaryDirectory(prefix="deadweight-go-") as work:
                (Path(work) / "go.mod").write_text("module x\n")
                output = _run.run(words, env=environment, cwd=Path(work), timeout=300).output
            ours = re.escape(f"linux-{self.machine.oci}")
            return sorted(set(re.findall(rf"-go(1\.\d+\.\d+)\.{ours}\b", output)), key=number)

        known = [one for one in self.get("Go's releases", ask) if number(one) >= (1, 21)]
        fitting = [one for one in known if not wanted or one.startswith(f"{wanted}.")]
        if not fitting:
            later = [one for one in known if number(one) >= number(wanted)] or known[-1:]
            fitting = [one for one in later if number(one)[:2] == number(later[0])[:2]]
        if not fitting:
            raise MissingError(wording("go.no_version", version=wanted))
        return fitting[-1]

    def certificates(self) -> bytes:
        """The CA bundle: the package's certificates in the order of their names, then those that only this machine trusts."""

        def make() -> bytes:
            paths = sorted((self.unpacked("ca-certificates") / "usr/share/ca-certificates").rglob("*.crt"))
            return b"".join([*(path.read_bytes() for path in paths), *self.authorities])

        return self.get("certificates", make)


def accounts(root: Path, shell: str, more_groups: str = "") -> None:
    """passwd, group and the folders that go with them: root, nobody, and distroless' nonroot (65532)."""
    for name, mode in (("etc", 0o755), ("tmp", 0o1777), ("root", 0o755), ("home/nonroot", 0o755)):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(mode)
    (root / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:{shell}\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    (root / "etc/group").write_text(f"root:x:0:\ntty:x:5:\n{more_groups}nobody:x:65534:\nnonroot:x:65532:\n")
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
