"""The packages of the APK repositories: their names are Wolfi's and Alpine's, their files are this OS's. Plain tables.

Commands run in melange's sandbox, in a folder where each OS package named is unpacked; ``$D`` is the package's root.
"""

from __future__ import annotations

from dataclasses import dataclass

RELEASE = (
    'ID=deadweight-stand-in\nNAME="Deadweight stand-in for {name}"\n'
    'PRETTY_NAME="Deadweight stand-in for {name} (files from OS packages)"\nVERSION_ID="1"\n'
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


def wolfi(go: str) -> tuple[Spec, ...]:
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


def alpine(loader: str) -> tuple[Spec, ...]:
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
