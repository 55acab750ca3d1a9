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

from deadweight.engine.seccomp import profile
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


def _harden_profile(subject: Subject) -> Mapping[str, Any] | None:
    """The profile that harden found for this image."""
    record = store.load(ToAttack, subject.state.seccomp_to_attack(subject.variant.name))
    return record.profile if record is not None and record.config_digest == subject.built.config_digest else None


@contextlib.contextmanager
def profile_files(subject: Subject) -> Iterator[tuple[Path | None, Path | None]]:
    """Files, while the attacks last, with the profile that harden found for this image, and with the one that the suite names and
    what the attacker's program needs; None where there is none."""
    own, named = _harden_profile(subject), subject.variant.run.seccomp
    with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as folder:
        files = Path(folder, "found.json"), Path(folder, "named.json")
        if own is not None:
            files[0].write_text(json.dumps(own), encoding="utf-8")
        if named is not None:
            document, where = profile.read_profile(subject.suite.root / named), profile.where(subject.engine().info)
            files[1].write_text(json.dumps(for_attacks(document, where)), encoding="utf-8")
        yield None if own is None else files[0], None if named is None else files[1]


ATTACKERS: tuple[str, ...] = (*BY_TIMING, *TABLES["attackers_calls"])
"""What the attacker's own program needs to do anything at all (``helper/main.go``, ``rehearse``)."""


def for_attacks(document: Mapping[str, Any], where: profile.Where) -> dict[str, Any]:
    """A profile with what the attacker's program needs and it does not allow at all. What it has rules for stays as it is."""
    more = set(profile.refused(document, where, wholly=True)) & set(ATTACKERS)
    added = floor.document(more, (), where.architecture)["syscalls"] if more else []  # clone for no namespaces
    return {
        **document,
        "syscalls": [*document.get("syscalls", ()), *(rule for rule in added if rule["names"] not in ([], ["clone3"]))],
    }


def called(subject: Subject) -> str:
    """The name of the profile that harden found, in a message."""
    file = subject.state.seccomp(subject.variant.name)
    return os.path.relpath(file, subject.suite.root)


def digest_of(subject: Subject) -> str | None:
    """Of the profile that the attacks were under; None where there is none of this image."""
    document = _harden_profile(subject)
    return None if document is None else hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


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
