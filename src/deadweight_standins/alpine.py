"""Make the Alpine stand-in image: musl, busybox, Alpine's layout, and an ``apk add`` that installs OS packages.

The ``apk`` program and its mirrors' addresses are not in the image: a build's RUN gets them as a mount (``apk_image``) at a place
that the image keeps free. So the image weighs what it holds, and names no mirror.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deadweight.toolchain import golang
from deadweight_images.archive.pack import Layer
from deadweight_standins import apt_releases
from deadweight_standins.bases import names
from deadweight_standins.build_cache import BuildCache, Settings, accounts, link, put
from deadweight_standins.recipes import CERTIFICATES, PATHS, Made, os_release, unpack_libraries

SOURCE = Path(__file__).with_name("apkadd")
PLACE = "/usr/lib/stand-in"
_KNOWN = "/var/lib/dpkg/status.d"
APK_KNOWS = (
    f'--customize-hook=chroot "$1" sh -c \'mkdir -p {_KNOWN} && cd {_KNOWN}'
    ' && touch $(dpkg-query -W -f "\\${Package} ") musl-dev musl-tools\''
)
"""What ``apk add`` finds to be there on the OS below Alpine's name: its packages, and musl's (its C library stands for that)."""
GROUPS = "www-data:x:82:\nusers:x:100:\nnogroup:x:65533:\n"
FOLDERS = (
    *("home", "media", "mnt", "opt", "run", "srv", "usr/local/bin", "usr/local/share"),
    *(f"var/{name}" for name in ("cache", "empty", "lib", "local", "log", "mail", "opt", "spool", "tmp")),
)
"""What Alpine's alpine-baselayout holds, and Dockerfiles count on: ``adduser -S`` takes nogroup, and makes no home below what is
not there."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def place_for_apk(root: Path) -> None:
    """Where a build's RUN gets ``apk`` on a base that is the OS below Alpine's name."""
    (root / PLACE[1:]).mkdir(parents=True)
    link(root, "usr/sbin/apk", f"{PLACE}/apk")


def alpine(cache: BuildCache, _: str) -> Made:
    """musl and a dynamic busybox, with Alpine's layout."""
    return Made((layer(cache, ()),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",)))


def wolfi(cache: BuildCache, _: str) -> Made:
    """Wolfi's base has a shell and an apk as Alpine has, and the OS's C library."""
    own = layer(cache, ("libc6", "libgcc-s1", "libstdc++6"))
    return Made((own,), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",)))


def layer(cache: BuildCache, libraries: Sequence[str], suite: str = "") -> Layer:
    """The same, with the shared objects of these packages of the OS beside musl: programs made for the OS run in it then."""

    def fill(root: Path) -> None:
        tools, loader = cache.busybox(), cache.machine.musl_loader
        accounts(root, "/bin/sh", more_groups=GROUPS)
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        put(root, "bin/busybox", tools.dynamic, executable=True)
        for applet in tools.applets:
            link(root, applet, "/bin/busybox")
        library = next(cache.unpacked("musl").rglob("libc.so"))
        put(root, f"lib/{loader}", library, executable=True)
        link(root, f"lib/{loader.replace('ld-musl-', 'libc.musl-')}", loader)
        put(root, CERTIFICATES, cache.certificates())
        put(root, "usr/sbin/update-ca-certificates", _UPDATE_CA, executable=True)
        (root / PLACE[1:]).mkdir(parents=True)
        link(root, "sbin/apk", f"{PLACE}/apk")
        os_release(root, "alpine", f"musl, busybox {tools.version}")
        if libraries:
            unpack_libraries(cache, root, libraries, suite)

    name = "alpine" if not libraries else f"alpine-with-{len(libraries)}-{libraries[-1]}-{suite}"
    return cache.tree_layer(name, fill)


_UPDATE_CA = f"""#!/bin/sh
# The bundle holds the public CAs already; those below /usr/local/share are added to it.
for file in /usr/local/share/ca-certificates/*.crt; do
  [ -f "$file" ] && cat "$file" >> /{CERTIFICATES}
done
exit 0
"""


def apk_image(cache: BuildCache, _: str) -> Made:
    """What a RUN with ``apk add`` gets as a mount: the program, its settings, and the keys that sign the OS's packages."""

    def fill(root: Path) -> None:
        program = golang.built(cache.machine.oci, SOURCE, cache.environment)
        put(root, "apk", program, executable=True)
        put(root, "keyring.gpg", KEYRING)
        put(root, "stand-in.json", json.dumps(_settings(cache), indent=1))

    return Made((cache.tree_layer("apk-tools", fill),), Settings())


def _settings(cache: BuildCache) -> dict[str, object]:
    table = names()
    sources = []
    for stanza in apt_releases.entries(cache.machine.codename, cache.machine.codename):
        for uri in stanza["uris"].split():
            suite, components = stanza["suites"].split(), stanza["components"].split()
            sources.append({"uri": uri, "suites": suite, "components": components, "keyring": f"{PLACE}/keyring.gpg"})
    return {"arch": cache.machine.deb, "sources": sources, "names": dict(table.alpine), "there": table.done_without}
