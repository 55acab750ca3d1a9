"""Images of one program, made here, for engines of any kind."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping


def image(program: bytes, path: str, architecture: str, name: str, labels: Mapping[str, str]) -> bytes:
    """A docker-save archive with nothing but this program, at ``path``, which is started. ``architecture`` as Go calls it."""
    layer = _tar({path.strip("/"): program}, mode=0o755)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": [path], "Labels": dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": f"deadweight {path.strip('/')}"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    return _tar({**files, "manifest.json": json.dumps(manifest).encode()})


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()
