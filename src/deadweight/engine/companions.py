"""Containers of one of our programs that stand beside other containers of an engine: each goes with its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight.engine.own_image import Host, OwnImage

if TYPE_CHECKING:
    from deadweight.engine.container import Container


class Companions:
    """``source``, ``path`` and ``purpose`` are those of the program's image (``OwnImage``)."""

    def __init__(self, engine: Host, source: Path, path: str, purpose: str) -> None:
        self._engine = engine
        self._program = OwnImage(engine, source, path, purpose)
        self._beside: dict[str, Container] = {}
        self._guard = threading.RLock()  # a start that fails tells of its end

    def ended(self, container_id: str) -> None:
        """Told when a container goes: what stands beside it goes too."""
        with self._guard:
            beside = self._beside.pop(container_id, None)
        if beside is not None:
            beside.remove()

    def close(self) -> None:
        """Remove the image."""
        self._program.close()
