"""Define the interface of a language in ``init``: how to find its programs and build them without a Dockerfile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from deadweight_init.records import ImageWords, Ladder, Project, Service
from deadweight_init.tree import Tree


@dataclass(frozen=True)
class Facts:
    """``manifests`` are patterns of the files that make a folder a project; a language without any is tried last. ``code`` are the
    endings of its sources. ``bases`` is a pattern for the images that its programs are built on. ``pages``: a web server runs, and
    nothing of the repository.
    """

    manifests: tuple[str, ...]
    code: tuple[str, ...]
    bases: str
    pages: bool = False


P = TypeVar("P", bound=Project)


class Language(Protocol[P]):
    """One language. ``P`` is its own record."""

    @property
    def facts(self) -> Facts:
        """What holds for all its programs."""

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> P | None:
        """The program in a folder. ``words`` is what the repository's own image says, ``main`` the program that the user names."""

    def ladder(self, service: Service, project: P, place: str, port: int) -> Ladder:
        """The rungs of a program, and their files below ``place``."""
