"""Files as an image has them: an attack that reads one is proven by what stands in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.files import read_file
from deadweight_attacks.model import KERNELS

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

MOST_BYTES = 2**20


class ImageFiles:
    """Read out of a container of the image, each once."""

    def __init__(self, engine: Engine, container_id: str) -> None:
        self._engine, self._container_id = engine, container_id
        self._read: dict[str, bytes | None] = {}

    def content(self, path: str) -> bytes | None:
        """A file as the image has it; None where it has none."""
        if path not in self._read:
            try:
                content: bytes | None = read_file(self._engine.api, self._container_id, path, MOST_BYTES)
            except DeadweightError:
                content = None
            self._read[path] = content
        return self._read[path]

    def telling_line(self, path: str) -> str | None:
        """The first line of a file that is long enough to be nothing else, and that JSON writes as it stands; what the kernel says
        of itself is known by the engine's word. None where there is none."""
        if path == KERNELS:
            return f"Linux version {self._engine.info.kernel} "
        lines = (self.content(path) or b"").decode("utf-8", errors="replace").splitlines()
        return next((line for line in lines if len(line) >= 10 and json.dumps(line) == f'"{line}"'), None)
