"""The stand-in for Alpine: musl, a busybox, Alpine's layout, and an ``apk add`` that installs the OS's packages.

That program and the addresses that it fetches from are no part of the image: a build's RUN gets them as a mount (``apk_image``),
at a place that the image keeps free. So an image weighs what it holds, and names no mirror.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deadweight import _run
from deadweight.sources.local import suites
from deadweight.sources.local.layer import Layer
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import CERTIFICATES, PATHS, Made, os_release, unpack_libraries
from deadweight.sources.local.workshop import Workshop, accounts, link, put

SOURCE = Path(__file__).with_name("apkadd")
PLACE = "/usr/lib/stand-in"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

NAMES: dict[str, list[str]] = {
    "alpine-sdk": ["gcc", "git", "libc6-dev", "make", "musl-dev", "musl-tools", "linux-libc-dev"],
    "build-base": ["gcc", "g++", "libc6-dev", "make", "musl-dev", "musl-tools", "linux-libc-dev"],
    "ca-certificates": [],
    "ca-certificates-bundle": [],
    "busybox": [],
    "musl": [],
    "gcompat": ["libc6"],
    "libc6-compat": ["libc6"],
    "gcc": ["gcc", "libc6-dev", "musl-dev", "musl-tools"],
    "g++": ["g++", "libc6-dev"],
    "libc-dev": ["musl-dev", "musl-tools", "libc6-dev"],
    "musl-dev": ["musl-dev", "musl-tools", "libc6-dev", "gcc"],
    "linux-headers": ["linux-libc-dev"],
    "libstdc++": ["libstdc++6"],
    "libgcc": ["libgcc-s1"],
    "openssl": ["openssl"],
    "openssl-dev": ["libssl-dev"],
    "openssh": ["openssh-client"],
    "openssh-client": ["openssh-client"],
    "openssh-client-default": ["openssh-client"],
    "pkgconfig": ["pkgconf"],
    "pkgconf": ["pkgconf"],
    "python3": ["python3"],
    "py3-pip": ["python3-pip"],
    "python3-dev": ["python3-dev"],
    "postgresql-client": ["postgresql-client"],
    "postgresql-dev": ["libpq-dev"],
    "libpq": ["libpq5"],
    "libpq-dev": ["libpq-dev"],
    "sqlite": ["sqlite3"],
    "sqlite-dev": ["libsqlite3-dev"],
    "libffi-dev": ["libffi-dev"],
    "zlib-dev": ["zlib1g-dev"],
    "su-exec": ["gosu"],
    "shadow": ["passwd"],
    "xz": ["xz-utils"],
    "yaml": ["libyaml-0-2"],
    "mailcap": ["mime-support"],
    "bind-tools": ["bind9-dnsutils"],
    "iproute2": ["iproute2"],
    "procps-ng": ["procps"],
    "gnupg": ["gnupg"],
    "vips-dev": ["libvips-dev"],
}
"""Alpine's name to the OS's packages; an empty list is there already. What is not here has the same name in both."""

DONE_WITHOUT = (
    "adduser",
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debconf",
    "debconf-2.0",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "gcc-12-base",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "install-info",
    "libpam-modules",
    "libpam-runtime",
    "libpam0g",
    "login",
    "lsb-base",
    "mawk",
    "media-types",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "netbase",
    "passwd",
    "perl",
    "perl-base",
    "sed",
    "sensible-utils",
    "sysvinit-utils",
    "systemd",
    "tar",
    "ucf",
    "util-linux",
    "cpp",
    "dictionaries-common",
    "man-db",
    "git-man",
    "liberror-perl",
    "readline-common",
    "less",
    "xauth",
    "libc-bin",
    "ca-certificates",
    "default-mysql-client",
    "tzdata-legacy",
)
"""Packages of the OS that busybox, or nothing, stands for."""


def alpine(shop: Workshop, _: str) -> Made:
    """musl and a dynamic busybox, with Alpine's layout."""
    return Made((layer(shop, ()),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",)))


def wolfi(shop: Workshop, _: str) -> Made:
    """Wolfi's base has a shell and an apk as Alpine has, and the OS's C library."""
    return Made(
        (layer(shop, ("libc6", "libgcc-s1", "libstdc++6")),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",))
    )


def layer(shop: Workshop, libraries: Sequence[str], suite: str = "") -> Layer:
    """The same, with the shared objects of these packages of the OS beside musl: programs made for the OS run in it then."""

    def fill(root: Path) -> None:
        tools, loader = shop.busybox(), shop.machine.musl_loader
        accounts(root, "/bin/sh")
        put(root, "bin/busybox", tools.dynamic, executable=True)
        for applet in tools.applets:
            link(root, applet, "/bin/busybox")
        library = next(shop.unpacked("musl").rglob("libc.so"))
        put(root, f"lib/{loader}", library, executable=True)
        link(root, f"lib/{loader.replace('ld-musl-', 'libc.musl-')}", loader)
        put(root, CERTIFICATES, shop.certificates())
        put(root, "usr/sbin/update-ca-certificates", _UPDATE_CA, executable=True)
        (root / PLACE[1:]).mkdir(parents=True)
        link(root, "sbin/apk", f"{PLACE}/apk")
        os_release(root, "alpine", f"musl, busybox {tools.version}")
        if libraries:
            unpack_libraries(shop, root, libraries, suite)

    name = "alpine" if not libraries else f"alpine-with-{len(libraries)}-{libraries[-1]}-{suite}"
    return shop.tree_layer(name, fill)


_UPDATE_CA = f"""#!/bin/sh
# The bundle holds the public CAs already; those below /usr/local/share are added to it.
for file in /usr/local/share/ca-certificates/*.crt; do
  [ -f "$file" ] && cat "$file" >> /{CERTIFICATES}
done
exit 0
"""


def apk_image(shop: Workshop, _: str) -> Made:
    """What a RUN with ``apk add`` gets as a mount: the program, its settings, and the keys that sign the OS's packages."""

    def fill(root: Path) -> None:
        from deadweight.toolchain.find import find

        with tempfile.TemporaryDirectory(prefix="deadweight-apk-", dir=shop.folder) as work:
            environment = {**shop.environment, "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw", "GOARCH": shop.machine.oci}
            words: list[str | Path] = [
                find("go").path,
                "build",
                "-trimpath",
                "-ldflags=-s -w",
                "-o",
                Path(work) / "apk",
                ".",
            ]
            _run.run(words, cwd=SOURCE, env=environment, log=shop.log, timeout=600)
            put(root, "apk", Path(work) / "apk", executable=True)
        put(root, "keyring.gpg", KEYRING)
        put(root, "stand-in.json", json.dumps(_settings(shop), indent=1))

    return Made((shop.tree_layer("apk-tools", fill),), Settings())


def _settings(shop: Workshop) -> dict[str, object]:
    sources = []
    for stanza in suites.entries(shop.machine.codename, shop.machine.codename):
        for uri in stanza["uris"].split():
            suite, components = stanza["suites"].split(), stanza["components"].split()
            sources.append({"uri": uri, "suites": suite, "components": components, "keyring": f"{PLACE}/keyring.gpg"})
    return {"arch": shop.machine.deb, "sources": sources, "names": NAMES, "there": list(DONE_WITHOUT)}
