"""What is known of a Go program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deadweight_init.records import Project


@dataclass(frozen=True)
class GoProject(Project):
    """``chosen`` is its main package, relative to the module. ``context`` is the folder that a build needs: the module's, or one
    above it that holds the folders which stand in for modules. ``whole``: an installation of modules needs more than ``go.mod``.
    ``ko`` is what the repository's own ``.ko.yaml`` says. ``zones``: it asks for time zones by their names.
    """

    binary: str = "service"
    context: str = "."
    whole: bool = False
    has_sum: bool = False
    cgo: bool = False
    zones: bool = False
    ko: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The main package as Go's commands take it."""
        return "." if self.chosen == "." else f"./{self.chosen}"
