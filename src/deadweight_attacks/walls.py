"""Name the protections ("walls") of a container, and list which are on in each posture."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deadweight._errors import UsageError
from deadweight_images.errors import Catalogue

wording = Catalogue("deadweight_attacks")
"""This package's sentences, by code (``messages.toml``)."""


if TYPE_CHECKING:
    from deadweight.engine.api import EngineInfo

TABLES = tomllib.loads(Path(__file__).with_name("tables.toml").read_text(encoding="utf-8"))

WALLS: tuple[str, ...] = (*TABLES["walls"],)
"""``image`` is what the image lacks (a shell); ``host-mounts`` that nothing of the host is handed in: folder, socket, devices.
``pid-namespace`` and ``ipc-namespace``: that it shares processes and memory with no neighbour (``--pid``, ``--ipc``)."""

NAMESPACES = ("pid-namespace", "ipc-namespace")
"""They stand between containers, and in the way of nothing else."""

TIGHT = "tight-seccomp"
"""The seccomp profile that ``invoke harden`` found for this very image, in place of the engine's. No part of ``hardened``, which
needs no search: it makes two postures of its own."""

LANDLOCK = "landlock"
"""Files and ports that the service does not use, forbidden by the kernel from before its start (landlock(7)). No part of
``hardened`` either: it takes a program in front of the service's own."""
EXTRA = (TIGHT, LANDLOCK)

ALL = "all"
"""Every attack, every posture."""
MAIN = ("open", "default", "hardened")
ONLY, WITHOUT = "only-", "without-"

OWN_USER = "the image's user alone"


class Posture(NamedTuple):
    """A way to run the container. ``walls`` are those that stand; ``shelled``: a static shell is bound in.

    ``bare`` is a plain ``docker run``: the engine's own defaults and the image's own user.
    """

    name: str
    walls: frozenset[str]
    bare: bool = False
    privileged: bool = False
    shelled: bool = False

    @property
    def title(self) -> str:
        """Its name, and whether a shell is bound in."""
        return f"{self.name}{' (with shell)' if self.shelled else ''}"

    def minus(self, wall: str) -> Posture:
        return Posture(f"{WITHOUT}{wall}", self.walls - {wall})

    def with_shell(self) -> Posture:
        """The same with a static shell bound in."""
        return self._replace(walls=self.walls - {"image"}, shelled=True)


OPEN = Posture("open", frozenset({"image"}))
DEFAULT = Posture("default", frozenset({"image"}), bare=True)
HARDENED = Posture("hardened", frozenset(WALLS))
TIGHTENED = Posture(TIGHT, HARDENED.walls | {TIGHT})
LANDLOCKED = Posture(LANDLOCK, HARDENED.walls | {LANDLOCK})
PRIVILEGED = Posture("privileged", frozenset({"image"}), privileged=True)
REDUCED = "capabilities (the engine's own set)"
"""The part of the capabilities wall that a plain ``docker run`` has."""


def unbuilt(chosen: Posture, info: EngineInfo) -> str:
    """Why a posture is not what its name says; empty where it is: one wall alone, or all but one, needs that wall."""
    built = absent(info).items()
    return next((why for wall, why in built if chosen.name in (ONLY + wall, WITHOUT + wall)), "")


def only(wall: str) -> Posture:
    """One wall on top of ``open``. A tight filter is put on before a container's runtime has given up its rights, and then
    refuses it that, unless there are to be no new privileges (seccomp(2)): these two go together. Landlock asks for the same."""
    beside = {"no-new-privileges"} if wall in EXTRA else set()
    return Posture(f"{ONLY}{wall}", frozenset({"image", wall, *beside}))


def names() -> tuple[str, ...]:
    """Every posture that can be asked for; ``all`` stands for all of them."""
    single = [wall for wall in WALLS if wall != "image"]
    parted = (*(ONLY + wall for wall in (*single, *EXTRA)), *(WITHOUT + wall for wall in WALLS))
    return (*MAIN, *EXTRA, "privileged", *parted)


def posture(name: str) -> Posture:
    """The posture of this name. Raises UsageError."""
    known = {posture.name: posture for posture in (OPEN, DEFAULT, HARDENED, TIGHTENED, LANDLOCKED, PRIVILEGED)}
    if name in known:
        return known[name]
    if name not in names():
        hint = f"postures: {', '.join((*MAIN, *EXTRA))}, privileged, only-WALL, without-WALL, all; walls: {', '.join(WALLS)}"
        raise UsageError(wording("posture.unknown", name=name), hint=hint)
    if name.startswith(ONLY):
        return only(name.removeprefix(ONLY))
    return HARDENED.minus(name.removeprefix(WITHOUT))


def standing(name: str, image_user: str, info: EngineInfo) -> tuple[str, ...]:
    """The walls of a main posture, by name. ``default`` has those that the engine and the image bring."""
    from deadweight.engine.options import is_root

    there = [wall for wall in WALLS if wall not in absent(info)]
    if name == "hardened":
        return tuple(there)
    if name == "default":
        brings = {"image", REDUCED, "seccomp", "masked-paths", "apparmor", "host-mounts", *NAMESPACES, "user-namespace"}
        brings |= set() if is_root(image_user) else {"non-root"}
        return tuple(wall for wall in (*there, REDUCED) if wall in brings)
    return ("image",)


def absent(info: EngineInfo) -> dict[str, str]:
    """Walls that this engine cannot build: they are told, never counted."""
    missing: dict[str, str] = {}
    if not info.seccomp:
        missing["seccomp"] = wording("seccomp.no_engine")
    if not info.apparmor:
        missing["apparmor"] = wording("engine.no_apparmor")
    if not info.user_namespaces:
        missing["user-namespace"] = wording("engine.rootless" if info.rootless else "engine.no_userns_remap")
    return missing
