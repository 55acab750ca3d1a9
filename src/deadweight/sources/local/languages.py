"""Stand-ins for bases of languages: Python from its source, Node from npm's packages, Rust from this machine or the OS, uv."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from deadweight import _run
from deadweight.sources.local import alpine, npm
from deadweight.sources.local.layer import FAST, Layer, from_tree
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import (
    CERTIFICATES,
    PATHS,
    Made,
    distroless,
    distroless_settings,
    unpack_libraries,
)
from deadweight.sources.local.suites import SID
from deadweight.sources.local.workshop import Workshop, link, put

BUILD_PACKAGES = (
    "ca-certificates",
    "curl",
    "g++",
    "gcc",
    "git",
    "gnupg",
    "libc6-dev",
    "make",
    "netbase",
    "openssh-client",
    "pkg-config",
    "tzdata",
    "wget",
)
SLIM_PACKAGES = ("ca-certificates", "netbase", "tzdata")

PYTHONS = {"3.11": "bookworm", "3.13": "trixie", "3.14": SID, "3.15": SID}
"""Which release of the OS has the source of which Python. Others get the next later one, under both numbers."""
PYTHON_BUILD = (
    "gcc",
    "libbz2-dev",
    "libc6-dev",
    "libffi-dev",
    "liblzma-dev",
    "libncurses-dev",
    "libreadline-dev",
    "libsqlite3-dev",
    "libssl-dev",
    "make",
    "pkg-config",
    "uuid-dev",
    "xz-utils",
    "zlib1g-dev",
)
PYTHON_RUNTIME = (
    "libbz2-1.0",
    "libffi8",
    "liblzma5",
    "libncursesw6",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libtinfo6",
    "libuuid1",
    "zlib1g",
)
NODE_RUNTIME = ("libc6", "libgcc-s1", "libstdc++6", "libatomic1")
NODE = "26"
"""Where a tag names no version."""


def golang(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-alpine]``: the OS with a C toolchain and git, as the original has, and that Go (``1.24``: its newest)."""
    wanted, _, flavour = parameter.partition("-")
    version = shop.go_release(wanted)
    env = (
        f"PATH=/go/bin:/usr/local/go/bin:{PATHS}",
        *(f"GOLANG_VERSION={version}", "GOTOOLCHAIN=local", "GOPATH=/go"),
    )
    base = alpine.layer(shop, ()) if flavour == "alpine" else shop.rootfs_layer(BUILD_PACKAGES, fast=True)
    same = not wanted or version == wanted or version.startswith(f"{wanted}.")
    labels = {} if same else {"org.opencontainers.image.description": f"Go {version} in place of {wanted}"}
    shell = "sh" if flavour == "alpine" else "bash"
    return Made((base, shop.go_layer(version)), Settings(env=env, cmd=(shell,), workdir="/go", labels=labels))


def python_version(wanted: str) -> str:
    """The Python that stands in for ``wanted`` (``3.12``): that one, else the next later one that there is."""
    known = sorted(PYTHONS, key=_number)
    if not wanted or wanted == "3":
        return "3.14"
    short = ".".join(wanted.split(".")[:2])
    return next((version for version in known if _number(version) >= _number(short)), known[-1])


def python(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: Python below /usr/local, as the original has it, pip included; the rest is the OS."""
    wanted, _, flavour = parameter.partition("-")
    version, made = python_version(wanted), _python_layer(shop, wanted)
    tuning = shop.tree_layer(f"python-settings-{bool(shop.authorities)}", lambda root: _python_settings(shop, root))
    env = (f"PATH={PATHS}", "LANG=C.UTF-8", f"PYTHON_VERSION={version}")
    labels = _in_place_of("Python", version, wanted)
    if flavour == "alpine":
        libraries = ("libc6", "libgcc-s1", "libstdc++6", *PYTHON_RUNTIME)
        layers: tuple[Layer, ...] = (alpine.layer(shop, libraries), made, tuning)
    else:
        packages = (*(SLIM_PACKAGES if flavour == "slim" else BUILD_PACKAGES), *PYTHON_RUNTIME)
        layers = (shop.rootfs_layer(packages, fast=True), made, tuning)
    return Made(layers, Settings(env=env, cmd=("python3",), labels=labels))


def _python_settings(shop: Workshop, root: Path) -> None:
    """An older pip brings its own CAs, and does not look at the OS's."""
    if shop.authorities:
        put(root, "etc/pip.conf", f"[global]\ncert = /{CERTIFICATES}\n")
        put(root, "etc/uv/uv.toml", "native-tls = true\n")


def _python_layer(shop: Workshop, wanted: str) -> Layer:
    version = python_version(wanted)
    short = ".".join(wanted.split(".")[:2])

    def fill(root: Path) -> None:
        tar = _compiled_python(shop, version)
        _run.run(["tar", "-x", "-f", tar, "-C", root])
        for name, target in (("python", "python3"), ("pip", "pip3"), (f"python{short}", f"python{version}")):
            link(root, f"bin/{name}", target)
        link(root, f"lib/python{short}", f"python{version}")

    return shop.tree_layer(f"python-{short or version}", fill, prefix="usr/local")


def _compiled_python(shop: Workshop, version: str) -> Path:
    """A tar of /usr/local with that Python, compiled from the source that the OS ships, without the OS's own patches."""

    def make() -> Path:
        target = shop.folder / "layers" / f"python-{version}.tar"
        if target.is_file():
            return target
        with tempfile.TemporaryDirectory(prefix="deadweight-python-", dir=shop.folder) as work:
            fetched = shop.of(PYTHONS[version]).source(f"python{version}", Path(work) / "source", whole=False)
            archive = next(path for path in fetched.glob("*.orig.tar.*") if path.suffix != ".asc")
            script = (
                "set -e; mkdir /build; tar -x -f /source.tar -C /build --strip-components=1; cd /build; "
                "CFLAGS=-g0 ./configure --quiet --prefix=/usr/local --with-ensurepip=install --disable-test-modules >/dev/null; "
                f"make -s -j{os.cpu_count() or 1} >/dev/null 2>&1; make -s install >/dev/null 2>&1; "
                "find /usr/local -name __pycache__ -prune -exec rm -rf {} +; find /usr/local -name '*.a' -delete; "
                "strip /usr/local/bin/python3.* 2>/dev/null || true; tar -c -f /made.tar -C /usr/local bin lib include"
            )
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            hooks = (
                f'--customize-hook=cp {archive} "$1/source.tar"',
                f"--customize-hook=chroot \"$1\" sh -c '{script.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}'",
                f'--customize-hook=mv "$1/made.tar" {partial}; rm -rf "$1/build" "$1/source.tar"',
            )
            shop.packages.rootfs(PYTHON_BUILD, Path(work) / "rootfs.tar", hooks=hooks)
            partial.replace(target)
        return target

    return shop.once(f"python {version}", make)


def node(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the Node that npm's registry has for this machine, with npm, yarn and corepack."""
    wanted, _, flavour = parameter.partition("-")
    version = shop.once(f"node {wanted}", lambda: npm.newest(npm.NODE[shop.machine.deb], wanted or NODE))
    layer = _node_layer(shop, version)
    tuning = shop.tree_layer("node-account", _node_account)
    env = (
        f"PATH={PATHS}",
        f"NODE_VERSION={version}",
        *([f"NODE_EXTRA_CA_CERTS=/{CERTIFICATES}"] if shop.authorities else []),
    )
    if flavour == "alpine":
        base = alpine.layer(shop, NODE_RUNTIME)
        tuning = shop.tree_layer("node-account-alpine", lambda root: _node_account(root, "/bin/sh"))
    else:
        base = shop.rootfs_layer(
            (*(SLIM_PACKAGES if flavour == "slim" else (*BUILD_PACKAGES, "python3")), *NODE_RUNTIME), fast=True
        )
    return Made((base, layer, tuning), Settings(env=env, cmd=("node",), labels=_in_place_of("Node", version, wanted)))


def _node_layer(shop: Workshop, version: str) -> Layer:
    def fill(root: Path) -> None:
        npm.unpack(npm.NODE[shop.machine.deb], version, root / "node")
        put(root, "bin/node", root / "node/bin/node", executable=True)
        if (root / "node/include").is_dir():
            shutil.move(root / "node/include", root / "include")
        shutil.rmtree(root / "node")
        link(root, "bin/nodejs", "node")
        for name, commands in (("npm", ("npm", "npx")), ("corepack", ("corepack",)), ("yarn", ("yarn",))):
            folder = root / f"lib/node_modules/{name}"
            npm.unpack(name, npm.beside(name, version), folder)
            for command, file in npm.commands(folder).items():
                if command in commands:
                    (folder / file).chmod(0o755)
                    link(root, f"bin/{command}", f"../lib/node_modules/{name}/{file}")
        link(root, "bin/yarnpkg", "yarn")

    return shop.tree_layer(f"node-{version}", fill, prefix="usr/local")


def _node_account(root: Path, shell: str = "/bin/bash") -> None:
    """The user ``node`` (1000), whom Dockerfiles name. The files are whole, since a layer has no way to add a line."""
    accounts = (
        ("root", 0, "/root", shell), ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"), ("bin", 2, "/bin", "/usr/sbin/nologin"),
        ("sys", 3, "/dev", "/usr/sbin/nologin"), ("man", 6, "/var/cache/man", "/usr/sbin/nologin"),
        ("mail", 8, "/var/mail", "/usr/sbin/nologin"), ("www-data", 33, "/var/www", "/usr/sbin/nologin"),
        ("_apt", 42, "/nonexistent", "/usr/sbin/nologin"), ("node", 1000, "/home/node", shell),
        ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
    )  # fmt: skip
    put(root, "etc/passwd", "".join(f"{name}:x:{uid}:{uid}:{name}:{home}:{sh}\n" for name, uid, home, sh in accounts))
    groups = {
        "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "man": 12, "mail": 8, "shadow": 42,
        "staff": 50, "www-data": 33, "users": 100, "node": 1000, "nogroup": 65534,
    }  # fmt: skip
    put(root, "etc/group", "".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()))
    (root / "home/node").mkdir(parents=True)


def nodejs(shop: Workshop, parameter: str) -> Made:
    """Distroless Node: ``VERSION[-nonroot|-debug]``."""
    wanted, _, flavour = parameter.partition("-")
    version = shop.once(f"node {wanted}", lambda: npm.newest(npm.NODE[shop.machine.deb], wanted or NODE))

    def fill(root: Path) -> None:
        distroless(shop, root, ("base-files", "ca-certificates", "netbase", "tzdata", *NODE_RUNTIME))
        unpack_libraries(shop, root, NODE_RUNTIME)
        npm.unpack(npm.NODE[shop.machine.deb], version, root / "made")
        put(root, "nodejs/bin/node", root / "made/bin/node", executable=True)
        shutil.rmtree(root / "made")

    settings = distroless_settings(flavour, entrypoint=("/nodejs/bin/node",))
    return Made((shop.tree_layer(f"nodejs-{version}", fill),), settings)


def python3(shop: Workshop, flavour: str) -> Made:
    """Distroless Python: the interpreter of the OS's current release, without a shell."""
    libraries = ("libc6", "libgcc-s1", "libstdc++6", *PYTHON_RUNTIME)

    def fill(root: Path) -> None:
        distroless(shop, root, ("base-files", "ca-certificates", "netbase", "tzdata", *libraries))
        unpack_libraries(shop, root, libraries)
        link(root, "usr/bin/python3", "/usr/local/bin/python3")
        link(root, "usr/bin/python", "/usr/local/bin/python3")

    settings = distroless_settings(flavour, entrypoint=("/usr/bin/python3",))
    return Made((shop.tree_layer("python3", fill), _python_layer(shop, "3.11")), settings)


def rust(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the official toolchain of this machine where it has one, else the OS's newest."""
    wanted, _, flavour = parameter.partition("-")
    packages = (
        *(("ca-certificates", "gcc", "libc6-dev") if flavour == "slim" else BUILD_PACKAGES),
        "libssl-dev",
        "pkg-config",
    )
    env = ("RUSTUP_HOME=/usr/local/rustup", "CARGO_HOME=/usr/local/cargo", f"PATH=/usr/local/cargo/bin:{PATHS}")
    own = _rust_of_this_machine()
    if own is None:
        layer = shop.rootfs_layer((*packages, "cargo", "rustc"), fast=True, suite=SID)
        return Made(
            (layer,),
            Settings(env=(*env, "RUST_VERSION=os"), cmd=("bash",), labels=_in_place_of("Rust", "the OS's", wanted)),
        )
    folder, version = own

    def make() -> Layer:
        with tempfile.TemporaryDirectory(prefix="deadweight-rust-", dir=shop.folder) as work:
            root = Path(work) / "cargo"
            for name in ("bin", "lib"):
                shutil.copytree(folder / name, root / name, symlinks=True)
            return from_tree(root, shop.folder / "layers" / f"rust-{version}.tgz", prefix="usr/local/cargo", level=FAST)

    layers = (shop.rootfs_layer(packages, fast=True), shop.once(f"rust {version}", make))
    return Made(
        layers,
        Settings(env=(*env, f"RUST_VERSION={version}"), cmd=("bash",), labels=_in_place_of("Rust", version, wanted)),
    )


def _rust_of_this_machine() -> tuple[Path, str] | None:
    """The root of a toolchain that links against any C library (rustup's do), and its version."""
    program = shutil.which("rustc")
    if program is None:
        return None
    root = Path(_run.run([program, "--print", "sysroot"], cwd=Path("/")).output.strip())
    version = _run.run([program, "--version"], cwd=Path("/")).output.split()[1]
    return (root, version) if ".rustup" in root.parts or "rustup" in root.parts else None


def uv(shop: Workshop, _: str) -> Made:
    """astral's image of one program, which Dockerfiles copy from: the program out of its wheel on PyPI."""

    layer = shop.tree_layer("uv", lambda root: _uv(shop, root))
    return Made((layer,), Settings(env=(f"PATH={PATHS}",), entrypoint=("/uv",)))


def _uv(shop: Workshop, root: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="deadweight-uv-", dir=shop.folder) as work:
        words = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            work,
            "uv",
        ]
        _run.run(words, timeout=300, log=shop.log)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
            for name in ("uv", "uvx"):
                member = next(one for one in wheel.namelist() if one.endswith(f".data/scripts/{name}"))
                put(root, name, wheel.read(member), executable=True)


def uvpython(shop: Workshop, parameter: str) -> Made:
    """astral's Python images: Python with uv beside it."""
    made = python(shop, parameter)
    layer = shop.tree_layer("uv-beside", lambda root: _uv(shop, root), prefix="usr/local/bin")
    return Made((*made.layers, layer), made.settings)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _in_place_of(what: str, made: str, wanted: str) -> dict[str, str]:
    """The label that tells where another version stands in than the tag names."""
    if not wanted or made == wanted or made.startswith(f"{wanted}."):
        return {}
    if wanted.startswith(f"{made}."):
        return {}
    return {"org.opencontainers.image.description": f"{what} {made} in place of {wanted}"}
