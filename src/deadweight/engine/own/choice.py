"""Which engine is started where one of ours is: the operating system's, or the current one that set-up builds from its Go modules.

``invoke setup --engine`` writes it down in the user's cache, for all of the user's projects. Each has images of its own.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deadweight.records.paths import user_cache
from deadweight.records.store import load, save
from deadweight.toolchain import catalogue, copies

Kind = Literal["os", "current", "current-overlay2"]
"""``current`` keeps images in containerd's store, as the engine does by default; ``current-overlay2`` as older engines do."""
KINDS: tuple[Kind, ...] = get_args(Kind)
PROGRAMS = ("moby", "containerd", "runc")
"""What a current engine is built of, as the catalogue of tools calls it."""
BUILDING = ("gcc", "libseccomp")
"""What building it takes beside Go."""


@dataclass(frozen=True)
class Choice:
    """``engine`` is what ``invoke setup --engine`` was given last."""

    engine: Kind = "os"


def chosen() -> Kind:
    """Which engine of ours is to be started."""
    found = load(Choice, _file())
    return found.engine if found is not None else "os"


def choose(kind: Kind) -> None:
    """Keep a choice."""
    save(Choice(kind), _file())


def folder(kind: Kind) -> str:
    """The name of the folder in the user's cache that holds an engine's images. No engine reads another's."""
    return "engine" if kind == "os" else f"engine-{kind}"


def built() -> bool:
    """Whether the current engine is there."""
    return all((copies.folder(entry) / name).is_file() for entry in _parts() for name in entry.files)


def dockerd(kind: Kind) -> str | None:
    """The program to start; None where it is not there."""
    if kind != "os":
        return str(copies.program_path(catalogue.program("moby"))) if built() else None
    return shutil.which("dockerd") or shutil.which(
        "dockerd", path="/usr/sbin:/usr/bin:/sbin:/usr/local/sbin:/usr/local/bin"
    )


def path(kind: Kind) -> str:
    """PATH for it: an engine finds its containerd, its runc and its proxy there."""
    folders = [str(copies.folder(entry)) for entry in _parts()] if kind != "os" else []
    return os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])


def _parts() -> tuple[catalogue.Program, ...]:
    return tuple(catalogue.program(name) for name in PROGRAMS)


def _file() -> Path:
    return user_cache() / "engine.json"
