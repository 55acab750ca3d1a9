"""Define the source protocol: resolved base images, APK repositories, and the network settings for builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from deadweight._errors import MissingError, quoting
from deadweight.records.built_image import Base
from deadweight.records.paths import State

Say = Callable[[str], None]
"""Takes one line of progress."""

STAND_INS = "stand-in/"
"""What the names of the local source's images begin with, in its registry."""

ApkFlavour = Literal["wolfi", "alpine"]
"""Whose package names an apko or melange file uses (``sources.adapt.flavour_of`` tells)."""


@dataclass(frozen=True)
class ApkRepositories:
    """APK repositories and keys, ready for ``-r`` and ``-k`` of melange and apko.

    Local paths are relative to the project's root where they can be (they are baked into the image and its digest).
    ``credentials`` goes into the environment of the program (``HTTP_AUTH``), never into an argument.
    """

    repositories: tuple[str, ...]
    keyring: tuple[str, ...]
    stand_in: bool
    credentials: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildEnvironment:
    """What a build needs to reach the network as this source does: proxies, module proxy, a private CA bundle.

    ``variables`` go into the environment of programs that run here, and as predefined build arguments (which BuildKit keeps
    out of layers and history) into Dockerfile builds. ``ca_bundle`` is a PEM file or None.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    ca_bundle: Path | None = None


@dataclass(frozen=True)
class ToMake:
    """Something that ``prepare`` would make, and roughly how many seconds that takes; ``then``: what a build in it takes."""

    name: str
    seconds: int
    then: int = 0


class Source(Protocol):
    """A source. ``prepare`` is called once, before the first build step; all problems of reach surface there."""

    name: str
    """``registry``, ``mirror`` or ``local``."""

    def at(self, state: State) -> Source:
        """The same source for another checkout of the project: local packages are reached through its state folder."""
        other = copy(self)
        vars(other)["state"] = state
        return other

    def tools(self, references: Sequence[str], *, apk: bool) -> tuple[str, ...]:
        """Names of the external programs that ``prepare`` will need (``deadweight.toolchain`` names)."""
        ...

    def missing_bases(self, references: Sequence[str]) -> NoBase | None:
        """Which of them cannot be had, each with the nearest that can, as far as that is known without asking anybody."""
        del references
        return None

    def to_make(self, references: Sequence[str], *, apk: bool) -> tuple[ToMake, ...]:
        """What ``prepare`` would have to make first; nothing where bases are only looked up. Changes nothing, asks nobody."""
        del references, apk
        return ()

    def prepare(self, references: Sequence[str], *, apk: bool, say: Say) -> None:
        """Make sure that these base references (public names) and, if asked, the APK repositories can be used.

        Local: start the registry, make what stand-ins are missing. Others: check registry, CA and credentials.
        Raises NoBase (exit 3) that tells of all that cannot be had, MissingError or DeadweightError for what is about no base.
        """
        ...

    def base(self, reference: str) -> Base:
        """What stands for a public reference here, with its digest. ``prepare`` must have been called for it."""
        ...

    def apk(self, flavour: ApkFlavour = "wolfi") -> ApkRepositories:
        """The APK repositories of this source. ``prepare(apk=True)`` must have been called."""
        ...

    def environment(self) -> BuildEnvironment:
        """How builds reach this source."""
        ...

    def layout(self, reference: str) -> Path:
        """A folder that holds an image of a registry on this machine as OCI layout (``reference`` is by digest), for a build on
        another machine. Raises DeadweightError where the registry has no such image.
        """
        ...

    def mounts(self, reference: str, command: str) -> tuple[str, ...]:
        """Flags that a Dockerfile's RUN on this base needs for ``command`` (``--mount=…``), where the base alone cannot do it.

        What they bring is in no layer. May make what they mount, when first asked.
        """
        del reference, command
        return ()


# The error for bases that cannot be had.
APK = "APK repositories"
"""What a problem of ``NoBase`` is about where it is no base: what apko and melange take packages from."""


class NoBase(MissingError):
    """Bases that cannot be had. ``problems`` are the message's lines, each with the reference that it is about, or ``APK``.

    A source knows no files: ``with_places`` says where each is named. ``absent``: the registry answers, and has no such
    image.
    """

    def __init__(self, *problems: tuple[str | None, str], hint: str | None = None, absent: bool = False) -> None:
        super().__init__(problems[0][1] if len(problems) == 1 else "\n".join(text for _, text in problems), hint=hint)
        self.problems, self.absent = problems, absent

    def with_places(self, places: Mapping[str, str]) -> NoBase:
        """The same, each line led by the place of its reference."""
        placed = (
            (about, quoting(text, f"{places[about]}: {text}") if about and about in places else text)
            for about, text in self.problems
        )
        return NoBase(*placed, hint=self.hint)
