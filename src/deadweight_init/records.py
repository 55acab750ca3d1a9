"""Records of what is known about a service, each value with its origin."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from deadweight.records.reference import split
from deadweight_images.errors import Catalogue

wording = Catalogue("deadweight_init")
T = TypeVar("T", covariant=True)

SEEN, GUESSED, GIVEN = "seen", "guessed", "given"


@dataclass(frozen=True)
class Known(Generic[T]):
    """A value and its origin: ``seen`` (in a run), ``from FILE:LINE``, ``guessed``, or ``given`` by the user."""

    value: T
    origin: str = GUESSED

    @property
    def place(self) -> str:
        """The file that says it, with its line; empty for what was seen, given or guessed."""
        lead, _, place = self.origin.partition(" ")
        return place if lead == "from" else ""


def numbers(version: str) -> tuple[int, ...]:
    """``3.12`` to compare by."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass(frozen=True)
class ImageWords:
    """What a Dockerfile says of the image that it makes, with every value's line.

    ``copied`` are files of the context that the last stage takes: (source, absolute path in the image). ``base`` is what the
    last stage stands on, ``bases`` are those of all stages.
    """

    ports: tuple[Known[int], ...] = ()
    health: tuple[Known[str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    stop: str = ""
    """The signal by which it is ended, where that is not SIGTERM."""
    base: str = ""
    bases: tuple[str, ...] = ()
    copied: tuple[tuple[str, str], ...] = ()
    taken: tuple[str, ...] = ()
    """Where the last stage copies to, from wherever; absolute."""
    volumes: tuple[Known[str], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What is started: program and arguments."""
        return (*self.entrypoint, *self.command)

    @property
    def image(self) -> str:
        """The last part of its base's name."""
        return posixpath.basename(split(self.base)[0])

    @property
    def program(self) -> tuple[str, ...]:
        """The same without a shell and an init program around it; empty for what needs a shell."""
        return unwrapped(self.words)


_INITS = ("tini", "dumb-init", "catatonit", "su-exec", "gosu", "exec", "--")
_SHELLS = ("sh", "bash", "ash", "dash")


def simple_command(text: str) -> tuple[str, ...]:
    """The words of a command; nothing for one that only a shell can run."""
    try:
        return () if re.search(r"[;&|<>$`()]", text) else tuple(shlex.split(text))
    except ValueError:
        return ()


def unwrapped(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command without the shell, init program and settings around it; empty for what only a shell can run."""
    while words and (posixpath.basename(words[0]) in _INITS or re.fullmatch(r"\w+=\S*", words[0])):
        words = words[2:] if posixpath.basename(words[0]) in ("su-exec", "gosu") else words[1:]
    if not words or posixpath.basename(words[0]) not in _SHELLS:
        return words
    return unwrapped(simple_command(words[2])) if len(words) > 2 and words[1] == "-c" else ()


@dataclass(frozen=True)
class OwnDockerfile:
    """A Dockerfile of the repository. Paths are relative to its root; ``refused`` says why it is left out.

    ``target`` is the stage that is built where it is not the last one; ``build_args`` are those that it has no default for.
    ``args`` is the command that a Compose file gives an image that has none of its own; ``words`` has it too.
    """

    path: str
    context: str
    words: ImageWords
    target: str | None = None
    text: str = field(default="", repr=False)
    refused: str = ""
    args: tuple[str, ...] = ()
    ignored: str = field(default="", repr=False)
    """The text of the ignore file that is for this Dockerfile alone."""
    build_args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dependency:
    """A container that a service depends on. ``files`` maps paths in it to files of the repository."""

    name: str
    image: str
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """What Compose and Kubernetes files say of a service.

    ``volumes`` are folders in which it keeps data; ``files`` maps paths in it to files of the repository that are mounted there.
    """

    ports: tuple[Known[int], ...] = ()
    health: tuple[Known[str], ...] = ()
    env: Mapping[str, Known[str]] = field(default_factory=dict)
    needs: tuple[Known[Dependency], ...] = ()
    volumes: tuple[Known[str], ...] = ()
    files: Mapping[str, Known[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ComposeService:
    """A service of a Compose file that is built from the repository."""

    file: str
    name: str
    context: str
    dockerfile: str | None
    target: str | None
    around: Deployment
    command: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    """Build arguments."""
    published: bool = False
    """It starts the repository's own image as it is published; that is no word on how it is built."""

    @property
    def path(self) -> str:
        """Its Dockerfile, seen from the root."""
        return posixpath.normpath(posixpath.join(self.context, self.dockerfile or "Dockerfile"))


UNLISTED = "none"
"""The kind of code without a list of its packages: beside another language it is a tool of that."""


@dataclass(frozen=True)
class Project:
    """A program in one language. Every language adds to it, in a record of its own, what its recipe needs.

    ``kind`` is its build system (``go``, ``maven``, ``pip``, ``npm``, ``cargo`` …), ``version`` the language's, ``start`` what the
    interpreter is given. ``reads`` are the files beside it that it opens, relative to its folder. ``owned``: it writes into the
    folder that it is started in.
    """

    language: str
    kind: str
    folder: str
    name: str
    version: Known[str] = Known("")
    start: tuple[str, ...] = ()
    ports: tuple[Known[int], ...] = ()
    health: tuple[Known[str], ...] = ()
    programs: tuple[str, ...] = ()
    """All that ``--main`` may name."""
    chosen: str = ""
    """The one of them that becomes the image."""
    others: tuple[str, ...] = ()
    """Those that may be meant as well, if nobody has said which."""
    called: tuple[str, ...] = ()
    """The names by which commands start it."""
    reads: tuple[str, ...] = ()
    owned: bool = False
    compiles: bool = False
    """Packages of it may be compiled, or cloned: it is built on a complete base."""
    problem: str = ""
    """Why no ladder can be written for it; empty if one can."""


class Code(Enum):
    """What kind of difference it is; the value is how its line begins."""

    BASE = wording("change.base")
    PROGRAMS = wording("change.programs")
    FILES = wording("change.files")
    HEALTHCHECK = wording("change.healthcheck")
    STEP = wording("change.step")
    FLAGS = wording("change.flags")
    SETTING = wording("change.setting")
    USER = wording("change.user")
    WORKDIR = wording("change.workdir")
    LOCALE = wording("change.locale")
    ANSWER = wording("change.answer")
    NOT_COMPARED = wording("change.not_compared")


@dataclass(frozen=True)
class Change:
    """One difference. ``what`` names it; ``line`` is that of the own Dockerfile, 0 where it has none."""

    code: Code
    what: str
    line: int = 0
    file: str = ""

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.line else ""
        return f"{self.code.value}: {self.what}{place}"


@dataclass(frozen=True)
class Rung:
    """One variant to come. ``keys`` are its keys in the suite, in order; ``refused`` says why it is left out.

    ``files`` are those that it alone or with others needs, by path relative to the suite.
    """

    name: str
    builder: str
    description: str
    keys: Mapping[str, Any]
    files: tuple[str, ...] = ()
    refused: str = ""
    changes: tuple[Change, ...] = ()
    """What it has otherwise than the repository's own image, where it is derived from that."""

    @property
    def is_made(self) -> bool:
        """Whether it is init's own, and not a file of the repository's: ko and Jib take none."""
        return bool(self.files) or self.builder in ("ko", "jib")


@dataclass(frozen=True)
class Service:
    """All that is known of one service before it is run. ``folder`` is relative to the root."""

    name: str
    folder: str
    dockerfiles: tuple[OwnDockerfile, ...] = ()
    project: Project | None = None
    around: Deployment = Deployment()
    port_variable: Known[str] | None = None
    """The variable of the environment that tells it where to listen."""
    more: tuple[Rung, ...] = ()
    """Ways to build it that are no Dockerfiles and that the repository has already."""
    spare: tuple[Known[Mapping[str, str]], ...] = ()
    """More of an environment, to be tried one after another where it does not come up without."""
    described: Known[str] | None = None
    """Its OpenAPI document: a file of the repository, or a path where it serves one."""

    @property
    def volumes(self) -> dict[str, str]:
        """Folders in which it keeps data, with where that is said."""
        folders = [*self.around.volumes, *(volume for own in self.dockerfiles for volume in own.words.volumes)]
        return {folder.value: folder.origin for folder in reversed(folders)}

    @property
    def own(self) -> OwnDockerfile | None:
        """Its first Dockerfile that can be built, else the first one, for what it tells."""
        usable = (dockerfile for dockerfile in self.dockerfiles if not dockerfile.refused)
        return next(usable, next(iter(self.dockerfiles), None))


@dataclass(frozen=True)
class Ladder:
    """All rungs of a service, and the content of the files that they need."""

    rungs: tuple[Rung, ...]
    files: Mapping[str, str] = field(default_factory=dict)
