"""Load the seccomp profile that ``invoke harden`` saved for this image's digest, or that the suite names, for attacks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.engine.seccomp import profile as custom_profile
from deadweight.engine.seccomp.profile import BY_TIMING
from deadweight.records import store
from deadweight_attacks.seccomp import floor
from deadweight_attacks.walls import TABLES

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject


@dataclass(frozen=True)
class ToAttack:
    """A profile with what the attacker's own program needs to run, and of which image (by its config's digest) it is. ``found_for``
    says on which kernel and with which runtime it was found."""

    config_digest: str
    profile: Mapping[str, Any]
    found_for: str = ""


@contextlib.contextmanager
def found_profile(subject: Subject) -> Iterator[Path | None]:
    """A file with it, while the attacks last; None where none was found for this image."""
    kept = store.load(ToAttack, subject.state.seccomp_to_attack(subject.variant.name))
    if kept is None or kept.config_digest != subject.built.config_digest:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as folder:
        file = Path(folder) / "seccomp.json"
        file.write_text(json.dumps(kept.profile), encoding="utf-8")
        yield file


ATTACKERS: tuple[str, ...] = (*BY_TIMING, *TABLES["attackers_calls"])
"""What the attacker's own program needs to do anything at all (``helper/main.go``, ``rehearse``)."""


@contextlib.contextmanager
def named_profile(subject: Subject) -> Iterator[Path | None]:
    """A file with the profile that the suite names, and what the attacker's program needs, while the attacks last; None where there
    is none."""
    named = subject.variant.run.seccomp
    if named is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as folder:
        file = Path(folder) / "named.json"
        content = for_attacks(
            custom_profile.read_profile(subject.suite.root / named), custom_profile.where(subject.engine().info)
        )
        file.write_text(json.dumps(content), encoding="utf-8")
        yield file


def for_attacks(document: Mapping[str, Any], where: custom_profile.Where) -> dict[str, Any]:
    """A profile with what the attacker's program needs and it does not allow at all. What it has rules for stays as it is."""
    more = set(custom_profile.refused(document, where, wholly=True)) & set(ATTACKERS)
    added = floor.document(more, (), where.architecture)["syscalls"] if more else []  # clone for no namespaces
    return {
        **document,
        "syscalls": [*document.get("syscalls", ()), *(each for each in added if each["names"] not in ([], ["clone3"]))],
    }


def called(subject: Subject) -> str:
    """The name of the profile that harden found, in a message."""
    file = subject.state.seccomp(subject.variant.name)
    return os.path.relpath(file, subject.suite.root)


def digest_of(subject: Subject) -> str | None:
    """Of the profile that the attacks were under; None where there is none of this image."""
    kept = store.load(ToAttack, subject.state.seccomp_to_attack(subject.variant.name))
    if kept is None or kept.config_digest != subject.built.config_digest:
        return None
    return hashlib.sha256(json.dumps(kept.profile, sort_keys=True).encode()).hexdigest()


def broken(subject: Subject) -> str:
    """What to say of a service that does not come up under its own profile: both may have been right once."""
    kept = store.load(ToAttack, subject.state.seccomp_to_attack(subject.variant.name))
    where = f" for {kept.found_for}" if kept is not None and kept.found_for else ""
    return (
        f"The seccomp profile was found{where}; invoke harden --force --variant {subject.variant.name} searches again, and names "
        "the system calls that are missing"
    )


def missing(variant: str) -> str:
    """Why attacks under it are not measured, where there is none."""
    return (
        f"no seccomp profile has been found for this image yet: run invoke harden --variant {variant} to search for one"
    )
