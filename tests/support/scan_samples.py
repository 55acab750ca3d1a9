"""Small vulnerability databases and images for scans: bbolt files with one leaf page a bucket, and a Debian in miniature."""

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from deadweight.checks.scan.database import BUCKET, LEAF, MAGIC, VERSION, fnv1a
from tests.support.small_images import Content, docker_archive

PAGE = 4096
Tree = Mapping[str, Any]
"""Buckets are mappings, values are anything that JSON can say, under a key of the form ``=key``."""

GO = "go::The Go Vulnerability Database"
PATCHED = {"PatchedVersions": ["1.99.0"], "VulnerableVersions": ["<1.99.0"], "VendorIDs": ["GO-2030-0002"]}
STDLIB = {"=CVE-2030-0002": PATCHED}
DEBIAN = {
    "libfoo": {"=CVE-2030-0001": {"FixedVersion": "2.0-1"}, "=CVE-2030-0003": {"Severity": 1}},
    "unused": {"=CVE-2030-0004": {"FixedVersion": "9.0"}},
    "linux": {f"=CVE-2030-9{number:03}": {"FixedVersion": "6.2-1"} for number in range(40)},
}
DETAILS = {
    "=CVE-2030-0001": {"Title": "libfoo overflows", "Severity": "CRITICAL", "VendorSeverity": {"nvd": 4}},
    "=CVE-2030-0002": {"Title": "net/http is made up", "Severity": "HIGH", "VendorSeverity": {"nvd": 3}},
    "=CVE-2030-0004": {"Title": "unused is wrong", "Severity": "MEDIUM", "VendorSeverity": {"nvd": 2}},
}
SOURCES = {
    "=debian 12": {"ID": "debian", "Name": "Debian Security Tracker", "URL": "https://example.com"},
    f"={GO}": {"ID": "govulndb", "Name": "The Go Vulnerability Database", "URL": "https://pkg.go.dev/vuln/"},
}
WHOLE: Tree = {"debian 12": DEBIAN, GO: {"stdlib": STDLIB}, "vulnerability": DETAILS, "data-source": SOURCES}


def write_bolt(file: Path, tree: Tree) -> None:
    """A bbolt file: two meta pages, an empty free list, then a leaf page (with overflow where it is long) for each bucket."""
    pages = [bytes(PAGE), bytes(PAGE), _page(2, 0x10, 0, b"")]

    def add(bucket: Tree) -> int:
        items = []
        for key, value in bucket.items():
            if key.startswith("="):
                items.append((0, key[1:].encode(), json.dumps(value).encode()))
            else:
                items.append((BUCKET, key.encode(), struct.pack("<QQ", add(value), 0)))
        items.sort(key=lambda item: item[1])
        heads, place = b"", 16 * len(items)
        for index, (flags, name, data) in enumerate(items):
            heads += struct.pack("<IIII", flags, place - 16 * index, len(name), len(data))
            place += len(name) + len(data)
        number = len(pages)
        content = _page(number, LEAF, len(items), heads + b"".join(name + data for _, name, data in items))
        pages.extend(content[start : start + PAGE] for start in range(0, len(content), PAGE))
        return number

    root = add(tree)
    for number in (0, 1):
        meta = struct.pack("<IIIIQQQQQ", MAGIC, VERSION, PAGE, 0, root, 0, 2, len(pages), number)
        pages[number] = _page(number, 0x04, 0, meta + struct.pack("<Q", fnv1a(meta)))
    file.write_bytes(b"".join(pages))


def _page(number: int, flags: int, count: int, content: bytes) -> bytes:
    whole = 16 + len(content)
    overflow = (whole - 1) // PAGE
    return struct.pack("<QHHI", number, flags, count, overflow) + content + bytes((overflow + 1) * PAGE - whole)


def write_database(folder: Path, tree: Tree = WHOLE, *, age_days: float = 0.5, version: int = 2) -> Path:
    """``trivy.db`` and ``metadata.json`` as the scanner wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bolt(folder / "trivy.db", tree)
    made = datetime.now(UTC) - timedelta(days=age_days)
    times = {"UpdatedAt": f"{made:%Y-%m-%dT%H:%M:%S}.123456789Z", "NextUpdate": "2100-01-01T00:00:00Z"}
    metadata = {"Version": version, **times, "DownloadedAt": "0001-01-01T00:00:00Z"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder


def _status(*packages: tuple[str, str, str]) -> bytes:
    text = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nSource: {source}\nVersion: {version}\n"
        f"Maintainer: Nobody <nobody@example.com>\nInstalled-Size: 10\nDescription: made up\n"
        for name, source, version in packages
    )
    return text.encode()


PACKAGES = (("libfoo", "libfoo", "1.0-1"), ("unused", "unused", "1.0"), ("linux-libc-dev", "linux", "6.1.1-1"))


def debian_files() -> dict[str, Content]:
    """A Debian 12 with three packages, of which ``libfoo`` owns /usr/lib/libfoo.so by its old name."""
    info = "/var/lib/dpkg/info"
    return {
        "/etc/debian_version": b"12.5\n",
        "/etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
        "/var/lib/dpkg/status": _status(*PACKAGES),
        f"{info}/libfoo.list": b"/.\n/lib\n/lib/libfoo.so\n",
        f"{info}/unused.list": b"/.\n/usr/bin/unused\n",
        f"{info}/linux-libc-dev.list": b"/.\n/usr/include/linux/a.h\n",
        "/usr/lib/libfoo.so": b"no library",
        "/usr/bin/unused": b"no program",
        "/usr/include/linux/a.h": b"",
    }


def image(out: Path, app: Path, files: dict[str, Content], entrypoint: str = "/app") -> Path:
    """An image with a Go program and these files."""
    config = {"Entrypoint": [entrypoint], "User": "65534:65534", "Env": ["MODE=good"], "ExposedPorts": {"8080/tcp": {}}}
    return docker_archive(out, "deadweight-tests/scan:1", [files, {"/app": app}], config)
