"""Image archives for tests, made member by member: every layout, and headers that no honest program writes."""

import functools
import gzip
import hashlib
import io
import json
import operator
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

from deadweight_images.archive.entries import Entries
from deadweight_images.archive.tarwalk import TarWalker
from deadweight_images.findings import LayersReport
from deadweight_images.inspect.stream import analyse_stream
from deadweight_images.layers import indexing
from tests.support.trees import written

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
END = bytes(1024)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def header(
    name: bytes, size: int | bytes = 0, kind: bytes = b"0", *, link: bytes = b"", mode: int = 0o644,
    magic: bytes = b"ustar\x0000", prefix: bytes = b"", fix: bool = True,
) -> bytes:  # fmt: skip
    """One header block. ``size`` as bytes is written as it stands; without ``fix`` the checksum is wrong."""
    fields = {
        0: name, 100: b"%07o\0" % mode, 108: b"0000000\0", 116: b"0000000\0",
        124: size if isinstance(size, bytes) else b"%011o\0" % size, 136: b"00000000000\0", 156: kind, 157: link,
        257: magic, 345: prefix,
    }  # fmt: skip
    block = bytearray(512)
    for at, field in fields.items():
        block[at : at + len(field)] = field
    return summed(block) if fix else summed(block)[:148] + b"000001\0 " + bytes(block[156:])


def summed(block: bytearray) -> bytes:
    """A header block with its checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def walked(data: bytes) -> Entries:
    """What the walker makes of a layer."""
    entries = Entries()
    TarWalker(entries, "x").walk(memoryview(data), 0, final=True)
    return entries


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", mode: int = 0o644) -> bytes:
    return header(name, len(data), mode=mode) + padded(data)


def pax(**records: str) -> bytes:
    return pax_raw(b"".join(pax_record(key.encode(), value.encode()) for key, value in records.items()))


def pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = next(size for size in range(len(body), len(body) + 9) if len(str(size)) + len(body) == size)
    return str(length).encode() + body


def pax_raw(data: bytes, kind: bytes = b"x") -> bytes:
    return header(b"PaxHeaders/x", len(data), kind) + padded(data)


def layer(*members: bytes) -> bytes:
    return b"".join(members) + END


def tar_of(members: dict[str, bytes]) -> bytes:
    return b"".join(file(name.encode(), data) for name, data in members.items()) + END


def members_of(data: bytes) -> dict[str, bytes]:
    """The files of a tar, packed or not, by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: file.read() for member in tar if member.isfile() and (file := tar.extractfile(member))}


def encrypted_zip(content: bytes) -> bytes:
    """A zip of one file, as far as its header tells."""
    size = len(content)
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, 1, 8, 0, 0, 0, size, size, 1, 0) + b"a" + content


@dataclass(frozen=True)
class Made:
    """An image made by ``build``: its config and layers, plain and as stored."""

    config: bytes
    layers: tuple[bytes, ...]
    stored: tuple[bytes, ...]


def packed(data: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, 6, mtime=0)
    return zstandard.compress(data) if compression == "zstd" else data


def long_zstd(data: bytes) -> bytes:
    """As ``zstd --long=27`` writes it: a window of 128 MiB."""
    settings = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packer.compress(data) + packer.flush()


def build(
    *layers: bytes, compression: str = "none", config: Any = None, history: Any = None, stored: Any = None, **top: Any
) -> Made:
    """``stored`` are the layers as they are stored, if not packed by ``compression``; ``top`` are other keys of the config."""
    document = {
        "architecture": "amd64", "os": "linux", "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(data) for data in layers]},
        "history": [{"created_by": f"step {n}"} for n in range(len(layers))] if history is None else history, **top,
    }  # fmt: skip
    stored = stored or (packed(data, compression) for data in layers)
    return Made(json.dumps(document).encode(), layers, tuple(stored))


def tar(path: Path, members: dict[str, bytes]) -> Path:
    """Write them as a tar; gives its path."""
    path.write_bytes(tar_of(members))
    return path


def listed(config: str, /, *layers: str, tag: str | None = "test:1", **more: Any) -> dict[str, bytes]:
    """A manifest.json of one image."""
    item = {"Config": config, "RepoTags": tag and [tag], "Layers": layers, **more}
    return {"manifest.json": json.dumps([item]).encode()}


def docker_save(path: Path, made: Made, *, tag: str = "test:1") -> Path:
    """The old layout: one folder per layer, manifest.json at the end."""
    names = [f"{hashlib.sha256(data).hexdigest()}-{n}/layer.tar" for n, data in enumerate(made.stored)]
    config = hashlib.sha256(made.config).hexdigest() + ".json"
    layers = dict(zip(names, made.stored, strict=True))
    return tar(path, {**layers, config: made.config, **listed(config, *names, tag=tag)})


def saved(folder: Path, *layers: bytes, name: str = "x.tar", tag: str = "test:1", **image: Any) -> Path:
    """An image of these layers in the old layout; ``image`` is what ``build`` takes beside them."""
    return docker_save(folder / name, build(*layers, **image), tag=tag)


def descriptor(data: bytes, media_type: str, **fields: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **fields}


def oci_members(made: Made, *, platform: str | None = None, name: str | None = None, **fields: Any) -> dict[str, bytes]:
    """An OCI layout's files. ``fields`` go into the manifest as they are."""
    layers = [descriptor(data, OCI_LAYER) for data in made.stored]
    document = {"mediaType": OCI_MANIFEST, "config": descriptor(made.config, OCI_CONFIG), "layers": layers, **fields}
    manifest = json.dumps({"schemaVersion": 2, **document}).encode()
    entry = descriptor(manifest, OCI_MANIFEST)
    if platform:
        entry["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    if name:
        entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    return {**blobs(manifest, made.config, *made.stored), "index.json": index([entry]), "oci-layout": b"{}"}


def index(manifests: Sequence[dict[str, Any]]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


def entries(*layouts: dict[str, bytes]) -> list[dict[str, Any]]:
    """What the indexes of OCI layouts name."""
    return [entry for members in layouts for entry in json.loads(members["index.json"])["manifests"]]


def several(*layouts: dict[str, bytes]) -> dict[str, bytes]:
    """One layout of them all."""
    return {**functools.reduce(operator.or_, layouts), "index.json": index(entries(*layouts))}


def place(data: bytes) -> str:
    """Where a blob lies in an OCI layout."""
    return f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def blobs(*contents: bytes) -> dict[str, bytes]:
    return {place(data): data for data in contents}


def both_layouts(path: Path, made: Made) -> Path:
    """The layout of engines from 25 on: an OCI layout with a manifest.json beside."""
    return tar(path, {**oci_members(made), **listed(place(made.config), *map(place, made.stored))})


def layout(path: Path, made: Made) -> Path:
    """The folder of an OCI layout."""
    return written(path, oci_members(made))


def honest_layer(
    members: dict[str, bytes | str | None], *, all_modes: tuple[int, int] = (0o644, 0o755), owner: int = 0, **modes: int
) -> bytes:
    """A layer as tarfile writes it: bytes are files, None folders, text the target of a link (``=x`` a hard link).

    ``all_modes`` are those of files and of folders, ``modes`` of single names.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            info, data = tarfile.TarInfo(name), content if isinstance(content, bytes) else b""
            info.mode = modes.get(name.rpartition("/")[2], all_modes[content is None])
            info.uid, info.gid, info.size = owner, owner, len(data)
            if isinstance(content, str):
                info.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                info.linkname = content.removeprefix("=")
            elif content is None:
                info.type = tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def streamed(path: Path, **how: Any) -> LayersReport:
    """What is found in an archive that comes as a stream."""
    with path.open("rb") as stream:
        return analyse_stream(stream, **how)


def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files from 2 MB on read in pieces of 1 MB."""
    monkeypatch.setattr(indexing, "SEGMENT", 1 << 20)
    monkeypatch.setattr(indexing, "WHOLE", 2 << 20)
