"""Define the record of a built image (build stage result)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deadweight.records.paths import State
from deadweight.records.reference import split
from deadweight.records.store import load, save

Cache = Literal["cold", "warm", "cached"]
"""``cold``: nothing that a build makes (steps, compiled packages, classes) was taken from an earlier one; what was only downloaded
(bases, modules) may have been there. ``warm``: something was taken, or may have been. ``cached``: all of it was."""

BUILT_FILE = "built.json"
FAILED_FILE = "failed.json"
ARCHIVE_FILE = "image.tar"
UNFINISHED = "unfinished"
OUTCOMES = {"failed": "failed", "interrupted": "was interrupted", UNFINISHED: "did not end"}


@dataclass(frozen=True)
class Base:
    """The base image of a variant.

    ``reference`` is what the suite asks for, ``resolved`` what was used for it (a mirror's name, a local stand-in).
    ``digest`` is the manifest's (``sha256:…``), None where there is no base (apko) or it could not be told.
    """

    reference: str
    resolved: str
    digest: str | None
    stand_in: bool


@dataclass(frozen=True)
class FailedBuild:
    """That the last build of a variant came to nothing: what there is of it is from the build before, made of older inputs.

    ``how`` is one of ``OUTCOMES``; ``unfinished`` is noted when a build begins, and stays where it is killed. Older versions wrote
    the words themselves.
    ``at`` is an ISO 8601 time in UTC, ``log`` relative to the project. ``under`` tells whose turn it was: when whoever held the
    project's lock had taken it (seconds since 1970), 0 where nobody had. ``why`` is its error's first line, "" where there is none.
    """

    how: str
    at: str
    log: str
    under: float = 0.0
    why: str = ""

    @property
    def outcome(self) -> str:
        """``how`` in words."""
        return OUTCOMES.get(self.how, self.how)

    def __str__(self) -> str:
        at = f"{self.at[:16].replace('T', ' ')} UTC" if self.at.endswith("+00:00") else self.at
        return f"its last build {self.outcome}{f': {self.why}' if self.why else ''} ({at}, log {self.log})"


def kept_name(reference: str, config_digest: str) -> str:
    """A name in the engine that only this very image has: ``…:latest`` moves when another checkout builds the same suite."""
    return f"{split(reference)[0]}:{config_digest.partition(':')[2][:12]}"


@dataclass(frozen=True)
class BuiltImage:
    """One image. It is stored in the engine, in ``image.tar`` in its state folder, or both.

    ``reference`` is its name in the engine: what the archive's image is called, or for an image that was built in the engine
    its ``kept_name``.

    ``config_digest`` names the image wherever it goes: the digest of its config. ``manifest_digest`` is that of the manifest over
    config and packed layers, and ``index_digest`` that of the index over manifest and attestations: None where the engine made
    none. ``engine_id`` is what the engine that has it calls it, which may be any of the three (``Identity``).
    ``seconds`` is what the build took when it was last really made; ``cached`` says that this time nothing had to be made.
    ``cache`` tells of that build what was taken from an earlier one (``Cache``), None where nobody can tell.
    ``sbom`` lists SBOM files that the builder wrote, relative to the image's state folder. ``other_stand_ins`` are the images, as
    the suite names them, that stand-ins took the place of in other stages than the last: what is copied from those is of them.
    ``alone`` says whether nothing else was built at the same time: two builds share the machine, and neither's time is its own.
    ``built_on`` is the endpoint of a pool that built it, and ``decisions`` is how that came; None and nothing for other builds.
    ``archive_stamp`` is of the archive file as the build left it: a digest of inode, size and modification time.
    """

    variant: str
    builder: str
    reference: str
    config_digest: str
    in_engine: bool
    base: Base | None
    seconds: float
    cached: bool
    fingerprint: str
    tool: str
    built_at: str
    go_version: str | None = None
    sbom: tuple[str, ...] = ()
    other_stand_ins: tuple[str, ...] = ()
    manifest_digest: str | None = None
    index_digest: str | None = None
    engine_id: str | None = None
    cache: Cache | None = None
    built_on: str | None = None
    decisions: tuple[str, ...] = ()
    alone: bool | None = None
    archive_stamp: str = ""

    @property
    def stand_in(self) -> bool:
        """Whether it rests on a local stand-in of a public image."""
        return (self.base is not None and self.base.stand_in) or bool(self.other_stand_ins)


# Names of images in the engine that a newer build took the place of, while a container still ran from them.
# The engine gives such a name up only by force, and would then keep the image without any name. So the name stays, noted here,
# until the next build or ``invoke clean`` finds that nothing runs from it.
_steps_side_by_side = threading.Lock()


@dataclass(frozen=True)
class Superseded:
    """Their references."""

    references: tuple[str, ...]


def superseded(state: State) -> tuple[str, ...]:
    """The names that wait."""
    noted = load(Superseded, _file(state))
    return noted.references if noted else ()


def retire(state: State, let_go: Callable[[str], bool], *old: str, current: str | None = None) -> int:
    """Take these names away, and those that waited: ``let_go`` removes one, or says that it is still in use.

    ``current`` is a name that is in use again. Gives how many went.
    """
    with _steps_side_by_side:
        waiting = dict.fromkeys((*superseded(state), *old))
        waiting.pop(current or "", None)
        left = tuple(reference for reference in waiting if not let_go(reference))
        if left:
            save(Superseded(left), _file(state))
        else:
            _file(state).unlink(missing_ok=True)
        return len(waiting) - len(left)


def _file(state: State) -> Path:
    return state.folder / "superseded.json"
