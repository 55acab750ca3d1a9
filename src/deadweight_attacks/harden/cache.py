"""What a search found is kept: asked for in another format, or once more, it is written anew without one trial."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deadweight._errors import CheckFailed, CommandError, DeadweightError, Interrupted, MissingError
from deadweight.checks.protocol import Subject
from deadweight.records import store
from deadweight.suite.model import criteria_of
from deadweight_attacks.harden.result import Found, Tightest
from deadweight_attacks.harden.search import tightest
from deadweight_attacks.machine import unenforced
from deadweight_attacks.seccomp.find import find
from deadweight_attacks.seccomp.recorder import Hindered

EDITION = 7
"""Raised when the search looks for something else: what an earlier one found is then searched for again."""

_OF_THE_ENGINE = (
    *("name", "version", "kernel", "architecture", "cgroup", "rootless"),
    *("seccomp", "apparmor", "selinux", "storage_driver", "desktop"),
)
"""What of an engine decides how a container runs."""


@dataclass(frozen=True, kw_only=True)
class Posture(Tightest):
    """What was found, and under which circumstances (``key``). ``at`` is an ISO 8601 time in UTC."""

    key: str
    at: str


def kept_or_found(
    subject: Subject, told: Callable[[str], None], *, again: bool = False, seccomp: bool = False
) -> Found:
    """The tightest posture of this image, with these settings, in this engine: as it was found before, else found now (with
    ``again`` in any case) and kept. The same of its ``seccomp`` profile, where that is asked for.

    Raises as ``tightest`` does, and CheckFailed where the checks waver under a profile."""
    found = _posture(subject, told, again=again)
    if seccomp and found.seccomp is None and not found.no_seccomp:
        try:
            found = replace(found, seccomp=find(subject, found, told))
        except (CheckFailed, Interrupted):
            raise
        except DeadweightError as error:
            found = replace(found, no_seccomp=error.message)
            if isinstance(error, (MissingError, CommandError, Hindered)):
                return found  # it may be there, or work, the next time
        _keep(subject, found)
    return found if seccomp else replace(found, seccomp=None, no_seccomp="")


def _posture(subject: Subject, told: Callable[[str], None], *, again: bool) -> Found:
    known = None if again else store.load(Posture, place(subject))
    if known is not None and known.key == circumstances(subject):
        told(
            f"{subject.variant.name}: using the settings that were found on {known.at}; invoke harden --force searches again"
        )
        return Found.of(known, subject)
    found = tightest(subject, told)
    _keep(subject, found)
    return found


def _keep(subject: Subject, found: Found) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    store.save(Posture(**found.fields(), key=circumstances(subject), at=at), place(subject))


def place(subject: Subject) -> Path:
    """Where a variant's posture is kept."""
    return subject.state.folder / "harden" / f"{subject.variant.name}.json"


def circumstances(subject: Subject) -> str:
    """A digest of all that a search depends on: the image, what the suite asks and grants, the engine."""
    engine = asdict(subject.engine().info)
    said = [
        EDITION,
        subject.built.config_digest,
        *(criteria_of(subject.variant, check) for check in ("runs", "api", "budget")),
        {name: engine[name] for name in _OF_THE_ENGINE},
        unenforced(subject.engine()),
        _profile(subject),
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _profile(subject: Subject) -> str:
    named = subject.variant.run.seccomp
    return hashlib.sha256((subject.suite.root / named).read_bytes()).hexdigest() if named else ""
