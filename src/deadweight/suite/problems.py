"""Everything that is wrong with a file, told at once and by line, instead of one problem a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deadweight._errors import ConfigError


class Problems:
    """Collects errors of independent parts of a file. What depends on them is not looked at once there is one."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []
        self.also: list[ConfigError] = []
        """What is an error only to who needs it (a plug-in that is not here): told beside others, and alone by nobody."""

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Go on after a ConfigError; what follows in the block is skipped."""
        try:
            yield
        except ConfigError as error:
            self.found += [error, *error.more]

    def tell(self) -> None:
        """Raises one ConfigError that holds all that were found, by line and each once; nothing happens where there is none."""
        also = self.also if self.found else []
        once = {str(error.alone()): error.alone() for error in (*self.found, *also)}
        errors = sorted(once.values(), key=lambda error: error.line or 0)
        if errors:
            raise errors[0].beside(errors[1:])
