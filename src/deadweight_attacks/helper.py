"""The attacker's own program: built once with Go, and bound into the containers that are attacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight.engine.options import Mount
from deadweight.toolchain import own_programs

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

SOURCE = Path(__file__).with_name("helper")
TARGET = "/.deadweight-helper"

Helper = Callable[["Subject"], tuple[Mount, ...]]


def own_helper(subject: Subject) -> tuple[Mount, ...]:
    """The bind mount that brings it, read-only. Raises DeadweightError (MissingError without Go) where it cannot be made."""
    return bound(own_programs.built(own_programs.go_architecture(subject.engine().info.architecture), SOURCE))


def bound(file: Path) -> tuple[Mount, ...]:
    """The mount that shows it to a container."""
    return (Mount(file, TARGET, read_only=True),)
