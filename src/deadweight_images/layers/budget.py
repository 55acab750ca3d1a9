"""How many steps may be taken through folders and links: a bound per path would let each link double the work of the last."""

from __future__ import annotations

from deadweight_images.errors import ArchiveError

_WORK = 50_000_000


class Budget:
    """Steps that may still be taken, one budget for all of a layer or of an image."""

    def __init__(self, what: str) -> None:
        self._what, self._left = what, _WORK

    def spend(self, steps: int) -> None:
        """Raises ArchiveError where nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise ArchiveError(f"{self._what}: its folders and links take too many steps to follow")
