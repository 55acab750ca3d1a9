"""Make an engine image from one of our own Go programs, to start helper containers from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, wording
from deadweight.engine.faults import translated
from deadweight.engine.options import RunOptions
from deadweight.toolchain import golang

if TYPE_CHECKING:
    from deadweight.engine.container import Container, Host


class Companions:
    """Containers of one of our programs that stand beside other containers of an engine: each goes with its own.

    The program is made of the Go module in ``source`` and loaded as an image when it is first needed; it is at ``path`` there.
    """

    def __init__(self, engine: Host, source: Path, path: str, purpose: str) -> None:
        self._engine, self._source, self._path, self._purpose = engine, source, path, purpose
        self._image = ""
        self._beside: dict[str, Container] = {}
        self._guard = threading.RLock()  # a start that fails tells of its end

    def ended(self, container_id: str) -> None:
        """Told when a container goes: what stands beside it goes too."""
        with self._guard:
            beside = self._beside.pop(container_id, None)
        if beside is not None:
            beside.remove()

    def loaded(self) -> str:
        """The program's image. Raises DeadweightError (MissingError without Go)."""
        if not self._image:
            architecture = golang.go_architecture(self._engine.info.architecture)
            program = golang.built(architecture, self._source).read_bytes()
            # a name of our own: who else has the program here removes its name
            name = f"deadweight/{self._purpose}:{uuid.uuid4().hex[:12]}"
            archive = program_archive(program, self._path, architecture, name, self._engine.marks(self._purpose))
            with translated(f"load our program {self._path.strip('/')}"):
                for _ in self._engine.api.load_image(archive):
                    pass
            self._image = name
        return self._image

    def close(self) -> None:
        """Remove the image."""
        if self._image:
            with contextlib.suppress(DeadweightError):
                self._engine.images.remove(self._image, force=True)
            self._image = ""


# Images of one program, made here, for engines of any kind.
def program_archive(program: bytes, path: str, architecture: str, name: str, labels: Mapping[str, str]) -> bytes:
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
        # Podman's reader has gone at the end mark: what a tape's record is filled up with would meet a broken pipe.
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    return out.getvalue()[:end]


# Programs of ours in an image made of another one, where files of this machine cannot be bound into a container: its paths mean
# nothing to an engine that runs elsewhere, and one without root may not read them.
class Packing:
    """Images that hold programs beside what another image holds: each is made once, and ``close`` removes them."""

    def __init__(self, engine: Host, name: str, purpose: str) -> None:
        self._engine, self._name, self._purpose = engine, name, purpose
        self._made: dict[tuple[str, tuple[str, ...]], str] = {}

    def packed(self, image: str, files: Mapping[str, bytes]) -> str:
        """An image like this one, with programs at these absolute paths. Raises DeadweightError."""
        key = (image, tuple(sorted(files)))
        if key not in self._made:
            self._made[key] = self._committed(image, _tar({path.strip("/"): files[path] for path in files}, mode=0o755))
        return self._made[key]

    def _committed(self, image: str, content: bytes) -> str:
        tag = uuid.uuid4().hex[:12]
        with (
            self._engine.create(image, RunOptions(network="none"), purpose=self._purpose) as container,
            translated(f"put programs into an image like {image}"),
        ):
            if not self._engine.api.put_archive(container.id, "/", content):
                raise DeadweightError(wording("engine.takes_no_files"))
            self._engine.api.commit(container.id, repository=self._name, tag=tag)
        return f"{self._name}:{tag}"

    def close(self) -> None:
        for made in self._made.values():
            self._engine.images.remove(made, force=True)
        self._made.clear()
