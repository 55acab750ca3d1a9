"""The signed APK repositories: melange repackages OS packages under Wolfi's and Alpine's names, so that dependencies between
shared objects, SBOMs, signatures and the index come from the real tool.

melange needs a sandbox to run in before there is any package: two throw-away packages are made for it, the seed.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight.records import store
from deadweight.records.paths import State
from deadweight.sources.protocol import ApkFlavour, ApkRepositories
from deadweight_standins import apkseed, apkspec, busybox
from deadweight_standins.apkspec import Spec
from deadweight_standins.machine import require, scratch
from deadweight_standins.workshop import Workshop

EDITION = f"4; busybox {busybox.EDITION}"
KEY = "deadweight.rsa"
EPOCH = "1735689600"
LINK = "local-apk"
NO_COMMIT = "0" * 40
PACKAGE_SECONDS = 900.0
"""For one package. Go, the largest, takes 20 s, and over five minutes where twenty others want the same core."""
FLAVOURS: tuple[ApkFlavour, ...] = ("wolfi", "alpine")
CHECKS = "usrmerge, tempdir, worldwrite, varempty, dev, setuidgid"


def ready(folder: Path) -> bool:
    """Whether an earlier run of this edition made all of it, and all of it is still there."""
    try:
        if (folder / "edition").read_text() != EDITION:
            return False
        files = [line.split("  ", 1) for line in (folder / "files").read_text().splitlines()]
        return all((folder / name).stat().st_size == int(size) for size, name in files)
    except (OSError, ValueError):
        return False


def repositories(state: State, flavour: ApkFlavour) -> ApkRepositories:
    """The repositories as melange and apko shall see them from the project's root: through ``link``'s link. Touches nothing."""
    inside = f"./{state.folder.relative_to(state.root).as_posix()}/{LINK}"
    return ApkRepositories((f"{inside}/{flavour}",), (f"{inside}/{KEY}.pub",), stand_in=True)


def link(state: State, folder: Path) -> None:
    """Make the repositories reachable by a path that is the same in every checkout: it gets into images and digests."""
    place = state.folder / LINK
    if place.is_symlink() and place.readlink() == folder:
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    state.folder.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder)
    temporary.replace(place)


def make(shop: Workshop, folder: Path) -> None:
    """Make both repositories, whole or not at all. The signing key is made once and stays."""
    require(("apt-get", "dpkg-deb", "bwrap"))
    key = signing_key(shop, folder.parent / "keys")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".apk-") as work:
        out = Path(work) / "apk"
        out.mkdir()
        kitchen = _Kitchen(shop, Path(work), _tool("melange"), key)
        apkseed.make(shop, kitchen.work, key, kitchen.melange)
        kitchen.cook()
        shutil.copyfile(key.with_suffix(".rsa.pub"), out / f"{KEY}.pub")
        for flavour in FLAVOURS:
            (Path(work) / flavour).rename(out / flavour)
        listed = sorted(path for path in out.rglob("*") if path.is_file())
        (out / "files").write_text(
            "".join(f"{path.stat().st_size}  {path.relative_to(out).as_posix()}\n" for path in listed)
        )
        (out / "edition").write_text(EDITION)
        if folder.exists():
            folder.rename(Path(work) / "old")
        out.rename(folder)


def signing_key(shop: Workshop, folder: Path) -> Path:
    """The key pair that signs the local packages; the private one is readable by its owner alone from the start."""
    key = folder / KEY
    if not key.exists() or not key.with_suffix(".rsa.pub").exists():
        with tempfile.TemporaryDirectory(prefix="deadweight-key-") as work:
            # melange writes the private key with the umask's rights; the folder that mkdtemp makes is ours alone.
            _run.run([_tool("melange"), "keygen", KEY], cwd=Path(work), log=shop.log)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            store.write_atomically(key.with_suffix(".rsa.pub"), (Path(work) / f"{KEY}.pub").read_bytes())
            store.write_atomically(key, (Path(work) / KEY).read_bytes(), mode=0o600)
    return key


@dataclass(frozen=True)
class _Kitchen:
    """One run of melange over all specs, in ``work``. All paths given to melange are relative to it."""

    shop: Workshop
    work: Path
    melange: Path
    key: Path

    def cook(self) -> None:
        from deadweight.toolchain.find import find

        machine = self.shop.machine
        go = find("go")
        root = Path(_run.run([go.path, "env", "GOROOT"], cwd=Path("/")).output.strip())
        jobs = [("wolfi", spec) for spec in apkspec.wolfi(_digits(go.version))]
        jobs += [("alpine", spec) for spec in apkspec.alpine(machine.musl_loader)]
        # The big one first, those that wait for a compiled busybox last.
        jobs.sort(key=lambda job: (job[1].version == "busybox", "go.tar" not in job[1].inputs))
        self.shop.packages.get(sorted({deb for _, spec in jobs for deb in spec.debs}))
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            for future in [pool.submit(self._package, flavour, spec, root) for flavour, spec in jobs]:
                future.result()
        for flavour in FLAVOURS:
            self._index(flavour)

    def _package(self, flavour: str, spec: Spec, go_root: Path) -> None:
        source = self.work / "source" / flavour / spec.name
        source.mkdir(parents=True)
        packages = self.shop.packages.get(spec.debs) if spec.debs else {}
        self._unpack([packages[deb] for deb in spec.debs], source / "files.tar")
        version = self._version(spec, packages)
        for name in spec.inputs:
            self._input(flavour, name, source / name, go_root)
        recipe = self.work / f"{flavour}-{spec.name}.yaml"
        recipe.write_text(_recipe(spec, version))
        self._run_melange(
            "build",
            recipe.name,
            *("--runner", "bubblewrap", "--source-dir", source.relative_to(self.work), "--out-dir", flavour),
            *("-r", apkseed.FOLDER, "-k", f"{KEY}.pub", "--signing-key", KEY, "--generate-index=false"),
            *("--apk-cache-dir", "cache", "--namespace", "deadweight", "--git-commit", NO_COMMIT),
            *("--git-repo-url", "https://example.invalid/stand-in"),
        )
        shutil.rmtree(source)

    def _unpack(self, debs: Sequence[Path], target: Path) -> None:
        """Hand the files over as a tar: melange leaves symbolic links out when it copies a source folder."""
        with (
            tempfile.TemporaryDirectory(dir=scratch(), prefix="deadweight-apk-") as tree,
            tarfile.open(target, "w") as tar,
        ):
            for deb in debs:
                self.shop.packages.extract(deb, Path(tree))
            tar.add(tree, ".")

    def _version(self, spec: Spec, packages: dict[str, Path]) -> str:
        if spec.version == "busybox":
            return self.shop.busybox().version
        if spec.version is not None:
            return spec.version
        return _upstream(packages[spec.debs[0]].name.split("_")[1].replace("%3a", ":"))

    def _input(self, flavour: str, name: str, target: Path, go_root: Path) -> None:
        texts = {
            "etc-passwd": apkspec.ACCOUNTS,
            "etc-group": apkspec.GROUP,
            "etc-shadow": apkspec.SHADOW,
            "etc-nsswitch.conf": "hosts: files dns\n",
            "etc-ld.so.conf": "/usr/local/lib\n/usr/lib\n/lib\n",
            "etc-os-release": apkspec.RELEASE.format(name=flavour),
        }
        if name in texts:
            target.write_text(texts[name])
        elif name == "go.tar":
            _pack_go(go_root, target)
        elif name == "busybox":
            tools = self.shop.busybox()
            shutil.copyfile(tools.static if flavour == "wolfi" else tools.dynamic, target)
        else:
            target.write_text("".join(f"/{path}\n" for path in self.shop.busybox().applets))

    def _index(self, flavour: str) -> None:
        folder = self.work / flavour / self.shop.machine.apk
        apks = sorted(path.name for path in folder.glob("*.apk"))
        command: list[str | Path] = [
            self.melange,
            "index",
            "--arch",
            self.shop.machine.apk,
            "--signing-key",
            self.work / KEY,
            *apks,
        ]
        _run.run(command, cwd=folder, env={"SOURCE_DATE_EPOCH": EPOCH}, log=self.shop.log)

    def _run_melange(self, verb: str, *words: str | Path) -> None:
        prefix = () if os.getuid() in (0, 1000) else ("unshare", "-Ur")
        argv: Sequence[str | Path] = [*prefix, self.melange, verb, *words, "--arch", self.shop.machine.apk]
        environment = {"SOURCE_DATE_EPOCH": EPOCH, "TMPDIR": str(self.work / "tmp")}
        (self.work / "tmp").mkdir(exist_ok=True)
        _run.run(argv, cwd=self.work, env=environment, log=self.shop.log, timeout=PACKAGE_SECONDS)


def _recipe(spec: Spec, version: str) -> str:
    """A melange file. Written as JSON, which YAML includes, so that nothing in it needs quoting by hand."""
    import json

    provides = [f"{name}={version}-r0" for name in spec.provides]
    script = f"D=${{{{targets.destdir}}}}; mkdir -p $D x; tar xf files.tar -C x; cd x\n{spec.script}\n"
    return json.dumps(
        {
            "package": {
                "name": spec.name,
                "version": version,
                "epoch": 0,
                "description": f"stand-in for the package {spec.name}, files from {', '.join(spec.debs) or 'this machine'}",
                "copyright": [{"license": spec.license}],
                "dependencies": {"runtime": list(spec.depends), "provides": provides},
                "checks": {"disabled": CHECKS.split(", ")},
            },
            "environment": {"contents": {"packages": list(apkseed.PACKAGES)}},
            "pipeline": [{"runs": script}],
        },
        indent=1,
    )


def _upstream(version: str) -> str:
    """An OS package's version as APK can hold it: ``1:5.2.1+dfsg-2`` is ``5.2.1``."""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    if match is None:
        raise DeadweightError(f"package version {version!r} has no number")
    return match.group(1)


def _digits(version: str) -> str:
    match = re.search(r"\d+(?:\.\d+)+", version)
    return match.group(0) if match else "0"


def _pack_go(root: Path, target: Path) -> None:
    """The Go SDK without its own tests, in one tar: ten thousand files are slow to copy one by one."""

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = member.name
        if name.endswith("_test.go") or "/testdata" in name:
            return None
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(target, "w") as tar:
        for name in ("VERSION", "bin", "go.env", "lib", "pkg", "src"):
            if (root / name).exists():
                tar.add(root / name, name, filter=wanted)


def _tool(name: str) -> Path:
    from deadweight.toolchain.find import find

    return find(name).path
