"""What BuildKit is to attest of a build, and why an engine cannot keep it: containerd's image store alone does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deadweight.builders.dockerfile import buildkit
from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.builders.protocol import WrongKey
from deadweight.builders.shared import common
from deadweight.records.built import Base


def check(variant: DockerfileVariant, root: Path) -> None:
    """Raises WrongKey (ConfigError) where the engine that runs would drop what the suite asks for. Starts no engine."""
    problem = buildkit.keeps_no_attestations() if variant.attest is not None else ""
    if problem:
        raise WrongKey(
            variant, "attest", problem, root,
            hint="take attest: out, or use an engine with containerd's image store (the default of Docker 29)",
        )  # fmt: skip


def refuse_in_pool(variant: DockerfileVariant, root: Path) -> None:
    """Raises WrongKey (ConfigError) where a pool is to build what asks for attestations: its archives hold none."""
    if variant.attest is not None:
        raise WrongKey(
            variant, "attest", "images that a pool builds have no attestations", root,
            hint="take attest: out, or build with the engine here: DEADWEIGHT_POOL=none",
        )  # fmt: skip


def generator(variant: DockerfileVariant) -> str:
    """The public reference of the image that makes the SBOM; empty where none is asked for."""
    return variant.attest.generator if variant.attest is not None else ""


def words(variant: DockerfileVariant, bases: Mapping[str, Base]) -> list[str]:
    """The flags for a build; ``bases`` tells where the source has the generator."""
    if variant.attest is None:
        return []
    flags = [f"--attest=type=provenance,mode={variant.attest.provenance}"] if variant.attest.provenance else []
    makes = generator(variant)
    return [*flags, *([f"--attest=type=sbom,generator={common.pinned(bases[makes])}"] if makes else [])]
