"""Starting containers of an attacked image, and what is believed of them: the guard may end those that are under attack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.engine.options import RunOptions
from deadweight.engine.program_image import Packing
from deadweight_attacks import remote
from deadweight_attacks.guard import Guard
from deadweight_attacks.host import PURPOSE

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container


class NoService(DeadweightError):
    """The service does not come up, or not in a way that attacks could be sent to it: nothing can be measured."""


class Starts:
    """Of one variant's image. ``far``: paths of this machine mean nothing to the engine. ``guard`` ends what is attacked where disk
    or time runs out; None before there is one."""

    def __init__(self, engine: Engine, image: str, variant: str) -> None:
        self._engine, self._image, self._variant = engine, image, variant
        self._packing = Packing(engine, remote.NAME, PURPOSE)
        self.far = False
        self.guard: Guard | None = None

    def close(self) -> None:
        self._packing.close()

    def start(self, options: RunOptions, labels: Mapping[str, str] | None = None) -> Container:
        """A container that is not attacked itself."""
        marked = options.but(labels={**options.labels, **(labels or {})})
        image, marked = remote.packed(self._packing, self._image, marked) if self.far else (self._image, marked)
        with self.believed():
            return self._engine.start(image, marked, purpose=PURPOSE, variant=self._variant)

    def guarded(self, options: RunOptions) -> Container:
        """A container to attack: ended by the guard where disk or time runs out. Raises NoService where that came already."""
        self.held()
        return self.start(options, self.guard.labels() if self.guard is not None else None)

    @contextlib.contextmanager
    def believed(self) -> Iterator[None]:
        """What the engine refuses within says nothing where the guard has ended the container that it was about: then NoService."""
        try:
            yield
        except (Interrupted, NoService):
            raise
        except DeadweightError as error:
            if self._ended:
                raise NoService(self._ended) from error
            raise

    def held(self) -> None:
        """Raises NoService where the guard has ended what was attacked: then nothing that is seen means anything."""
        if self._ended:
            raise NoService(self._ended)

    @property
    def _ended(self) -> str:
        """Why the guard has ended everything; empty where it has not."""
        return self.guard.reason if self.guard is not None else ""
