"""Make signed APK repositories: melange repackages OS packages under Wolfi's and Alpine's names.

So library dependencies, SBOMs, signatures and the index come from the real tool. melange needs a sandbox before any package
exists, so two throw-away packages (the seed) are made for it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight.records import store
from deadweight_standins.apk import EDITION, FLAVOURS, KEY
from deadweight_standins.machine import require, scratch, wording

if TYPE_CHECKING:
    from deadweight_standins.build_cache import BuildCache

# The packages of the APK repositories: their names are Wolfi's and Alpine's, their files are this OS's. Plain tables.
#
# Commands run in melange's sandbox, in a folder where each OS package named is unpacked; ``$D`` is the package's root.
RELEASE = (
    'ID=deadweight-stand-in\nNAME="Deadweight stand-in for {name}"\n'
    'PRETTY_NAME="Deadweight stand-in for {name} ({what})"\nVERSION_ID="1"\n'
)

ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nnobody:x:65534:\n"
SHADOW = "root:*::0:::::\nnobody:!::0:::::\n"
"""Nine fields a line, or apko refuses the file."""


@dataclass(frozen=True)
class Spec:
    """One package. ``version`` None takes that of the first OS package in ``debs``; ``files`` are extra inputs by name."""

    name: str
    license: str
    script: str
    debs: tuple[str, ...] = ()
    version: str | None = None
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


_USR_LINKS = (
    "ln -s usr/bin bin; ln -s usr/bin sbin; ln -s usr/lib lib; ln -s usr/lib lib64\n"
    "ln -s bin usr/sbin; ln -s lib usr/lib64\n"
)
_FOLDERS = """cd $D
mkdir -p etc/ssl/certs home root tmp proc sys dev run var/cache var/log var/lib var/tmp usr/bin usr/lib usr/share
chmod 1777 tmp var/tmp; chmod 700 root
"""


def _layout(links: str) -> str:
    files = 'for f in "$HERE"/etc-*; do cp "$f" "etc/${f##*/etc-}"; done; chmod 640 etc/shadow'
    return f"HERE=$PWD/..\n{_FOLDERS}{links}{files}"


def _libraries(*names: str) -> str:
    """Copy shared objects by name, from /lib or /usr/lib: where they lie differs between OS releases."""
    words = " ".join(f"'{name}'" for name in names)
    find = 'find . \\( -path "./lib*" -o -path "./usr/lib*" \\) ! -type d -name "$n" -exec cp -a {} $D/usr/lib/ \\;'
    return f"mkdir -p $D/usr/lib; for n in {words}; do {find}; done"


def _awk(name: str) -> str:
    return f"mkdir -p $D/usr/bin; cp usr/bin/{name} $D/usr/bin/; ln -s {name} $D/usr/bin/awk"


_GAWK = f'{_awk("gawk")}\nfor d in usr/lib/*/gawk usr/share/awk; do mkdir -p "$D/${{d%/*}}"; cp -a "$d" "$D/$d"; done'
"""With its extensions where this gawk looks for them, as Wolfi's has them: loading one is an attack of its own."""

_CERTIFICATES = """mkdir -p $D/etc/ssl/certs
find usr/share/ca-certificates/mozilla -name '*.crt' | sort | xargs cat >$D/etc/ssl/certs/ca-certificates.crt
ln -s certs/ca-certificates.crt $D/etc/ssl/cert.pem"""

_BUSYBOX = """mkdir -p $D{folder} $D/etc/busybox-paths.d; cp ../busybox $D{folder}/busybox; chmod 755 $D{folder}/busybox
cp ../paths $D/etc/busybox-paths.d/busybox"""

_GLIBC = (
    *("ld-linux-*.so.*", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2"),
    *("libnss_files.so.2", "libnss_dns.so.2"),
)

_GO = """mkdir -p $D/usr/bin $D/usr/lib/go; tar xf ../go.tar -C $D/usr/lib/go
ln -s ../lib/go/bin/go $D/usr/bin/go; ln -s ../lib/go/bin/gofmt $D/usr/bin/gofmt"""

_MUSL = """mkdir -p $D/lib; cp "$(find . -name libc.so | head -n 1)" $D/lib/{loader}; chmod 755 $D/lib/{loader}
ln -s {loader} $D/lib/{library}"""


def wolfi_specs(go: str) -> tuple[Spec, ...]:
    """The packages with Wolfi's names. ``go`` is the version of the Go that goes in."""
    layout = ("etc-passwd", "etc-group", "etc-shadow", "etc-nsswitch.conf", "etc-ld.so.conf", "etc-os-release")
    return (
        Spec("wolfi-baselayout", "MIT", _layout(_USR_LINKS), version="20230201", inputs=layout),
        Spec(
            *("busybox", "GPL-2.0-only", _BUSYBOX.format(folder="/usr/bin")),
            version="busybox",
            depends=("wolfi-baselayout",),
            provides=("cmd:sh",),
            inputs=("busybox", "paths"),
        ),
        Spec("ca-certificates-bundle", "MPL-2.0", _CERTIFICATES, ("ca-certificates",)),
        Spec("glibc", "LGPL-2.1-or-later", _libraries(*_GLIBC), ("libc6",), depends=("wolfi-baselayout",)),
        Spec("gmp", "LGPL-3.0-or-later", _libraries("libgmp.so.*"), ("libgmp10",)),
        Spec("mpfr", "LGPL-3.0-or-later", _libraries("libmpfr.so.*"), ("libmpfr6",)),
        Spec("ncurses", "MIT", _libraries("libtinfo.so.*"), ("libtinfo6",)),
        Spec("readline", "GPL-3.0-or-later", _libraries("libreadline.so.*"), ("libreadline8",)),
        Spec("libsigsegv", "GPL-2.0-or-later", _libraries("libsigsegv.so.*"), ("libsigsegv2",)),
        Spec("gawk", "GPL-3.0-or-later", _GAWK, ("gawk",), provides=("cmd:awk",)),
        Spec("mawk", "GPL-2.0-only", _awk("mawk"), ("mawk",), provides=("cmd:awk",)),
        Spec("build-base", "MIT", ":", version="2", depends=("wolfi-baselayout",)),
        Spec(
            *(f"go-{go.rpartition('.')[0]}", "BSD-3-Clause", _GO),
            version=go,
            depends=("wolfi-baselayout", "build-base"),
            provides=("go",),
            inputs=("go.tar",),
        ),
    )


def alpine_specs(loader: str) -> tuple[Spec, ...]:
    """The packages with Alpine's names: musl, a dynamic busybox, the layout without merged /usr, certificates."""
    layout = ("etc-passwd", "etc-group", "etc-shadow", "etc-nsswitch.conf", "etc-os-release")
    library = loader.replace("ld-musl-", "libc.musl-")
    return (
        Spec(
            *("alpine-baselayout", "GPL-2.0-only", _layout("mkdir -p bin sbin lib usr/sbin\n")),
            version="3.4.3",
            provides=("alpine-baselayout-data", "alpine-release"),
            inputs=layout,
        ),
        Spec("musl", "MIT", _MUSL.format(loader=loader, library=library), ("musl",), provides=(f"so:{library}",)),
        Spec(
            *("busybox", "GPL-2.0-only", _BUSYBOX.format(folder="/bin")),
            version="busybox",
            depends=("musl",),
            provides=("cmd:sh", "cmd:awk"),
            inputs=("busybox", "paths"),
        ),
        Spec("ca-certificates-bundle", "MPL-2.0", _CERTIFICATES, ("ca-certificates",)),
    )


# The seed: two throw-away packages, just enough of a root file system for melange's sandbox to run in.
#
# An APK (version 2) is a gzipped tar of metadata without its end mark, then a gzipped tar of files. Everything that reaches an
# image is packed by melange; the seed is the one thing that has to be there before melange can run.
SEED_FOLDER = "seed"
SEED_PACKAGES = ("busybox", "wolfi-baselayout")
SEED_VERSION = "1.0.0-r0"
_CHECKSUM = "APK-TOOLS.checksum.SHA1"
_LINKS = (("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib"))
_INNER_LINKS = (("usr/sbin", "bin"), ("usr/lib64", "lib"))
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/os-release": 'ID=deadweight-seed\nNAME="seed"\nPRETTY_NAME="seed"\nVERSION_ID="1"\n',
}


def make_seed(cache: BuildCache, work: Path, key: Path, melange: Path) -> None:
    """Put the seed's repository and both keys into ``work``. It uses the OS's busybox: it has no need of awk."""
    files = (path for path in cache.unpacked("busybox-static").rglob("busybox") if path.is_file())
    binary = next(path for path in files if "bin" in path.parts)
    out = work / SEED_FOLDER / cache.machine.apk
    out.mkdir(parents=True)
    for suffix in ("", ".pub"):
        shutil.copy(key.with_name(key.name + suffix), work / (key.name + suffix))
    applets = sorted(set(_run.run([binary, "--list-full"]).output.split()) - {"bin/busybox"})
    paths = "".join(f"/{path}\n" for path in applets).encode()
    tools = [
        *map(_folder, ("etc", "etc/busybox-paths.d", "usr", "usr/bin")),
        *(
            file_member("etc/busybox-paths.d/busybox", paths),
            file_member("usr/bin/busybox", binary.read_bytes(), 0o755),
        ),
    ]
    layout = [
        *map(_folder, ("etc", "tmp", "usr", "usr/bin", "usr/lib")),
        *(file_member(name, text.encode()) for name, text in _TEXTS.items()),
        *(_link(name, target) for name, target in (*_LINKS, *_INNER_LINKS)),
    ]
    write_package(out, "busybox", cache.machine.apk, tools, depends="wolfi-baselayout")
    write_package(out, "wolfi-baselayout", cache.machine.apk, layout)
    names = [f"{name}-{SEED_VERSION}.apk" for name in SEED_PACKAGES]
    index_packages(cache, melange, out, work / key.name, names)


def index_packages(cache: BuildCache, melange: Path, folder: Path, key: Path, names: Sequence[str]) -> None:
    """Have melange write the signed index of a folder's packages."""
    words: list[str | Path] = [melange, "index", "--arch", cache.machine.apk, "--signing-key", key, *names]
    _run.run(words, cwd=folder, env={"SOURCE_DATE_EPOCH": EPOCH}, log=cache.log)


Member = tuple[tarfile.TarInfo, bytes]


def write_package(out: Path, name: str, arch: str, members: Sequence[Member], *, depends: str = "") -> None:
    """Write a package with these files, unsigned: an index that ``melange index`` signs vouches for it."""
    data = gzip.compress(_tar(members), mtime=0)
    lines = [f"pkgname = {name}", f"pkgver = {SEED_VERSION}", f"arch = {arch}", "pkgdesc = seed", "license = none"]
    lines += [f"size = {sum(len(content) for _, content in members)}", f"datahash = {hashlib.sha256(data).hexdigest()}"]
    lines += [f"depend = {depends}"] if depends else []
    metadata = _tar([file_member(".PKGINFO", ("\n".join(lines) + "\n").encode(), checksum=False)], end_mark=False)
    (out / f"{name}-{SEED_VERSION}.apk").write_bytes(gzip.compress(metadata, mtime=0) + data)


def _tar(members: Sequence[Member], *, end_mark: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
        length = tar.offset
    return buffer.getvalue() if end_mark else buffer.getvalue()[:length]


def _folder(name: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    return member, b""


def file_member(name: str, content: bytes, mode: int = 0o644, *, checksum: bool = True) -> Member:
    """A file of a package; apko wants a checksum of each."""
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


EPOCH = "1735689600"
NO_COMMIT = "0" * 40
PACKAGE_SECONDS = 900.0
"""For one package. Go, the largest, takes 20 s, and over five minutes where twenty others want the same core."""
CHECKS = "usrmerge, tempdir, worldwrite, varempty, dev, setuidgid"


def make(cache: BuildCache, folder: Path) -> None:
    """Make both repositories, whole or not at all. The signing key is made once and stays."""
    require(("apt-get", "dpkg-deb", "bwrap"))
    key = signing_key(cache, folder.parent / "keys")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".apk-") as work:
        out = Path(work) / "apk"
        out.mkdir()
        kitchen = _Kitchen(cache, Path(work), _tool("melange"), key)
        make_seed(cache, kitchen.work, key, kitchen.melange)
        kitchen.cook()
        shutil.copyfile(key.with_suffix(".rsa.pub"), out / f"{KEY}.pub")
        for flavour in FLAVOURS:
            (Path(work) / flavour).rename(out / flavour)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        lines = [f"{path.stat().st_size}  {path.relative_to(out).as_posix()}\n" for path in files]
        (out / "files").write_text("".join(lines))
        (out / "edition").write_text(EDITION)
        if folder.exists():
            folder.rename(Path(work) / "old")
        out.rename(folder)


def signing_key(cache: BuildCache, folder: Path) -> Path:
    """The key pair that signs the local packages; the private one is readable by its owner alone from the start."""
    key = folder / KEY
    if not key.exists() or not key.with_suffix(".rsa.pub").exists():
        with tempfile.TemporaryDirectory(prefix="deadweight-key-") as work:
            # melange writes the private key with the umask's rights; the folder that mkdtemp makes is ours alone.
            _run.run([_tool("melange"), "keygen", KEY], cwd=Path(work), log=cache.log)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            store.write_atomically(key.with_suffix(".rsa.pub"), (Path(work) / f"{KEY}.pub").read_bytes())
            store.write_atomically(key, (Path(work) / KEY).read_bytes(), mode=0o600)
    return key


@dataclass(frozen=True)
class _Kitchen:
    """One run of melange over all specs, in ``work``. All paths given to melange are relative to it."""

    cache: BuildCache
    work: Path
    melange: Path
    key: Path

    def cook(self) -> None:
        from deadweight.toolchain.find import find

        machine = self.cache.machine
        go = find("go")
        root = Path(_run.run([go.path, "env", "GOROOT"], cwd=Path("/")).output.strip())
        digits = re.search(r"\d+(?:\.\d+)+", go.version)
        jobs = [("wolfi", spec) for spec in wolfi_specs(digits[0] if digits else "0")]
        jobs += [("alpine", spec) for spec in alpine_specs(machine.musl_loader)]
        # The big one first, those that wait for a compiled busybox last.
        jobs.sort(key=lambda job: (job[1].version == "busybox", "go.tar" not in job[1].inputs))
        self.cache.packages.get(sorted({deb for _, spec in jobs for deb in spec.debs}))
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
            for future in [pool.submit(self._package, flavour, spec, root) for flavour, spec in jobs]:
                future.result()
        for flavour in FLAVOURS:
            folder = self.work / flavour / machine.apk
            names = sorted(path.name for path in folder.glob("*.apk"))
            index_packages(self.cache, self.melange, folder, self.work / KEY, names)

    def _package(self, flavour: str, spec: Spec, go_root: Path) -> None:
        source = self.work / "source" / flavour / spec.name
        source.mkdir(parents=True)
        packages = {deb: self.cache.packages.file(deb) for deb in spec.debs}
        self._unpack([packages[deb] for deb in spec.debs], source / "files.tar")
        version = spec.version or _upstream(packages[spec.debs[0]].name.split("_")[1].replace("%3a", ":"))
        version = self.cache.busybox().version if version == "busybox" else version
        for name in spec.inputs:
            self._input(flavour, name, source / name, go_root)
        recipe = self.work / f"{flavour}-{spec.name}.yaml"
        recipe.write_text(_recipe(spec, version))
        (self.work / "tmp").mkdir(exist_ok=True)
        words: list[str | Path] = [
            *(() if os.getuid() in (0, 1000) else ("unshare", "-Ur")),
            *(self.melange, "build", recipe.name, "--arch", self.cache.machine.apk),
            *("--runner", "bubblewrap", "--source-dir", source.relative_to(self.work), "--out-dir", flavour),
            *("-r", SEED_FOLDER, "-k", f"{KEY}.pub", "--signing-key", KEY, "--generate-index=false"),
            *("--apk-cache-dir", "cache", "--namespace", "deadweight", "--git-commit", NO_COMMIT),
            *("--git-repo-url", "https://example.invalid/stand-in"),
        ]
        environment = {"SOURCE_DATE_EPOCH": EPOCH, "TMPDIR": str(self.work / "tmp")}
        _run.run(words, cwd=self.work, env=environment, log=self.cache.log, timeout=PACKAGE_SECONDS)
        shutil.rmtree(source)

    def _unpack(self, debs: Sequence[Path], target: Path) -> None:
        """Hand the files over as a tar: melange leaves symbolic links out when it copies a source folder."""
        with (
            tempfile.TemporaryDirectory(dir=scratch(), prefix="deadweight-apk-") as tree,
            tarfile.open(target, "w") as tar,
        ):
            for deb in debs:
                self.cache.packages.extract(deb, Path(tree))
            tar.add(tree, ".")

    def _input(self, flavour: str, name: str, target: Path, go_root: Path) -> None:
        texts = {
            "etc-passwd": ACCOUNTS,
            "etc-group": GROUP,
            "etc-shadow": SHADOW,
            "etc-nsswitch.conf": "hosts: files dns\n",
            "etc-ld.so.conf": "/usr/local/lib\n/usr/lib\n/lib\n",
            "etc-os-release": RELEASE.format(name=flavour, what="files from OS packages"),
        }
        if name in texts:
            target.write_text(texts[name])
        elif name == "go.tar":
            _pack_go(go_root, target)
        elif name == "busybox":
            tools = self.cache.busybox()
            shutil.copyfile(tools.static if flavour == "wolfi" else tools.dynamic, target)
        else:
            target.write_text("".join(f"/{path}\n" for path in self.cache.busybox().applets))


def _recipe(spec: Spec, version: str) -> str:
    """A melange file. Written as JSON, which YAML includes, so that nothing in it needs quoting by hand."""
    provides = [f"{name}={version}-r0" for name in spec.provides]
    script = f"D=${{{{targets.destdir}}}}; mkdir -p $D x; tar xf files.tar -C x; cd x\n{spec.script}\n"
    return json.dumps(
        {
            "package": {
                "name": spec.name,
                "version": version,
                "epoch": 0,
                "description": wording("label.package", name=spec.name, source=", ".join(spec.debs) or "this machine"),
                "copyright": [{"license": spec.license}],
                "dependencies": {"runtime": list(spec.depends), "provides": provides},
                "checks": {"disabled": CHECKS.split(", ")},
            },
            "environment": {"contents": {"packages": list(SEED_PACKAGES)}},
            "pipeline": [{"runs": script}],
        },
        indent=1,
    )


def _upstream(version: str) -> str:
    """An OS package's version as APK can hold it: ``1:5.2.1+dfsg-2`` is ``5.2.1``."""
    match = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    if match is None:
        raise DeadweightError(wording("package.no_number", version=version))
    return match.group(1)


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
