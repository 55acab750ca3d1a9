"""Stand-ins for bases of languages: Go from its toolchain modules, Node from npm, Rust from this machine or the OS, uv."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from deadweight import _run
from deadweight_images.archive.pack import Layer
from deadweight_standins import alpine, npm, pythons
from deadweight_standins.push import Settings
from deadweight_standins.recipes import (
    BUILD_PACKAGES,
    CERTIFICATES,
    FULL_PACKAGES,
    PATHS,
    SLIM_PACKAGES,
    Made,
    distroless,
    distroless_settings,
    in_place_of,
    unpack_libraries,
)
from deadweight_standins.workshop import Workshop, link, put

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
        *(
            ("GO111MODULE=auto",) if re.fullmatch(r"1\.([0-9]|1[0-5])(\..*)?", wanted) else ()
        ),  # as was the default before 1.16
    )
    base = alpine.layer(shop, ()) if flavour == "alpine" else shop.rootfs_layer(BUILD_PACKAGES, fast=True)
    same = not wanted or version == wanted or version.startswith(f"{wanted}.")
    labels = {} if same else {"org.opencontainers.image.description": f"Go {version} in place of {wanted}"}
    shell = "sh" if flavour == "alpine" else "bash"
    return Made((base, shop.go_layer(version)), Settings(env=env, cmd=(shell,), workdir="/go", labels=labels))


def node(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the Node that npm's registry has for this machine, with npm, yarn and corepack."""
    wanted, _, flavour = parameter.partition("-")
    version = shop.once(f"node {wanted}", lambda: npm.newest(npm.NODE[shop.machine.deb], wanted or NODE))
    layer = _node_layer(shop, version)
    shell = "/bin/sh" if flavour == "alpine" else "/bin/bash"
    tuning = shop.tree_layer(
        f"node-account-{flavour}",
        lambda root: account(root, "node", "/home/node", shell),
        owners={"home/node": 1000},
    )
    env = (
        f"PATH={PATHS}",
        f"NODE_VERSION={version}",
        *([f"NODE_EXTRA_CA_CERTS=/{CERTIFICATES}"] if shop.authorities else []),
        # node-gyp takes the headers that are here, which it would fetch from Node's own site
        *([] if flavour else ["npm_config_nodedir=/usr/local"]),
    )
    if flavour == "alpine":
        base = alpine.layer(shop, NODE_RUNTIME)
    else:
        base = shop.rootfs_layer((*(SLIM_PACKAGES if flavour == "slim" else FULL_PACKAGES), *NODE_RUNTIME), fast=True)
    return Made((base, layer, tuning), Settings(env=env, cmd=("node",), labels=in_place_of("Node", version, wanted)))


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


def account(root: Path, name: str, home: str, shell: str, number: int = 1000) -> None:
    """The user whom Dockerfiles name. The files are whole, since a layer has no way to add a line."""
    accounts = (
        ("root", 0, "/root", shell), ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"), ("bin", 2, "/bin", "/usr/sbin/nologin"),
        ("sys", 3, "/dev", "/usr/sbin/nologin"), ("man", 6, "/var/cache/man", "/usr/sbin/nologin"),
        ("mail", 8, "/var/mail", "/usr/sbin/nologin"), ("www-data", 33, "/var/www", "/usr/sbin/nologin"),
        ("_apt", 42, "/nonexistent", "/usr/sbin/nologin"), (name, number, home, shell),
        ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
    )  # fmt: skip
    put(root, "etc/passwd", "".join(f"{each}:x:{uid}:{uid}:{each}:{own}:{sh}\n" for each, uid, own, sh in accounts))
    groups = {
        "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "man": 12, "mail": 8, "shadow": 42,
        "staff": 50, "www-data": 33, "users": 100, name: number, "nogroup": 65534,
    }  # fmt: skip
    put(root, "etc/group", "".join(f"{each}:x:{gid}:\n" for each, gid in groups.items()))
    (root / home.lstrip("/")).mkdir(parents=True, exist_ok=True)


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
    made = pythons.python(shop, parameter)
    layer = shop.tree_layer("uv-beside", lambda root: _uv(shop, root), prefix="usr/local/bin")
    return Made((*made.layers, layer), made.settings)
