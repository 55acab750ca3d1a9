"""The keys of a variant that ko builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from deadweight.suite.model import Variant
from deadweight.suite.values import AbsolutePath, RelativePath, Text
from deadweight.suite.yaml_nodes import Key


class KoVariant(Variant):
    """``main`` is the main package; without one it is the folder's own."""

    base: Annotated[Text | None, Field(description="required: public reference of the base")] = None
    config: Annotated[
        RelativePath | None,
        Field(
            description="a `ko.yaml` ([ko's configuration](https://ko.build/configuration/)); without base overrides, "
            "for the base is the suite's"
        ),
    ] = None
    main: Annotated[Text | None, Field(description="the package with `main`, where it is not `.`")] = None

    files: Annotated[
        dict[AbsolutePath, RelativePath],
        Field(description="path in the image → file or folder of the project that lies there, as one more layer"),
    ] = {}
    workdir: Annotated[
        AbsolutePath | None, Field(description="the folder in which it is started; the base's by default")
    ] = None

    def images(self) -> Iterator[tuple[Key, str]]:
        if self.base:
            yield ("base",), self.base
