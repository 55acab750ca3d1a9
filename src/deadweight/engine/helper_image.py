"""Programs of ours in an image made of another one, where files of this machine cannot be bound into a container: its paths mean
nothing to an engine that runs elsewhere, and one without root may not read them."""

from __future__ import annotations

import io
import tarfile
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.faults import translated
from deadweight.engine.options import RunOptions

if TYPE_CHECKING:
    from deadweight.engine.program_image import Host


class Packing:
    """Images that hold programs beside what another image holds: each is made once, and ``close`` removes them."""

    def __init__(self, engine: Host, name: str, purpose: str) -> None:
        self._engine, self._name, self._purpose = engine, name, purpose
        self._made: dict[tuple[str, tuple[str, ...]], str] = {}

    def packed(self, image: str, files: Mapping[str, bytes]) -> str:
        """An image like this one, with programs at these absolute paths. Raises DeadweightError."""
        key = (image, tuple(sorted(files)))
        if key not in self._made:
            self._made[key] = made_with(self._engine, image, files, self._name, self._purpose)
        return self._made[key]

    def close(self) -> None:
        for made in self._made.values():
            self._engine.images.remove(made, force=True)
        self._made.clear()


def made_with(engine: Host, image: str, files: Mapping[str, bytes], name: str, purpose: str) -> str:
    """An image like another one, with programs at these absolute paths. Gives its name; who asked for it removes it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, program in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(program), 0o755
            tar.addfile(member, io.BytesIO(program))
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    tag = uuid.uuid4().hex[:12]
    with (
        engine.create(image, RunOptions(network="none"), purpose=purpose) as container,
        translated(f"put programs into an image like {image}"),
    ):
        # Podman's reader has gone at the end mark: what a tape's record is filled up with would meet a broken pipe.
        if not engine.api.put_archive(container.id, "/", content.getvalue()[:end]):
            raise DeadweightError("the engine takes no files for a container")
        engine.api.commit(container.id, repository=name, tag=tag)
    return f"{name}:{tag}"
