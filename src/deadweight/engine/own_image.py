"""An image of one of our own programs in an engine: what stands beside containers is started from it."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from deadweight._errors import DeadweightError
from deadweight.engine import single
from deadweight.engine.faults import translated
from deadweight.toolchain import own_programs

if TYPE_CHECKING:
    from docker.api.client import APIClient

    from deadweight.engine.container import Container
    from deadweight.engine.images import Images
    from deadweight.engine.info import EngineInfo
    from deadweight.engine.options import RunOptions


class Host(Protocol):
    """The engine, as far as it is used here."""

    api: APIClient
    images: Images

    @property
    def info(self) -> EngineInfo: ...

    def marks(self, purpose: str) -> dict[str, str]: ...

    def namespaces(self) -> tuple[str, ...]: ...

    def create(self, image: str, options: RunOptions, *, purpose: str = ..., variant: str = ...) -> Container: ...

    def start(self, image: str, options: RunOptions, *, purpose: str = ..., variant: str = ...) -> Container: ...


class OwnImage:
    """Made of the Go module in ``source`` and loaded when first asked for; ``close`` removes it. The program is at ``path``."""

    def __init__(self, engine: Host, source: Path, path: str, purpose: str) -> None:
        self._engine, self._source, self._path, self._purpose = engine, source, path, purpose
        self._image = ""

    def loaded(self) -> str:
        """Its name. Raises DeadweightError (MissingError without Go)."""
        if not self._image:
            architecture = own_programs.go_architecture(self._engine.info.architecture)
            program = own_programs.built(architecture, self._source).read_bytes()
            # a name of our own: who else has the program here removes its name
            name = f"deadweight/{self._purpose}:{uuid.uuid4().hex[:12]}"
            with translated(f"load our program {self._path.strip('/')}"):
                for _ in self._engine.api.load_image(
                    single.image(program, self._path, architecture, name, self._engine.marks(self._purpose))
                ):
                    pass
            self._image = name
        return self._image

    def close(self) -> None:
        if self._image:
            with contextlib.suppress(DeadweightError):
                self._engine.images.remove(self._image, force=True)
            self._image = ""
