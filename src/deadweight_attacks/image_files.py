"""Files as an image has them: an attack that reads one is proven by what stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine.container import read_file
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


# Where an image keeps its own application, told by the words that start it.
def app_folder(words: Sequence[str], working: str = "") -> str:
    """The folder of the image's own application, by the words that start it.

    That of the program; where that is an interpreter, or is found through PATH: the folder of the first path among its arguments
    (``-jar /app/x.jar``, ``-cp @/app/list`` or ``-cp /app/classes:…``), else the working directory. A base brings a working
    directory of its own (distroless: ``/home/nonroot``), so it comes last.
    """
    if words and words[0].startswith("/") and not _RUNS_OTHERS.fullmatch(PurePosixPath(words[0]).name):
        return str(PurePosixPath(words[0]).parent)
    for word in words[1:]:
        path = PurePosixPath(word.removeprefix("@").partition(":")[0])
        if path.is_absolute():
            return str(path if path.parent == PurePosixPath("/") and not path.suffix else path.parent)
    return str(PurePosixPath(working)) if working.startswith("/") else "/"


_RUNS_OTHERS = re.compile(r"(|ba|da|a|z)sh|env|tini|dumb-init|java|python[0-9.]*|node|ruby|perl|php|dotnet")
