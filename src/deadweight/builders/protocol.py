"""Define the three-method builder protocol. A builder knows one tool; the plan decides order and caching."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from deadweight._errors import ConfigError, quoting
from deadweight.records.built_image import Base, BuiltImage, Cache
from deadweight.records.ignore import virtual_environments
from deadweight.suite.yaml_nodes import Key, dotted

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.records.paths import State
    from deadweight.sources.protocol import Source
    from deadweight.suite.model import Suite, Variant
    from deadweight_pool.pool import Pool


V = TypeVar("V", bound="Variant")


@dataclass(frozen=True)
class Site:
    """What a build can use: the project, its state folder, the source, the engine (found on first use), and the pool of BuildKit
    endpoints, if any."""

    suite: Suite
    state: State
    source: Source
    engine: Callable[[], Engine]
    environments: Callable[[Path], tuple[str, ...]] = field(
        default_factory=lambda: functools.cache(virtual_environments), compare=False
    )
    """Virtual environments below a source folder; variants share sources, so each is searched once."""
    pool: Pool | None = field(default=None, compare=False)

    @property
    def root(self) -> Path:
        return self.suite.root

    def base(self, reference: str) -> Base:
        """The image that this machine uses for a public reference, with its digest. ``Needs.bases`` must name the reference."""
        return self.source.base(reference)

    @functools.cached_property
    def generated(self) -> tuple[str, ...]:
        """Files that ``init`` wrote for the suite's variants, relative to the root."""
        return tuple(generated_files(self.root, self.suite.variants))

    @functools.cached_property
    def first_of_source(self) -> Mapping[tuple[str, str], str]:
        """The first variant of each builder and source: looked for once, not by each of thousands of variants."""
        return {(variant.builder, variant.source): variant.name for variant in reversed(self.suite.variants)}


@dataclass(frozen=True)
class Needs:
    """What a variant needs before its first step. ``bases`` are public references; ``apk`` requests APK repositories.

    ``named`` tells where a base is named, for messages: the variant's key (``bases.BASE``), or FILE:LINE. ``pooled`` is what it
    needs instead where a pool builds it; None for what no pool builds.
    """

    tools: tuple[str, ...] = ()
    engine: bool = False
    bases: tuple[str, ...] = ()
    apk: bool = False
    named: Mapping[str, str] = field(default_factory=dict)
    pooled: Needs | None = None


@dataclass(frozen=True)
class Inputs:
    """Everything that a step's result depends on. The fingerprint is computed from this.

    ``files``: files and folders (absolute), read by content, with the ignore rules of ``ignore`` (patterns as in
    .dockerignore, relative to the folder). ``values``: everything else, as strings: tool versions, base digests, arguments.
    """

    files: tuple[Path, ...] = ()
    ignore: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """Available to a running step: its log, a one-line status (``say``), and a way to report which outputs were reused from an
    earlier build (``took``: a compile cache, layers). If a step does not report reuse, it is recorded as unknown.
    """

    log: Path
    say: Callable[[str], None]
    took: Callable[[Cache], None] = lambda _cache: None


@dataclass(frozen=True)
class Step:
    """One unit of work. Steps with the same ``key`` run only once.

    ``after`` must be done before. ``behind`` only orders: those steps go first where they are planned at all (they share a
    compile cache, so that running both at once would compile twice). ``there`` tells whether the output of the last success
    still exists. ``work`` does it, and for the last step of a variant gives the image. ``pooled`` steps are done elsewhere: as many
    at once as the pool has places, beside the jobs of this machine.
    """

    key: str
    variant: str
    title: str
    inputs: Inputs
    there: Callable[[], bool]
    work: Callable[[Job], BuiltImage | None]
    after: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    pooled: bool = False


class WrongKey(ConfigError):
    """The value of a variant's ``key`` is invalid. ``path`` is the file that the value refers to, else the project folder.

    A builder knows its variant and not the suite file; whoever opened that adds file and line (``Workspace.needs``).
    """

    def __init__(self, variant: Variant, key: str | Key, what: str, path: Path, *, hint: str | None = None) -> None:
        self.inner: Key = (key,) if isinstance(key, str) else key
        self.what, self.path = what, path
        message = quoting(what, f"{what} (variants.{variant.name}.{dotted(self.inner)})")
        super().__init__(message, file=path, hint=hint)


class Builder(Protocol[V]):
    """One way to build. Third parties register theirs under the entry point group ``deadweight.builders``.

    ``record`` holds the keys that a variant of this builder may have: a subclass of ``Variant``, frozen as that is, with a field
    for each key of its own.
    """

    name: str
    record: type[V]

    def needs(self, variant: V, root: Path) -> Needs:
        """The prerequisites of the build. Reads the variant's files and changes nothing.

        Raises WrongKey for a key that is wrong or names a wrong file, ConfigError for what is wrong inside of a file.
        """
        ...

    def steps(self, variant: V, site: Site) -> tuple[Step, ...]:
        """The work, in order; the last step (key ``image:<variant>``) returns the BuiltImage. Changes nothing on disk."""
        ...

    def archive(self, variant: V, built: BuiltImage, site: Site) -> Path:
        """The image archive (docker-save tar, OCI tar or layout folder), created if it does not exist."""
        ...


__all__ = ["Base", "Builder", "BuiltImage", "Inputs", "Job", "Needs", "Site", "Step", "WrongKey"]


# Recognise files that ``init`` wrote, by one of their first lines, to keep them out of build contexts.
DOCKERFILE = "# The service on any base: the bases are the suite's (bases: in deadweight.yaml), pinned by digest when it is built."
MELANGE = "# melange: the service as an APK package. Repositories and keyrings are given when it is built."
APKO = "# apko: the image is a list of packages. Repositories, keyrings and architecture are given when it is built."
_MARKS = (DOCKERFILE, MELANGE, APKO)
_HEAD_BYTES = 2048


def is_generated(text: str) -> bool:
    """Whether ``init`` wrote a file: by its first line, or by the first behind a Dockerfile's directives."""
    return any(line in _MARKS for line in text[:_HEAD_BYTES].splitlines())


def generated_files(root: Path, variants: Iterable[Variant]) -> Iterator[str]:
    """The files of these variants that ``init`` wrote, and the ignore files beside them, relative to ``root``."""
    named = (
        (getattr(variant, "dockerfile", None), *variant.apk_files(), *variant.run.files.values())
        for variant in variants
    )
    for name in dict.fromkeys(str(name) for names in named for name in names if name):
        try:
            with (root / name).open("rb") as handle:
                if is_generated(handle.read(_HEAD_BYTES).decode("utf-8", "replace")):
                    yield from (name, f"{name}.dockerignore")
        except OSError:
            continue
