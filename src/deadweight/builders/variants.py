"""Define the suite-file keys of our builders' variants, one record each. Importing them loads no builder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from deadweight.suite.model import Variant
from deadweight.suite.values import AbsolutePath, AnyPath, EnvName, Flag, MountId, Record, RelativePath, Text
from deadweight.suite.yaml_nodes import Key

GENERATOR = "docker/buildkit-syft-scanner:stable-1"
"""The generator of SBOMs that BuildKit takes by itself."""


class Attest(Record):
    """What BuildKit attests for each build, stored with the image: its provenance (SLSA) and the packages it contains (SPDX).

    ``sbom`` is true, or the image of the generator that BuildKit is to run.
    """

    provenance: Literal["min", "max"] | None = None
    sbom: Flag | Text = False


class DockerfileVariant(Variant):
    """``bases`` maps a Dockerfile ``ARG`` to a public image reference. ``source`` is the build context."""

    dockerfile: RelativePath | None = Field(None, description="the Dockerfile")
    bases: dict[Text, Text] = Field(
        {},
        description="`ARG` before the first `FROM` → public image reference; resolved by the source, pinned by digest",
    )
    args: dict[Text, Text] = Field(
        {}, description="other build arguments. They stay in the image history: never use them for secrets"
    )
    secrets: dict[MountId, AnyPath] = Field(
        {}, description="id → file, or `generated:NAME`; mount it with `--mount=type=secret,id=…`"
    )
    ssh: dict[MountId, AnyPath] = Field(
        {},
        description="id → key file or agent socket (`$SSH_AUTH_SOCK`), or `generated:NAME`; "
        "mount it with `--mount=type=ssh`",
    )
    target: Text | None = Field(None, description="the stage to build")
    attest: Attest | None = Field(
        None,
        description="BuildKit attestations, kept in the archive and listed in the report: `provenance` (`min` or `max`), `sbom` "
        "(true or a generator's image). Needs an engine with containerd's image store",
    )

    def images(self) -> Iterator[tuple[Key, str]]:
        for name, reference in self.bases.items():
            yield ("bases", name), reference
        if self.generator:
            yield ("attest", "sbom"), self.generator

    @property
    def generator(self) -> str:
        """The public reference of the image that makes the SBOM; empty where none is asked for."""
        sbom = self.attest.sbom if self.attest is not None else False
        return sbom if isinstance(sbom, str) else GENERATOR if sbom else ""

    def references(self, root: Path) -> tuple[str, ...]:
        """Also what the Dockerfile itself stands on; nothing of what cannot be read (the builder says so then)."""
        from deadweight.records.reference import is_reference
        from deadweight.sources.adapt_dockerfile import places

        try:
            text = (root / self.dockerfile).read_text(encoding="utf-8-sig") if self.dockerfile else ""
        except (OSError, UnicodeDecodeError):
            text = ""
        named = places(text, {**self.args, **self.bases})
        return (*super().references(root), *(name for name in named if is_reference(name)))

    def reads(self) -> tuple[str, ...] | None:
        own = (self.dockerfile,) if self.dockerfile else ()
        return (*own, self.source, *self.secrets.values())


class KoVariant(Variant):
    """A variant built with ko. ``main`` is the main package (default: the one in the source folder)."""

    base: Text | None = Field(None, description="required: the base image's public reference")
    config: RelativePath | None = Field(
        None,
        description="a `ko.yaml` ([ko's configuration](https://ko.build/configuration/)); it must not override the base, "
        "because the suite sets it",
    )
    main: Text | None = Field(None, description="the main package (default `.`)")

    files: dict[AbsolutePath, RelativePath] = Field(
        {}, description="path in the image → file or folder of the project, added as an extra layer"
    )
    workdir: AbsolutePath | None = Field(None, description="the working folder (default: the base image's)")

    def images(self) -> Iterator[tuple[Key, str]]:
        if self.base:
            yield ("base",), self.base


class ApkoVariant(Variant):
    """A variant built with apko. ``packages`` are built with melange first; ``runner`` is melange's runner."""

    config: RelativePath | None = Field(None, description="the `apko.yaml`")
    packages: tuple[RelativePath, ...] = Field(
        (),
        description="`melange.yaml` files of packages that are built first; variants that name the same file share the work",
    )
    runner: Literal["bubblewrap", "docker"] = Field(
        "bubblewrap", description="melange's runner: `bubblewrap` (default) or `docker`"
    )

    def apk_files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.config, *self.packages) if name)


class JibVariant(Variant):
    """``files`` maps a path in the image to a local file or folder, or to a file from another image (``IMAGE#PATH``)."""

    base: Text | None = Field(None, description="required: the base image's public reference")
    pom: RelativePath | None = Field(
        None, description="the `pom.xml`, if it is not in `source`; it need not configure Jib"
    )
    main: Text | None = Field(None, description="the main class")
    files: dict[Text, RelativePath] = Field(
        {}, description="path in the image → local file or folder, or `IMAGE#PATH` for a file from another image"
    )
    env: dict[EnvName, Text] = Field({}, description="the image's environment")
    tests: Flag = Field(False, description="true runs the service's own tests first")
    args: dict[Text, Text] = Field(
        {},
        description='other properties of Jib or Maven, for example `jib.containerize: ":ARTIFACT-ID"` '
        "for a project with several modules",
    )

    def images(self) -> Iterator[tuple[Key, str]]:
        if self.base:
            yield ("base",), self.base
        for target, image in self.donors().items():
            yield ("files", target), image

    def donors(self) -> dict[str, str]:
        """The public references of images that files come from, by the file's path in the image."""
        return {target: given.partition("#")[0] for target, given in self.files.items() if "#" in given}
