"""Export an image from a local registry as an OCI layout folder, for a build on another machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deadweight._errors import DeadweightError, wording
from deadweight.records.paths import user_cache
from deadweight.records.store import write_atomically

INDEX = "application/vnd.oci.image.index.v1+json"


def linked(digest: str, blob: Callable[[str], Path]) -> Path:
    """The layout of the image whose manifest has this digest, made of links to the registry's own files.

    Raises DeadweightError where one of them is gone.
    """
    folder = _home(digest)
    for each in _blobs(digest, blob):
        place = folder / "blobs" / each.replace(":", "/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(blob(each))
    _complete(folder, digest, blob(digest).stat().st_size)
    return folder


def pulled(reference: str) -> Path:
    """The layout of an image by its digest, from a registry without TLS that crane can reach. Raises CommandError."""
    from deadweight.toolchain import crane

    folder = _home(reference.rpartition("@")[2])
    if not (folder / "index.json").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with crane.pulled(reference, insecure=True) as got, tempfile.TemporaryDirectory(dir=folder.parent) as work:
            whole = shutil.copytree(got, Path(work) / "layout")
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)
    return folder


def _home(digest: str) -> Path:
    return user_cache() / "layouts" / digest.replace(":", "-")


def _blobs(digest: str, blob: Callable[[str], Path]) -> list[str]:
    """The manifest and all that it names."""
    try:
        manifest: dict[str, Any] = json.loads(blob(digest).read_bytes())
        named = [manifest["config"], *manifest["layers"]] if "config" in manifest else manifest["manifests"]
        found = [digest, *(str(each["digest"]) for each in named)]
        if "manifests" in manifest:
            found += [inner for each in found[1:] for inner in _blobs(each, blob)]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DeadweightError(wording("sources.image_damaged", digest=digest, problem=error)) from error
    return found


def _complete(folder: Path, digest: str, size: int) -> None:
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size}],
    }
    (folder / "ingest").mkdir(exist_ok=True)
    write_atomically(folder / "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}))
    write_atomically(folder / "index.json", json.dumps(index))
