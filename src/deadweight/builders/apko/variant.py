"""The keys of a variant that apko builds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deadweight.suite.model import Variant
from deadweight.suite.values import RelativePath


class ApkoVariant(Variant):
    """``packages`` are built with melange before; ``runner`` is melange's."""

    config: Annotated[RelativePath | None, Field(description="the `apko.yaml`")] = None
    packages: Annotated[
        tuple[RelativePath, ...],
        Field(
            description="`melange.yaml` files of packages that are built first; variants that name the same file share the work"
        ),
    ] = ()
    runner: Annotated[
        Literal["bubblewrap", "docker"], Field(description="melange's: `bubblewrap` (default) or `docker`")
    ] = "bubblewrap"

    def apk_files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.config, *self.packages) if name)
