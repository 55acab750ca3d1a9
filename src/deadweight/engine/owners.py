"""The owners of folders in memory, by the image of a container (``in_memory``)."""

from __future__ import annotations

from deadweight._errors import DeadweightError
from deadweight.engine import in_memory
from deadweight.engine.files import read_file
from deadweight.engine.options import RunOptions
from deadweight.engine.own_image import Host

PASSWD_BYTES = 2**20


class Owners:
    """A user's number is read out of an image once."""

    def __init__(self, engine: Host) -> None:
        self._engine = engine
        self._numbers: dict[tuple[str, str], int | None] = {}

    def given(self, image: str, options: RunOptions) -> RunOptions:
        """The same options with the owner of each folder in memory. Podman's runtimes keep the mode that is asked for, and Podman
        knows no owner."""
        if not options.tmpfs or self._engine.info.podman:
            return options
        known = self._engine.images.get(image)
        if known is None:
            return options
        return in_memory.owned(options, known.user, lambda name: self._number_of(name, known.id))

    def _number_of(self, name: str, image_id: str) -> int | None:
        if (image_id, name) not in self._numbers:
            with self._engine.create(image_id, RunOptions(entrypoint=("none",), network="none")) as container:
                try:
                    passwd = read_file(self._engine.api, container.id, "/etc/passwd", PASSWD_BYTES)
                except DeadweightError:  # it has none
                    passwd = b""
            self._numbers[image_id, name] = in_memory.number_of(name, passwd)
        return self._numbers[image_id, name]
