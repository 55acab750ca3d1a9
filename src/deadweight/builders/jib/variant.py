"""The keys of a variant that Jib builds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from deadweight.suite.model import Variant
from deadweight.suite.values import EnvName, Flag, RelativePath, Text
from deadweight.suite.yaml_nodes import Key


class JibVariant(Variant):
    """``files`` maps a path in the image to a local file or folder, or to a file of another image (``IMAGE#PATH``)."""

    base: Annotated[Text | None, Field(description="required: public reference of the base")] = None
    pom: Annotated[
        RelativePath | None,
        Field(description="the `pom.xml`, where it is not `source`'s; it need not mention Jib"),
    ] = None
    main: Annotated[Text | None, Field(description="the main class")] = None
    files: Annotated[
        dict[Text, RelativePath],
        Field(description="path in the image → local file or folder, or `IMAGE#PATH` for a file of another image"),
    ] = {}
    env: Annotated[dict[EnvName, Text], Field(description="the image's environment")] = {}
    tests: Annotated[Flag, Field(description="true runs the service's own tests before")] = False
    args: Annotated[
        dict[Text, Text],
        Field(
            description="more of Jib's or Maven's properties, for example `jib.containerize: \":ARTIFACT-ID\"` "
            "where a project has several modules"
        ),
    ] = {}

    def images(self) -> Iterator[tuple[Key, str]]:
        if self.base:
            yield ("base",), self.base
        for name, given in self.files.items():
            if "#" in given:
                yield ("files", name), given.partition("#")[0]
