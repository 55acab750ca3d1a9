"""Share builder helpers: image names, pinned references, architecture, checks of a variant's files."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deadweight._errors import DeadweightError, wording
from deadweight._packages import images
from deadweight.builders.protocol import Site, WrongKey
from deadweight.records.built_image import Base
from deadweight.records.reference import split
from deadweight.suite.model import Suite, Variant
from deadweight.suite.yaml_nodes import Key
from deadweight.toolchain.golang import APK_NAMES

BUILD_TIMEOUT_SECONDS = 1800.0
"""A build that takes half an hour hangs."""

OFFLINE_VARIABLE = "DEADWEIGHT_MAVEN_OFFLINE"
"""Set to anything, Maven and Gradle build from what they have."""

EPOCH = "0"
"""SOURCE_DATE_EPOCH of every build, in seconds: the same inputs give the same bytes on any day."""


class Architecture(NamedTuple):
    """The architecture that images are built for, as Go and OCI call it (``amd64``) and as apk does (``x86_64``)."""

    oci: str
    apk: str


def architecture() -> Architecture:
    """The running engine's architecture, else this machine's. Raises DeadweightError if no builder supports it."""
    from deadweight.engine.daemon import image_platform

    oci = image_platform().removeprefix("linux/")
    if oci not in APK_NAMES:
        raise DeadweightError(wording("builders.architecture_unsupported", architecture=oci))
    return Architecture(oci, APK_NAMES[oci])


def image_name(suite: Suite, variant: Variant) -> str:
    """The stable name of a variant's image in an engine: ``deadweight/SUITE/VARIANT:latest``.

    A suite's names may hold runs of separators that an image reference may not (distribution's reference grammar).
    """
    parts = [re.sub(r"[._-]{2,}", "-", name) for name in (suite.name, variant.name)]
    return f"deadweight/{parts[0]}/{parts[1]}:latest"


def pinned(base: Base) -> str:
    """The reference to build from, by digest if known, so that a moving tag has no effect."""
    if base.digest is None or "@" in base.resolved:
        return base.resolved
    return f"{split(base.resolved)[0]}@{base.digest}"


def base_values(bases: Mapping[str, Base]) -> dict[str, str]:
    """Base images as fingerprint inputs: by digest if known, so that the content matters, not the registry host."""
    texts = {name: wording("plan.base") if name == "base" else wording("plan.named_base", name=name) for name in bases}
    names = {name: images.Message(f"base {name}", texts[name].code, {"described": texts[name]}) for name in bases}
    return {names[name]: base.digest or base.resolved for name, base in bases.items()}


def need_file(variant: Variant, key: str | Key, root: Path, name: str, *, wide: bool = False) -> Path:
    """The absolute path of a text file that a variant names. Raises WrongKey if it is missing, a folder, empty, or binary.

    ``wide``: text in UTF-16, told by its mark, is text too.
    """
    path = root / name
    if path.is_dir():
        raise WrongKey(variant, key, wording("builders.is_a_folder"), path)
    if not path.is_file():
        raise WrongKey(variant, key, wording("builders.no_such_file", root=root), path)
    try:
        with path.open("rb") as file:
            start = file.read(64 * 1024)
    except OSError as error:
        raise WrongKey(variant, key, wording("builders.unreadable", problem=error.strerror), path) from error
    if not start.strip():
        raise WrongKey(variant, key, wording("builders.empty_file"), path)
    if b"\x00" in start and not (wide and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))):
        raise WrongKey(variant, key, wording("builders.binary_file"), path)
    return path


def need_source(variant: Variant, root: Path) -> Path:
    """The absolute path of a variant's source folder. Raises WrongKey if it is missing, not a folder, or empty."""
    path = root / variant.source
    if not path.is_dir():
        problem = wording("builders.source_is_a_file" if path.exists() else "builders.no_such_source", root=root)
        raise WrongKey(variant, "source", problem, path)
    if next(path.iterdir(), None) is None:
        raise WrongKey(variant, "source", wording("builders.empty_source"), path)
    return path


def program_environment(site: Site) -> dict[str, str]:
    """The environment for build tools that run on this machine (ko, apko, melange): the package source's variables and CA bundle.

    Go programs read SSL_CERT_FILE beside the system's certificate folders, so a private CA comes on top of the public ones.
    """
    environment = site.source.environment()
    values = dict(environment.variables)
    if environment.ca_bundle is not None:
        values["SSL_CERT_FILE"] = str(environment.ca_bundle)
    return values


def secret_values(values: Mapping[str, str]) -> tuple[str, ...]:
    """Passwords inside URLs of an environment, to be kept out of logs."""
    return tuple(dict.fromkeys(re.findall(r"//[^/@\s:]*:([^/@\s]+)@", "\n".join(values.values()))))
