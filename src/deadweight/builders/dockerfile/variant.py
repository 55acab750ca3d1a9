"""The keys of a variant that is built from a Dockerfile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from deadweight.suite.model import Variant
from deadweight.suite.values import AnyPath, Flag, MountId, Record, RelativePath, Text
from deadweight.suite.yaml_nodes import Key

GENERATOR = "docker/buildkit-syft-scanner:stable-1"
"""The generator of SBOMs that BuildKit takes by itself."""


class Attest(Record):
    """What BuildKit attests of each build, kept beside the image: where it came from (SLSA), which packages it holds (SPDX).

    ``sbom`` is true, or the image of a generator that BuildKit is to run.
    """

    provenance: Literal["min", "max"] | None = None
    sbom: Flag | Text = False

    @property
    def generator(self) -> str:
        """The public reference of the image that lists packages; empty where no SBOM is asked for."""
        return self.sbom if isinstance(self.sbom, str) else GENERATOR if self.sbom else ""


class DockerfileVariant(Variant):
    """``bases`` maps a Dockerfile ``ARG`` to a public image reference. ``source`` is the build context."""

    dockerfile: Annotated[RelativePath | None, Field(description="the file")] = None
    bases: Annotated[
        dict[Text, Text],
        Field(
            description="`ARG` before the first `FROM` → public image reference; resolved by the source, pinned by digest"
        ),
    ] = {}
    args: Annotated[
        dict[Text, Text],
        Field(description="other build arguments. They stay in the history: never a secret"),
    ] = {}
    secrets: Annotated[
        dict[MountId, AnyPath],
        Field(description="id → file, or `generated:NAME`; mount it with `--mount=type=secret,id=…`"),
    ] = {}
    ssh: Annotated[
        dict[MountId, AnyPath],
        Field(
            description="id → key file or agent socket (`$SSH_AUTH_SOCK`), or `generated:NAME`; "
            "mount it with `--mount=type=ssh`"
        ),
    ] = {}
    target: Annotated[Text | None, Field(description="a stage")] = None
    attest: Annotated[
        Attest | None,
        Field(
            description="`{provenance: min}` or `max`, `sbom: true` or a generator's image: BuildKit's attestations, kept in the "
            "archive and named in the report. Needs an engine with containerd's image store"
        ),
    ] = None

    def images(self) -> Iterator[tuple[Key, str]]:
        for name, reference in self.bases.items():
            yield ("bases", name), reference
        if self.attest is not None and self.attest.generator:
            yield ("attest", "sbom"), self.attest.generator

    def references(self, root: Path) -> tuple[str, ...]:
        return (*super().references(root), *self._in_dockerfile(root))

    def reads(self) -> tuple[str, ...] | None:
        own = (self.dockerfile,) if self.dockerfile else ()
        return (*own, self.source, *self.secrets.values())

    def _in_dockerfile(self, root: Path) -> tuple[str, ...]:
        """What the Dockerfile itself stands on; nothing of what cannot be read (the builder says so then)."""
        from deadweight.records.reference import is_reference
        from deadweight.sources.adapt_dockerfile import images

        if self.dockerfile is None:
            return ()
        try:
            text = (root / self.dockerfile).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return ()
        return tuple(name for name in images(text, {**self.args, **self.bases}) if is_reference(name))
